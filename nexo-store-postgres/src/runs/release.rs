//! Letting a run go on without its server: handed back, or parked until its agent answers.
//!
//! One statement each, as for finish: the thread is locked first, and the run's fence and state
//! are compared as they are after that.

use std::time::Duration;

use nexo_core::{Error, Result, RunId};

use crate::{PostgresStore, SqlQuery, row::interval};

macro_rules! release {
    ($changes:literal, $condition:literal) => {
        concat!(
            "with t as (
                select t.id, t.epoch, t.version
                from nexo_runs r join nexo_threads t on t.id = r.thread_id
                where r.id = $1
                for no key update of t
            ), r as (
                update nexo_runs r set server_id = null, version = t.version + 1, ",
            $changes,
            " from t
                where r.id = $1 and r.thread_id = t.id and r.fence = $2 and r.state = 'running' ",
            $condition,
            " returning r.thread_id, r.version
            )
            update nexo_threads t set version = r.version from r where t.id = r.thread_id"
        )
    };
}

const HAND_BACK: &str = release!(
    "state = 'queued', available_at = now(), handbacks = r.handbacks + 1",
    "" // Whoever holds the thread by now: that is asked when it is claimed.
);

const PARK: &str = release!("state = 'waiting', deadline_at = now() + $3", "and r.epoch = t.epoch");

impl PostgresStore {
    pub(super) async fn hand_back(&self, run: RunId, fence: i64) -> Result<()> {
        self.release(sqlx::query(HAND_BACK).bind(run.as_uuid()).bind(fence)).await
    }

    pub(super) async fn park(&self, run: RunId, fence: i64, patience: Duration) -> Result<()> {
        let query = sqlx::query(PARK).bind(run.as_uuid()).bind(fence).bind(interval(patience));
        self.release(query).await
    }

    async fn release(&self, query: SqlQuery<'_>) -> Result<()> {
        if self.write(query).await? == 0 { Err(Error::Fenced) } else { Ok(()) }
    }
}
