//! Deliveries.

use std::{cmp::Reverse, time::Duration};

use async_trait::async_trait;

use super::{MemoryStore, one_more, state::State};
use crate::{
    AppId, Cursor, CursorPage, Delivery, DeliveryFilter, DeliveryId, DeliveryPosition,
    DeliveryStore, DeliverySummary, Error, Result, RunId, Scope, Timestamp, position,
};

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

    /// The deliveries of an app, as far as they lie in the scope.
    fn deliveries_of(&self, scope: &Scope, app: AppId) -> impl Iterator<Item = &Delivery> {
        self.runs
            .values()
            .filter(move |row| row.run.app == app && self.run(scope, row.run.id).is_ok())
            .flat_map(|row| &row.deliveries)
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

    async fn get_delivery(
        &self,
        scope: &Scope,
        app: AppId,
        delivery: DeliveryId,
    ) -> Result<Delivery> {
        self.step(|state, _| {
            let found = state.deliveries_of(scope, app).find(|kept| kept.id == delivery);
            found.cloned().ok_or(Error::DeliveryNotFound)
        })
    }

    async fn list_deliveries(
        &self,
        scope: &Scope,
        app: AppId,
        filter: &DeliveryFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<DeliverySummary>> {
        let after: Option<DeliveryPosition> = position(cursor)?;
        self.step(|state, _| {
            state.app(scope, app)?;
            let taken = state.deliveries_of(scope, app).filter(|delivery| filter.takes(delivery));
            let mut rows: Vec<DeliverySummary> = taken
                .map(DeliverySummary::from)
                .filter(|row| after.is_none_or(|after| DeliveryPosition::from(row) < after))
                .collect();
            rows.sort_by_key(|row| Reverse(DeliveryPosition::from(row)));
            rows.truncate(one_more(limit));
            Ok(CursorPage::from_rows(rows, limit, |row| DeliveryPosition::from(row)))
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
