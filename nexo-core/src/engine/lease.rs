//! Signs of life: a server that beats keeps its runs, and one that fell silent loses them.

use std::{sync::Arc, time::Duration};

use tracing::{info, warn};

use super::{Engine, Inner};
use crate::Result;

const BEAT_EVERY: Duration = Duration::from_secs(3);
/// After this much silence a server counts as gone.
const SILENCE: Duration = Duration::from_secs(10);

impl Engine {
    /// Signs the server on: ends the runs that a server which is gone left behind, and keeps
    /// beating in the background from now on.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn sign_on(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        inner.store.beat(inner.server).await?;
        let silence = if inner.settings.exclusive { Duration::ZERO } else { SILENCE };
        interrupt(&inner, silence).await?;
        inner.handle.clone().spawn(keep_beating(inner));
        Ok(())
    }
}

async fn keep_beating(inner: Arc<Inner>) {
    // Not only until it takes no new runs: those that it is finishing have to be kept.
    let stopping = inner.stopping.clone();
    while stopping.run_until_cancelled(tokio::time::sleep(BEAT_EVERY)).await.is_some() {
        let beaten = match inner.store.beat(inner.server).await {
            Ok(()) => interrupt(&inner, SILENCE).await,
            Err(error) => Err(error),
        };
        if let Err(error) = beaten {
            warn!(%error, "the store did not take the server's sign of life");
        }
    }
}

async fn interrupt(inner: &Inner, silence: Duration) -> Result<()> {
    let carried = inner.hub.carried();
    let interrupted = inner.store.interrupt_orphans(inner.server, &carried, silence).await?;
    for run in interrupted {
        info!(run.id = %run, "run {run} was left behind: no server carries it any more");
    }
    Ok(())
}
