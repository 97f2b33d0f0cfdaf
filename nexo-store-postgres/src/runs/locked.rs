//! A thread under its lock, with its runs that have not ended.
//!
//! Whatever takes more than one statement works on this: what is read here stays true until the
//! transaction ends, the core's rules are asked about it, and what they change is saved at once.

use std::collections::BTreeMap;

use nexo_core::{
    AgentId, Answerer, AppId, Error, Result, Run, RunId, Scope, Thread, ThreadId, Timestamp,
};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{read_run, run_columns};
use crate::{
    Connection, find, find_all,
    row::Columns,
    scoped,
    threads::{read_thread, thread_columns},
};

/// What lock_all() reads of a thread `t` in an app `a`, in its order.
macro_rules! locked_columns {
    () => {
        concat!(
            thread_columns!("t"),
            ", coalesce(t.holder_agent_id, a.default_agent_id), (
                select g.handler from nexo_agents g
                where g.id = coalesce(t.holder_agent_id, a.default_agent_id) and g.app_id = a.id
            )"
        )
    };
}
pub(super) use locked_columns;

/// After this, nobody else changes a run of the thread, or says anything in it. What it gives
/// of the thread is the present state also for whoever waited; of nothing else that is so.
const LOCK: &str = concat!(
    "select ",
    locked_columns!(),
    " from nexo_threads t join nexo_apps a on a.id = t.app_id
    where t.id = $5 and t.app_id = $4 and ",
    sees_app!("a"),
    " and ",
    sees_subscriber!("t.subscriber_id"),
    " for no key update of t"
);

/// A statement of its own, after the lock: only then does it see all that was done before. The
/// time is that of this statement, so that it is later than all that it sees. Each half has its
/// index. There is one row at least, for the time.
const STANDING: &str = concat!(
    "select statement_timestamp(), ",
    run_columns!("r"),
    " from (values (true)) one (row) left join (
        select * from nexo_runs where thread_id = any($1) and state in ('running', 'waiting')
        union all
        select * from nexo_runs where thread_id = any($1) and state = 'queued'
    ) r on one.row
    order by r.id"
);

/// The query of [`STANDING`].
pub(super) fn standing_query(threads: &[ThreadId]) -> crate::SqlQuery<'static> {
    let threads: Vec<Uuid> = threads.iter().map(|thread| thread.as_uuid()).collect();
    sqlx::query(STANDING).bind(threads)
}

/// What [`STANDING`] gives: what time it is, and the runs that have not ended, oldest first.
pub(super) fn read_standing(rows: &[PgRow]) -> Result<(Timestamp, Vec<Run>)> {
    let (mut now, mut runs) = (None, Vec::with_capacity(rows.len()));
    for row in rows {
        let mut columns = Columns::of(row);
        now = Some(columns.time()?);
        if !columns.is_absent()? {
            runs.push(read_run(&mut columns)?);
        }
    }
    Ok((now.ok_or(Error::Corrupt("time"))?, runs))
}

/// A thread that is locked by this transaction.
pub(super) struct LockedThread {
    pub(super) thread: Thread,
    /// Who answers in it, while no person does.
    pub(super) holder: Answerer,
    pub(super) now: Timestamp,
    /// The runs that have not ended, oldest first.
    pub(super) standing: Vec<Run>,
    /// The runs that have to be saved.
    pub(super) changed: BTreeMap<RunId, Run>,
}

impl LockedThread {
    /// The run as it is now, if it has not ended.
    pub(super) fn find(&self, run: RunId) -> Result<Run> {
        let found = self.standing.iter().find(|standing| standing.id == run);
        found.cloned().ok_or(Error::RunEnded(run))
    }

    /// Has a run saved as it is now.
    pub(super) fn put(&mut self, run: Run) {
        self.standing.retain(|standing| standing.id != run.id);
        if !run.state.is_terminal() {
            let place = self.standing.partition_point(|standing| standing.id < run.id);
            self.standing.insert(place, run.clone());
        }
        self.changed.insert(run.id, run);
    }

    /// Has a run saved that has ended, and makes room for the next.
    pub(super) fn end(&mut self, run: Run) {
        self.put(run);
        self.release_next();
    }

    /// The oldest run that is behind another becomes due, if there is no other. Gives which.
    pub(super) fn release_next(&mut self) -> Option<RunId> {
        if self.is_busy() || self.next_due().is_some() {
            return None;
        }
        let next = self.standing.iter().find(|run| run.available_at.is_none())?.clone();
        let id = next.id;
        self.put(Run { available_at: Some(self.now), ..next });
        Some(id)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.standing.iter().any(|run| run.state.is_active())
    }

    /// The run that is due longest.
    fn next_due(&self) -> Option<&Run> {
        self.due().min_by_key(|run| (run.available_at, run.id))
    }

    /// The runs that may begin, as far as the time goes.
    pub(super) fn due(&self) -> impl Iterator<Item = &Run> {
        self.standing.iter().filter(|run| run.is_due(self.now))
    }
}

/// Locks a thread, and reads what stands in it.
pub(super) async fn lock(
    scope: &Scope,
    app: AppId,
    thread: ThreadId,
    connection: &mut Connection,
) -> Result<LockedThread> {
    let query = scoped(LOCK, scope).bind(app.as_uuid()).bind(thread.as_uuid());
    let row = find(connection, query).await?.ok_or(Error::ThreadNotFound(thread))?;
    look(&row, connection).await
}

/// Reads what stands in a thread that is locked, and that is this row.
pub(super) async fn look(row: &PgRow, connection: &mut Connection) -> Result<LockedThread> {
    let mut threads = look_at_all(std::slice::from_ref(row), connection).await?;
    threads.pop().ok_or(Error::Corrupt("locked thread"))
}

/// Reads what stands in threads that are locked. A thread may be among the rows more than once.
pub(super) async fn look_at_all(
    rows: &[PgRow],
    connection: &mut Connection,
) -> Result<Vec<LockedThread>> {
    let mut locked: Vec<(Thread, Answerer)> = Vec::with_capacity(rows.len());
    for row in rows {
        let mut columns = Columns::of(row);
        let thread = read_thread(&mut columns)?;
        let agent = AgentId::from_uuid(columns.take()?);
        let holder = Answerer { agent, handler: columns.take()? };
        if !locked.iter().any(|(known, _)| known.id == thread.id) {
            locked.push((thread, holder));
        }
    }
    let ids: Vec<ThreadId> = locked.iter().map(|(thread, _)| thread.id).collect();
    let (now, runs) = read_standing(&find_all(connection, standing_query(&ids)).await?)?;
    Ok(locked.into_iter().map(|(thread, holder)| assemble(thread, holder, now, &runs)).collect())
}

fn assemble(thread: Thread, holder: Answerer, now: Timestamp, runs: &[Run]) -> LockedThread {
    let standing = runs.iter().filter(|run| run.thread == thread.id).cloned().collect();
    LockedThread { thread, holder, now, standing, changed: BTreeMap::new() }
}
