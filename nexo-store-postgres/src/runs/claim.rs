//! Claiming runs: a server takes those whose turn it is.

use nexo_core::{ClaimRuns, Error, Handlers, Result, Run, RunId, RunStart, RunState};
use sqlx::postgres::PgRow;

use super::{
    load::load,
    locked::{LockedThread, locked_columns, look_at_all},
    save::save,
};
use crate::{
    Connection, PostgresStore,
    error::commit,
    find_all,
    row::{Columns, bounded},
    servers::names,
    threads::thread_columns,
};

/// All that it costs while nothing is due: every server asks twice a second.
const ANY_DUE: &str = "
    select 1 from nexo_runs where state = 'queued' and available_at <= now()
        and (handler is null or handler = any($1))
    order by available_at, id limit 1";

/// The threads of the runs that are due longest. One that somebody works on right now is passed
/// over, so that servers claiming at once share what is due and never wait for each other,
/// whatever the order in which they lock. Which of its runs are due is asked again under the
/// lock.
const LOCK_DUE: &str = concat!(
    "select ",
    locked_columns!(),
    " from nexo_runs r
    join nexo_threads t on t.id = r.thread_id
    join nexo_apps a on a.id = t.app_id
    where r.state = 'queued' and r.available_at <= now()
        and (r.handler is null or r.handler = any($2))
    order by r.available_at, r.id
    limit $1
    for no key update of t skip locked"
);

impl PostgresStore {
    pub(super) async fn claim(&self, claim: ClaimRuns) -> Result<Vec<RunStart>> {
        let claim = ClaimRuns { deadline: bounded(claim.deadline), ..claim };
        let any_due = || sqlx::query(ANY_DUE).bind(names(&claim.handlers));
        // Where nothing that was due may begin, others may be due behind it.
        while claim.limit > 0 && self.read_optional(any_due()).await?.is_some() {
            match self.claim_batch(&claim).await? {
                Some(begun) if begun.is_empty() => {}
                begun => return Ok(begun.unwrap_or_default()),
            }
        }
        Ok(Vec::new())
    }

    /// Sees to the runs that are due longest. `None` if others are doing so.
    async fn claim_batch(&self, claim: &ClaimRuns) -> Result<Option<Vec<RunStart>>> {
        let mut transaction = self.begin().await?;
        let handlers = names(&claim.handlers);
        let query = sqlx::query(LOCK_DUE).bind(i64::from(claim.limit)).bind(handlers);
        let rows = find_all(&mut transaction, query).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut threads = look_at_all(&rows, &mut transaction).await?;
        let begun: Vec<RunId> =
            threads.iter_mut().filter_map(|thread| thread.begin_next(claim)).collect();
        save(&threads, &mut transaction).await?;
        let rows = load(&begun, claim.history, &mut transaction).await?;
        let starts = self.read_starts(&begun, &rows, threads, &mut transaction).await?;
        commit(transaction).await?;
        Ok(Some(starts))
    }

    /// What begins. A run that can't be read ends here: it would be claimed again and again
    /// otherwise, and keep all others from their turn.
    async fn read_starts(
        &self,
        begun: &[RunId],
        rows: &[PgRow],
        mut threads: Vec<LockedThread>,
        connection: &mut Connection,
    ) -> Result<Vec<RunStart>> {
        let mut starts = Vec::with_capacity(rows.len());
        let mut broken = Vec::new();
        for (run, row) in begun.iter().zip(rows) {
            match self.read_start(&mut Columns::of(row)) {
                Ok(start) => starts.push(start),
                Err(error) => broken.push((*run, error)),
            }
        }
        if !broken.is_empty() {
            threads.iter_mut().for_each(|thread| thread.end_broken(&broken));
            save(&threads, connection).await?;
        }
        Ok(starts)
    }
}

impl LockedThread {
    /// Sees to the runs that are due, as far as the server has what they need: those that were
    /// overtaken end, one begins, and the others are behind it again. Gives the one that begins.
    fn begin_next(&mut self, claim: &ClaimRuns) -> Option<RunId> {
        let mut begun = None;
        while let Some(run) = self.next_due_for(&claim.handlers) {
            if let Some(stop) = run.withdrawn(&self.thread) {
                self.end(run.stopped(stop, self.now));
            } else if self.is_busy() {
                self.put(Run { available_at: None, ..run });
            } else {
                let run = run.claimed(claim, &self.thread, self.holder.clone(), self.now);
                begun = begun.or((run.state == RunState::Running).then_some(run.id));
                self.put(run);
            }
        }
        begun
    }

    fn next_due_for(&self, handlers: &Handlers) -> Option<Run> {
        let due = self.due().filter(|run| handlers.have(run.handler.as_deref()));
        due.min_by_key(|run| (run.available_at, run.id)).cloned()
    }

    fn end_broken(&mut self, broken: &[(RunId, Error)]) {
        for (run, error) in broken {
            if let Ok(run) = self.find(*run) {
                self.end(run.unreadable(error, self.now));
            }
        }
    }
}
