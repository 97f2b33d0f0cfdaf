//! Signs of life: a server that beats keeps its runs, and one that fell silent loses them.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tracing::{info, warn};

use super::{Engine, Inner};
use crate::Result;

const BEAT_EVERY: Duration = Duration::from_secs(3);
/// After this much silence a server counts as gone.
const SILENCE: Duration = Duration::from_secs(10);

impl Engine {
    /// Signs the server on, once: ends the runs that a server which is gone left behind, and
    /// keeps beating in the background until the engine is dropped or shut down.
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
    inner.store.beat(inner.server).await?;
    let silence = if inner.settings.exclusive { Duration::ZERO } else { SILENCE };
    interrupt(inner, silence).await?;
    let stopping = inner.stopping.clone();
    inner.handle.spawn(stopping.run_until_cancelled_owned(keep_beating(Arc::downgrade(inner))));
    Ok(())
}

/// Beats also while the server only finishes its runs: they have to be kept.
async fn keep_beating(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(BEAT_EVERY).await;
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = beat(&inner).await {
            warn!(%error, "the store did not take the server's sign of life");
        }
    }
}

async fn beat(inner: &Inner) -> Result<()> {
    inner.store.beat(inner.server).await?;
    interrupt(inner, SILENCE).await
}

async fn interrupt(inner: &Inner, silence: Duration) -> Result<()> {
    let carried = inner.hub.carried();
    let sweep = crate::SweepRuns { server: inner.server, carried, silence };
    for run in inner.store.sweep_runs(sweep).await?.queued {
        info!(run.id = %run, "nobody carried run {run} any more");
    }
    Ok(())
}
