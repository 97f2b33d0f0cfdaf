//! Stopping a run: one that nobody carries ends at once, and a server is told of the others.

use nexo_core::{AppId, Error, Result, Run, RunId, RunState, Scope, ServerId, Stop};
use sqlx::postgres::PgRow;

use super::{
    locked::{LockedThread, locked_columns, look},
    save::save,
};
use crate::{PostgresStore, error::commit, find, row::Columns, scoped, threads::thread_columns};

/// A run never leaves its thread, so it is found without a lock of its own.
const LOCK_OF_RUN: &str = concat!(
    "select ",
    locked_columns!(),
    " from nexo_runs r
    join nexo_threads t on t.id = r.thread_id
    join nexo_apps a on a.id = t.app_id
    where r.id = $5 and t.app_id = $4 and ",
    sees_app!("a"),
    " and ",
    sees_subscriber!("t.subscriber_id"),
    " for no key update of t"
);

const STOPPED: &str = "
    select id, stop from nexo_runs
    where server_id = $1 and state = 'running' and stop is not null
    order by id";

impl PostgresStore {
    pub(super) async fn stop(
        &self,
        scope: &Scope,
        app: AppId,
        run: RunId,
        stop: Stop,
    ) -> Result<Run> {
        let mut transaction = self.begin().await?;
        let query = scoped(LOCK_OF_RUN, scope).bind(app.as_uuid()).bind(run.as_uuid());
        let row = find(&mut transaction, query).await?.ok_or(Error::RunNotFound)?;
        let mut thread = look(&row, &mut transaction).await?;
        let stopped = thread.stop(run, stop)?;
        save(&[thread], &mut transaction).await?;
        commit(transaction).await?;
        Ok(stopped)
    }

    pub(super) async fn stopped(&self, server: ServerId) -> Result<Vec<(RunId, Stop)>> {
        let rows = self.read_all(sqlx::query(STOPPED).bind(server.as_uuid())).await?;
        rows.iter().map(read_stopped).collect()
    }
}

impl LockedThread {
    fn stop(&mut self, run: RunId, stop: Stop) -> Result<Run> {
        let run = self.find(run)?;
        if run.state == RunState::Running {
            let run = Run { stop: run.stop.or(Some(stop)), ..run };
            self.put(run.clone());
            return Ok(run);
        }
        let run = run.stopped(stop, self.now);
        self.end(run.clone());
        Ok(run)
    }
}

fn read_stopped(row: &PgRow) -> Result<(RunId, Stop)> {
    let mut columns = Columns::of(row);
    Ok((RunId::from_uuid(columns.take()?), read_stop(columns.take()?)?))
}

pub(super) fn read_stop(name: &str) -> Result<Stop> {
    Stop::find(name).ok_or(Error::Corrupt("stop of a run"))
}
