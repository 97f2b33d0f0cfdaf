//! Deliveries.

use std::time::Duration;

use async_trait::async_trait;

use super::{MemoryStore, state::State};
use crate::{Delivery, DeliveryId, DeliveryStore, Result, RunId, Scope, Timestamp};

impl State {
    /// The deliveries that were sent before `end`: when, which, and of which run.
    fn deliveries_before(&self, end: Timestamp) -> Vec<(Timestamp, DeliveryId, RunId)> {
        self.runs
            .values()
            .flat_map(|row| &row.deliveries)
            .filter(|delivery| delivery.started_at < end)
            .map(|delivery| (delivery.started_at, delivery.id, delivery.run))
            .collect()
    }
}

#[async_trait]
impl DeliveryStore for MemoryStore {
    async fn record_delivery(&self, delivery: Delivery) -> Result<()> {
        self.step(|state, _| {
            if let Some(row) = state.runs.get_mut(&delivery.run) {
                row.deliveries.push(delivery);
            }
            Ok(())
        })
    }

    async fn list_deliveries(&self, scope: &Scope, run: RunId) -> Result<Vec<Delivery>> {
        self.step(|state, _| {
            let row = state.run(scope, run).ok();
            let mut deliveries = row.map(|row| row.deliveries.clone()).unwrap_or_default();
            deliveries.sort_by_key(|delivery| (delivery.started_at, delivery.id));
            Ok(deliveries)
        })
    }

    async fn prune_deliveries(&self, age: Duration, limit: u32) -> Result<u64> {
        self.step(|state, now| {
            let mut old = state.deliveries_before(now.minus(age));
            old.sort_unstable();
            old.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            for (_, delivery, run) in &old {
                if let Some(row) = state.runs.get_mut(run) {
                    row.deliveries.retain(|kept| kept.id != *delivery);
                }
            }
            Ok(old.len() as u64)
        })
    }
}
