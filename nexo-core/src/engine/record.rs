//! Recording what carried runs say, for readers on other servers: one task stores it for all
//! runs, a little after it was shown here.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tracing::warn;

use super::Inner;
use crate::{
    Result, Segment,
    hub::{Unsaved, Unstored},
};

const RETRY_AFTER: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(4);

/// Stores again and again, until the engine is dropped.
pub(super) async fn record(inner: Weak<Inner>, unstored: Arc<Unstored>) {
    loop {
        unstored.gather().await;
        save(&inner, unstored.take()).await;
    }
}

/// Stores what was taken, as soon as the store is there. What it does not want at all is left
/// out: readers elsewhere see that when the run ends.
async fn save(inner: &Weak<Inner>, mut unsaved: Vec<Unsaved>) {
    let mut pause = RETRY_AFTER;
    loop {
        unsaved.retain(Unsaved::is_wanted);
        let Some(inner) = inner.upgrade().filter(|_| !unsaved.is_empty()) else { return };
        match offer(&inner, &unsaved).await {
            Ok(()) => return,
            Err(error) if error.is_passing() => warn!(%error, "what runs say is stored later"),
            Err(error) => return warn!(%error, "what runs say could not be stored"),
        }
        drop(inner);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Stores it once, and lets everybody know. It may have been stored before, if the answer was
/// lost.
async fn offer(inner: &Inner, unsaved: &[Unsaved]) -> Result<()> {
    let segments: Vec<Segment> = unsaved.iter().map(|it| it.segment.clone()).collect();
    inner.store.append_segments(&segments).await?;
    let mut told = None;
    for Unsaved { hint, .. } in unsaved {
        if told.replace(hint) != Some(hint) {
            inner.hints.tell(*hint);
        }
    }
    Ok(())
}
