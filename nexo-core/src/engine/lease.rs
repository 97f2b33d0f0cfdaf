//! Signs of life: a server that beats keeps its runs, and one that fell silent loses them.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::{Engine, Inner, attend, record};
use crate::{Error, Result, RunId, Scope, SweepRuns};

const BEAT_EVERY: Duration = Duration::from_secs(3);
/// After this much silence a server counts as gone.
const SILENCE: Duration = Duration::from_secs(10);
/// After this much silence a server counts itself as gone: before others do.
const DEAFNESS: Duration = Duration::from_secs(7);
/// How long a run that is due waits for a server that has what its agent needs.
const HANDLER_PATIENCE: Duration = Duration::from_secs(30);

impl Engine {
    /// Signs the server on, once: from now on it beats, takes over the runs of servers that are
    /// gone, and begins what is due, in the background, until the engine is dropped or shut
    /// down. One that has the store to itself takes over at once what it finds under way.
    ///
    /// The first run does it as well; a server that calls it at its start does not keep the
    /// threads of those runs waiting until then.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn sign_on(&self) -> Result<()> {
        self.inner.signed_on.get_or_try_init(|| sign_on(&self.inner)).await.copied()
    }
}

async fn sign_on(inner: &Arc<Inner>) -> Result<()> {
    inner.store.beat(inner.server, &inner.settings.handlers).await?;
    if inner.settings.exclusive {
        sweep(inner, Duration::ZERO).await?;
    }
    inner.work(keep_beating(Arc::downgrade(inner)));
    inner.work(attend::attend(Arc::downgrade(inner)));
    inner.work(record::record(Arc::downgrade(inner), Arc::clone(&inner.unstored)));
    Ok(())
}

/// Beats also while the server only finishes its runs: they have to be kept.
async fn keep_beating(inner: Weak<Inner>) {
    // When the server was heard last, and since when it was without a gap.
    let (mut heard, mut since) = (Instant::now(), Instant::now());
    loop {
        tokio::time::sleep(BEAT_EVERY).await;
        let Some(inner) = inner.upgrade() else { return };
        inner.gates.forget_idle();
        match beat(&inner, heard).await {
            Ok(()) => {
                if heard.elapsed() > DEAFNESS {
                    since = Instant::now();
                }
                heard = Instant::now();
                look_after_others(&inner, since).await;
            }
            Err(error) => warn!(%error, "the store did not take the server's sign of life"),
        }
        // Where no other server can take them, they are as good here as anywhere: a store that is
        // busy with one long write must not have all agents asked again.
        if heard.elapsed() >= DEAFNESS && !inner.settings.exclusive {
            inner.carried.lose_all();
        }
    }
}

/// A store that does not answer must not keep the server from counting itself as gone.
async fn beat(inner: &Inner, heard: Instant) -> Result<()> {
    let patience = (heard + DEAFNESS).max(Instant::now() + BEAT_EVERY);
    let beating = inner.store.beat(inner.server, &inner.settings.handlers);
    let beaten = timeout_at(patience, beating).await;
    beaten.unwrap_or_else(|late| Err(Error::Unavailable(late.into())))
}

/// Whoever could not be heard must not judge who else was silent: after an outage of the
/// store all were. So a server looks after the runs of others only when it was heard for as
/// long as they are given; and never for so long that it would be silent itself.
async fn look_after_others(inner: &Arc<Inner>, heard_since: Instant) {
    if heard_since.elapsed() < SILENCE {
        return;
    }
    let patience = Instant::now() + DEAFNESS - BEAT_EVERY;
    let swept = timeout_at(patience, sweep(inner, SILENCE)).await;
    if let Err(error) = swept.unwrap_or_else(|late| Err(Error::Unavailable(late.into()))) {
        warn!(%error, "the store did not say which runs nobody carries");
    }
}

async fn sweep(inner: &Arc<Inner>, silence: Duration) -> Result<()> {
    let taking = inner.taking.lock().await;
    let sweep = SweepRuns {
        server: inner.server,
        carried: inner.carried.ids(),
        silence,
        handler_patience: HANDLER_PATIENCE,
    };
    let swept = inner.store.sweep_runs(sweep).await?;
    drop(taking);
    let (queued, ended) = (swept.queued.len(), swept.ended.len());
    if queued + ended > 0 {
        warn!("of the runs that nobody carried, {queued} are queued again and {ended} have ended");
    }
    if !swept.queued.is_empty() {
        inner.news.notify_one();
    }
    if queued + ended > 0 {
        let swept = swept.queued.into_iter().chain(swept.ended).collect();
        inner.work(tell_of(Arc::clone(inner), swept));
    }
    Ok(())
}

/// Lets everybody know of runs that were swept: not in a beat's time.
async fn tell_of(inner: Arc<Inner>, swept: Vec<RunId>) {
    for run in swept {
        debug!(run.id = %run, "nobody carried this run");
        if let Ok(run) = inner.store.get_run(&Scope::Everything, run).await {
            inner.tell_of(&run);
        }
    }
}
