//! Runs that no server carries any more.

use std::time::Duration;

use nexo_core::{Failure, Result, RunId, RunState, ServerId};
use uuid::Uuid;

use crate::{
    PostgresStore,
    row::{Columns, interval},
};

/// Threads are locked first, as everywhere; one that somebody works on right now is left to
/// the next sweep, so that two servers sweeping at once don't wait for each other. Whether the
/// run is still the one that was found is asked again under the lock.
const INTERRUPT: &str = "
    with found as (
        select r.id, r.fence, t.id as thread_id, t.version
        from nexo_runs r
        join nexo_threads t on t.id = r.thread_id
        left join nexo_servers s on s.id = r.server_id
        where r.state = 'running' and case
            when r.server_id = $1 then r.created_at < now() - $2 and r.id <> all($6)
            else s.id is null or s.beat_at < now() - $2
        end
        for no key update of t skip locked
    ), r as (
        update nexo_runs r
        set state = $3, failure_key = $4, failure_detail = $5, version = found.version + 1,
            finished_at = greatest(r.created_at, now())
        from found
        where r.id = found.id and r.state = 'running' and r.fence = found.fence
        returning r.id, r.thread_id, r.version
    ), raised as (
        update nexo_threads t set version = r.version from r where t.id = r.thread_id
    )
    select id from r order by id";

impl PostgresStore {
    pub(super) async fn interrupt(
        &self,
        server: ServerId,
        carried: &[RunId],
        silence: Duration,
    ) -> Result<Vec<RunId>> {
        let failure = Failure::interrupted();
        let carried: Vec<Uuid> = carried.iter().map(|run| run.as_uuid()).collect();
        let query = sqlx::query(INTERRUPT)
            .bind(server.as_uuid())
            .bind(interval(silence))
            .bind(RunState::Failed.as_str())
            .bind(failure.kind.key())
            .bind(failure.detail)
            .bind(carried);
        let rows = self.write_all(query).await?;
        rows.iter().map(|row| Columns::of(row).take().map(RunId::from_uuid)).collect()
    }
}
