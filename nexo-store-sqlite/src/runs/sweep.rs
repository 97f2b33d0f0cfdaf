//! Sweeps: runs that no server carries are queued again, or ended where their time is over.

use std::collections::BTreeSet;

use nexo_core::{Run, SweepRuns, SweptRuns, ThreadId};

use super::{queue, rows};
use crate::{Tx, columns::Columns, error};

/// A server that never reported, or has retired, is as silent as one that died. Of the asking
/// server's own runs these are the old ones, carried or not.
pub(crate) const ORPHANS: &str = "
    select r.* from nexo_runs r
    left join nexo_servers s on s.id = r.server_id
    where r.state = 'running' and case r.server_id when ?1 then coalesce(r.started_at, r.created_at) < ?2
        else s.beat_at is null or s.beat_at < ?2 end";

/// Of those that wait, the ones that wait no longer. Each half has an index of its own.
pub(crate) const IDLE: &str = "
    select * from nexo_runs
    where (state in ('queued', 'waiting') and deadline_at <= ?1 and attempt > 0)
        or (state in ('queued', 'waiting') and stop is not null)";

/// Threads in which runs are behind none that is active. There are none as a rule: whoever
/// ends a run releases the next.
pub(crate) const FORGOTTEN: &str = "
    select q.thread_id from nexo_runs q
    where q.state = 'queued' and q.available_at is null and not exists (
        select 1 from nexo_runs a
        where a.thread_id = q.thread_id and a.state in ('running', 'waiting')
    )";

/// Runs that have been due for long, and whose handler no server has. There are few servers.
pub(crate) const UNHANDLED: &str = "
    select r.* from nexo_runs r
    where r.state = 'queued' and r.available_at <= ?1 and r.handler is not null and not exists (
        select 1 from nexo_servers s, json_each(s.handlers) handler
        where s.beat_at >= ?2 and handler.value = r.handler
    )";

/// There is one writer, so of many sweeps one finds a run adrift.
pub(super) async fn sweep(mut tx: Tx<'_>, sweep: SweepRuns) -> error::Result<SweptRuns> {
    let mut swept = SweptRuns::default();
    for run in adrift(&mut tx, &sweep).await? {
        let Some(after) = run.swept(tx.now) else { continue };
        let list = if after.state.is_terminal() { &mut swept.ended } else { &mut swept.queued };
        list.push(after.id);
        rows::keep(tx.connection, &after, tx.now).await?;
    }
    for run in unhandled(&mut tx, &sweep).await? {
        swept.ended.push(run.id);
        rows::keep(tx.connection, &run.unhandled(tx.now), tx.now).await?;
    }
    // Only now, when what has ended is out of the way.
    for thread in forgotten(&mut tx).await? {
        swept.queued.extend(queue::release_next(&mut tx, thread).await?);
    }
    Ok(swept)
}

/// The runs that nobody carries and that may need something, the oldest first.
async fn adrift(tx: &mut Tx<'_>, sweep: &SweepRuns) -> error::Result<Vec<Run>> {
    let orphans = sqlx::query(ORPHANS)
        .bind(sweep.server.as_uuid())
        .bind(tx.now.minus(sweep.silence).as_micros())
        .fetch_all(&mut *tx.connection)
        .await?;
    let idle = sqlx::query(IDLE).bind(tx.now.as_micros()).fetch_all(&mut *tx.connection).await?;
    let both = orphans.iter().chain(&idle);
    let mut runs = both.map(rows::read).collect::<error::Result<Vec<_>>>()?;
    runs.retain(|run| run.server != Some(sweep.server) || !sweep.carried.contains(&run.id));
    runs.sort_unstable_by_key(|run| run.id);
    Ok(runs)
}

async fn unhandled(tx: &mut Tx<'_>, sweep: &SweepRuns) -> error::Result<Vec<Run>> {
    let rows = sqlx::query(UNHANDLED)
        .bind(tx.now.minus(sweep.handler_patience).as_micros())
        .bind(tx.now.minus(sweep.handler_silence()).as_micros())
        .fetch_all(&mut *tx.connection)
        .await?;
    rows.iter().map(rows::read).collect()
}

async fn forgotten(tx: &mut Tx<'_>) -> error::Result<BTreeSet<ThreadId>> {
    let rows = sqlx::query(FORGOTTEN).fetch_all(&mut *tx.connection).await?;
    rows.iter().map(|row| row.id("thread_id", ThreadId::from_uuid)).collect()
}
