//! Writing what the core's rules made of runs whose threads are locked.

use nexo_core::{Result, Run, Stop, Timestamp, storable};

use super::locked::LockedThread;
use crate::{Connection, SqlQuery, run};

/// Any number of runs at once, each with a version of its own. A run that begins has a fence that
/// it did not have before.
const UPDATE: &str = "
    with r as (
        update nexo_runs r
        set state = c.state, agent_id = c.agent_id, handler = c.handler,
            message_id = c.message_id, message_seq = c.message_seq, attempt = c.attempt, handbacks = c.handbacks,
            fence = c.fence, epoch = c.epoch, server_id = c.server_id, stop = c.stop,
            failure_key = c.failure_key, failure_detail = c.failure_detail,
            available_at = c.available_at, finished_at = c.finished_at,
            deadline_at = c.deadline_at, version = c.version,
            started_at = case when c.fence = r.fence then r.started_at else now() end
        from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::bigint[], $6::integer[],
            $7::integer[], $8::bigint[], $9::bigint[], $10::uuid[], $11::text[], $12::text[],
            $13::text[], $14::timestamptz[], $15::timestamptz[], $16::timestamptz[],
            $17::text[], $18::bigint[])
            as c (id, state, agent_id, message_id, message_seq, attempt, handbacks, fence, epoch,
                server_id, stop, failure_key, failure_detail, available_at, finished_at,
                deadline_at, handler, version)
        where r.id = c.id
        returning r.thread_id, r.version
    )
    update nexo_threads t set version = raised.version
    from (select r.thread_id, max(r.version) as version from r group by r.thread_id) raised
    where t.id = raised.thread_id";

const INSERT: &str = "
    with t as (
        update nexo_threads t set version = t.version + 1 where t.id = $3
        returning t.version
    )
    insert into nexo_runs (id, app_id, thread_id, agent_id, message_id, message_seq, state,
        attempt, handbacks, fence, epoch, server_id, version, available_at, created_at, started_at,
        deadline_at, handler)
    select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, t.version, $13, $14,
        case when $7 = 'running' then $14 end, $15, $16
    from t";

/// Writes all that was changed in these threads, and has their readers see it.
pub(super) async fn save(threads: &[LockedThread], connection: &mut Connection) -> Result<()> {
    let changed: Vec<&Run> = threads.iter().flat_map(|thread| thread.changed.values()).collect();
    let versions = threads
        .iter()
        .flat_map(|thread| (thread.thread.version..).skip(1).take(thread.changed.len()));
    let query = update_query(&changed).bind(versions.collect::<Vec<i64>>());
    if changed.is_empty() { Ok(()) } else { run(connection, query).await }
}

/// Writes a run that is not there yet, and has the thread's readers see it.
pub(super) async fn insert(new: &Run, connection: &mut Connection) -> Result<()> {
    let query = sqlx::query(INSERT)
        .bind(new.id.as_uuid())
        .bind(new.app.as_uuid())
        .bind(new.thread.as_uuid())
        .bind(new.agent.as_uuid())
        .bind(new.message.as_uuid())
        .bind(new.message_seq)
        .bind(new.state.as_str())
        .bind(new.attempt)
        .bind(new.handbacks)
        .bind(new.fence)
        .bind(new.epoch)
        .bind(new.server.map(|server| server.as_uuid()))
        .bind(new.available_at.map(Timestamp::as_datetime))
        .bind(new.created_at.as_datetime())
        .bind(new.deadline_at.as_datetime())
        .bind(new.handler.clone());
    run(connection, query).await
}

fn update_query(runs: &[&Run]) -> SqlQuery<'static> {
    sqlx::query(UPDATE)
        .bind(each(runs, |run| run.id.as_uuid()))
        .bind(each(runs, |run| run.state.as_str()))
        .bind(each(runs, |run| run.agent.as_uuid()))
        .bind(each(runs, |run| run.message.as_uuid()))
        .bind(each(runs, |run| run.message_seq))
        .bind(each(runs, |run| run.attempt))
        .bind(each(runs, |run| run.handbacks))
        .bind(each(runs, |run| run.fence))
        .bind(each(runs, |run| run.epoch))
        .bind(each(runs, |run| run.server.map(|server| server.as_uuid())))
        .bind(each(runs, |run| run.stop.map(Stop::as_str)))
        .bind(each(runs, |run| run.failure.as_ref().map(|failure| failure.kind.key())))
        .bind(each(runs, failure_detail))
        .bind(each(runs, |run| run.available_at.map(Timestamp::as_datetime)))
        .bind(each(runs, |run| run.finished_at.map(Timestamp::as_datetime)))
        .bind(each(runs, |run| run.deadline_at.as_datetime()))
        .bind(each(runs, |run| run.handler.clone()))
}

/// A column of the runs.
fn each<T>(runs: &[&Run], column: impl Fn(&Run) -> T) -> Vec<T> {
    runs.iter().map(|run| column(run)).collect()
}

fn failure_detail(run: &Run) -> Option<String> {
    run.failure.as_ref().map(|failure| storable(&failure.detail).into_owned())
}
