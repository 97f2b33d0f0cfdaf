//! What a server does beside carrying runs: it looks for those that are due, and for those of
//! its own that have to stop.
//!
//! What happened on this server is seen at once, what happened elsewhere at the next look.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tracing::{debug, warn};

use super::{Inner, carried::Halt};
use crate::{ClaimRuns, Result};

/// How long until the next look, if nothing is heard before.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The most runs that are taken at once.
const CLAIM_AT_ONCE: u32 = 64;
/// The most runs that a server carries and still takes more.
const MAX_CARRIED: usize = 1_000;

/// Looks again and again, until the engine is dropped.
pub(super) async fn attend(inner: Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        if let Err(error) = look(&strong).await {
            warn!(%error, "the store did not say what is due");
        }
        let news = tokio::time::timeout(LOOK_EVERY, strong.news.notified());
        let _ = news.await;
    }
}

async fn look(inner: &Arc<Inner>) -> Result<()> {
    for (run, stop) in inner.store.stopped_runs(inner.server).await? {
        inner.carried.halt(run, Halt::Stop(stop));
    }
    while claim(inner).await? {}
    Ok(())
}

/// Begins what is due. Gives whether there may be more.
async fn claim(inner: &Arc<Inner>) -> Result<bool> {
    let room = MAX_CARRIED.saturating_sub(inner.carried.count());
    let limit = u32::try_from(room).map_or(CLAIM_AT_ONCE, |room| room.min(CLAIM_AT_ONCE));
    if limit == 0 {
        return Ok(false);
    }
    let claim = ClaimRuns {
        server: inner.server,
        handlers: inner.settings.handlers.clone(),
        limit,
        history: inner.settings.history,
        deadline: inner.settings.deadline,
    };
    let taking = inner.taking.lock().await;
    // Asked under the lock, since a server that shuts down waits for it once.
    if inner.draining.is_cancelled() {
        return Ok(false);
    }
    let begun = inner.store.claim_runs(claim).await?;
    let is_full = begun.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    for start in begun {
        inner.tell_of(&start.run);
        debug!(run.id = %start.run.id, attempt = start.run.attempt, "claimed");
        let publisher = inner.hub.open(start.run.id, start.run.attempt);
        inner.carry(start, publisher);
    }
    drop(taking);
    Ok(is_full)
}
