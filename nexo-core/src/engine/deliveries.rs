//! Keeping what was sent to agents and what came back.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::Inner;
use crate::{Delivery, Error};

/// For how long deliveries are offered to a store that is away.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY_AFTER: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(4);

/// Records deliveries; gives those that the store did not take, but may take later.
pub(super) async fn record(inner: &Inner, deliveries: Vec<Delivery>) -> Vec<Delivery> {
    let mut left = Vec::new();
    for delivery in deliveries {
        match inner.store.record_delivery(delivery.clone()).await {
            // An offer before was taken, and only the answer lost.
            Ok(()) | Err(Error::Conflict(_)) => {}
            Err(error) if error.is_passing() => left.push(delivery),
            Err(error) => warn!(%error, "a delivery could not be recorded"),
        }
    }
    left
}

/// Records deliveries as soon as the store takes them.
pub(super) async fn record_patiently(inner: &Inner, mut left: Vec<Delivery>) {
    let (give_up, mut pause) = (Instant::now() + PATIENCE, RETRY_AFTER);
    while !left.is_empty() && Instant::now() < give_up {
        tokio::time::sleep(pause).await;
        left = record(inner, left).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
    if !left.is_empty() {
        warn!("{} deliveries could not be recorded: the store was away for too long", left.len());
    }
}
