//! Deliveries.

use async_trait::async_trait;

use super::MemoryStore;
use crate::{Delivery, DeliveryStore, Result, RunId, Scope};

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
}
