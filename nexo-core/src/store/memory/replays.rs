//! Replays.

use async_trait::async_trait;

use super::{MemoryStore, one_more};
use crate::{
    AppId, Cursor, CursorPage, Error, Replay, ReplayId, ReplayPosition, ReplayStore, Result, RunId,
    Scope, position,
};

#[async_trait]
impl ReplayStore for MemoryStore {
    async fn record_replay(&self, replay: Replay) -> Result<()> {
        self.step(|state, _| {
            if let Some(row) = state.runs.get_mut(&replay.run) {
                row.replays.insert(replay.id, replay);
            }
            Ok(())
        })
    }

    async fn get_replay(&self, scope: &Scope, app: AppId, replay: ReplayId) -> Result<Replay> {
        self.step(|state, _| {
            let mut rows = state.runs.values();
            let found = rows.find_map(|row| row.replays.get(&replay));
            let found = found.filter(|found| found.app == app);
            let found = found.filter(|found| state.run(scope, found.run).is_ok());
            found.cloned().ok_or(Error::ReplayNotFound)
        })
    }

    async fn list_replays(
        &self,
        scope: &Scope,
        app: AppId,
        run: RunId,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<Replay>> {
        let after: Option<ReplayPosition> = position(cursor)?;
        self.step(|state, _| {
            let row = state.run(scope, run)?;
            if row.run.app != app {
                return Err(Error::RunNotFound);
            }
            let newest = row.replays.values().rev().cloned();
            let rows = newest.filter(|row| after.is_none_or(|after| row.id < after.id));
            let rows = rows.take(one_more(limit)).collect();
            Ok(CursorPage::from_rows(rows, limit, |row| ReplayPosition::from(row)))
        })
    }
}
