//! Looking after the runs that nobody carries.

use std::collections::{BTreeMap, BTreeSet};

use nexo_core::{Result, RunId, RunState, SweepRuns, SweptRuns};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{
    locked::{LockedThread, locked_columns, look_at_all},
    save::save,
};
use crate::{
    PostgresStore, SqlQuery,
    error::commit,
    find_all,
    row::{Columns, interval},
    threads::thread_columns,
};

/// So many of each sort are seen to at once; the rest is left to the next sweep.
const LIMIT: i64 = 500;

/// All that it costs where nothing has to be done; each sort is found by an index of its own.
/// No lock is taken yet. The last but one are the runs that nobody released: whoever ended the
/// one before was cut off in between. The last are those whose handler no server has.
const ADRIFT: &str = "
    (select r.thread_id, r.id, r.fence, false
        from nexo_runs r left join nexo_servers s on s.id = r.server_id
        where r.state = 'running' and case
            when r.server_id = $1
                then coalesce(r.started_at, r.created_at) < now() - $2 and r.id <> all($3)
            else s.id is null or s.beat_at < now() - $2
        end
        limit $4)
    union all
    (select r.thread_id, r.id, r.fence, false from nexo_runs r
        where r.state in ('queued', 'waiting') and r.deadline_at <= now() and r.attempt > 0
        limit $4)
    union all
    (select r.thread_id, r.id, r.fence, false from nexo_runs r
        where r.state in ('queued', 'waiting') and r.stop is not null limit $4)
    union all
    (select r.thread_id, r.id, r.fence, false from nexo_runs r
        where r.state = 'queued' and r.available_at is null
            and not exists (
                select 1 from nexo_runs active
                where active.thread_id = r.thread_id and active.state in ('running', 'waiting')
            ) and not exists (
                select 1 from nexo_runs due
                where due.thread_id = r.thread_id and due.state = 'queued'
                    and due.available_at <= now()
            )
        limit $4)
    union all
    (select r.thread_id, r.id, r.fence, true from nexo_runs r
        where r.state = 'queued' and r.available_at <= now() - $5 and r.handler is not null
            and not exists (
                select 1 from nexo_servers s
                where r.handler = any(s.handlers) and s.beat_at >= now() - $6
            )
        limit $4)";

/// One that somebody works on right now is left to the next sweep, so that servers sweeping at
/// once don't wait for each other.
const LOCK_ALL: &str = concat!(
    "select ",
    locked_columns!(),
    " from nexo_threads t join nexo_apps a on a.id = t.app_id
    where t.id = any($1)
    order by t.id
    for no key update of t skip locked"
);

/// What was found adrift.
#[derive(Default)]
struct Adrift {
    /// Each run's fence at that time.
    fences: BTreeMap<RunId, i64>,
    /// Those of them whose handler no server has.
    unhandled: BTreeSet<RunId>,
}

impl PostgresStore {
    pub(super) async fn sweep(&self, sweep: &SweepRuns) -> Result<SweptRuns> {
        let found = self.read_all(adrift_query(sweep)).await?;
        let mut swept = SweptRuns::default();
        if found.is_empty() {
            return Ok(swept);
        }
        let (threads, adrift) = read_adrift(&found)?;
        let mut transaction = self.begin().await?;
        let query = sqlx::query(LOCK_ALL).bind(threads);
        let rows = find_all(&mut transaction, query).await?;
        let mut threads = look_at_all(&rows, &mut transaction).await?;
        threads.iter_mut().for_each(|thread| thread.sweep(&adrift, &mut swept));
        save(&threads, &mut transaction).await?;
        commit(transaction).await?;
        Ok(swept)
    }
}

fn adrift_query(sweep: &SweepRuns) -> SqlQuery<'static> {
    let carried: Vec<Uuid> = sweep.carried.iter().map(|run| run.as_uuid()).collect();
    sqlx::query(ADRIFT)
        .bind(sweep.server.as_uuid())
        .bind(interval(sweep.silence))
        .bind(carried)
        .bind(LIMIT)
        .bind(interval(sweep.handler_patience))
        .bind(interval(sweep.handler_silence()))
}

fn read_adrift(rows: &[PgRow]) -> Result<(Vec<Uuid>, Adrift)> {
    let (mut threads, mut adrift) = (Vec::with_capacity(rows.len()), Adrift::default());
    for row in rows {
        let mut columns = Columns::of(row);
        threads.push(columns.take()?);
        let run = RunId::from_uuid(columns.take()?);
        adrift.fences.insert(run, columns.take()?);
        if columns.take()? {
            adrift.unhandled.insert(run);
        }
    }
    Ok((threads, adrift))
}

impl LockedThread {
    /// Does what the rules say of each run. One that runs, and was not found or has a new fence,
    /// is carried by somebody.
    fn sweep(&mut self, adrift: &Adrift, swept: &mut SweptRuns) {
        for run in self.standing.clone() {
            let is_same = adrift.fences.get(&run.id) == Some(&run.fence);
            if run.state == RunState::Running && !is_same {
                continue;
            }
            // A fence rises when a run begins: where it is the same, the run was due all the time.
            let is_unhandled = is_same && adrift.unhandled.contains(&run.id);
            let unhandled = (is_unhandled && run.is_due(self.now)).then_some(&run);
            let after = run.swept(self.now);
            let after = after.or_else(|| Some(unhandled?.clone().unhandled(self.now)));
            let Some(after) = after else { continue };
            let list = if after.state.is_terminal() { &mut swept.ended } else { &mut swept.queued };
            list.push(after.id);
            self.put(after);
        }
        swept.queued.extend(self.release_next());
    }
}
