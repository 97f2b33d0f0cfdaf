//! Runs: each step of a run's life is one transaction.
//!
//! What happens to a run is the core's to say: a step reads what stands, asks the core, and
//! writes what it said. Only the writer does so, so nothing changes in between.

mod ask;
mod claim;
mod finish;
mod list;
mod queue;
mod rows;
mod start;
mod stop;
mod sweep;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use nexo_core::{
    Answerer, App, AppId, ClaimRuns, Cursor, CursorPage, Error, FinishRun, FinishedRun, Holder,
    Message, NewMessage, Result, Run, RunFilter, RunId, RunStart, RunStore, Scope, ServerId,
    StartRun, StartedRun, Stop, SubscriberId, SweepRuns, SweptRuns, Thread,
};
use sqlx::SqliteConnection;

pub(crate) use self::rows::read_failure;
use crate::{SqliteStore, Tx, agents, apps, columns::Columns, error};

pub(crate) use self::{ask::ask, rows::read, start::start};
/// For the tests of the query plans.
#[cfg(test)]
pub(crate) use self::{
    claim::{ACTIVE, DUE},
    finish::{HELD, RUNNING},
    list::page,
    rows::STANDING,
    stop::TOLD,
    sweep::{FORGOTTEN, IDLE, ORPHANS, UNHANDLED},
};

pub(crate) const GET: &str = "
    select r.*, a.owner, t.subscriber_id
    from nexo_runs r
    join nexo_threads t on t.id = r.thread_id
    join nexo_apps a on a.id = r.app_id
    where r.id = ?1";

#[async_trait]
impl RunStore for SqliteStore {
    async fn start_run(&self, scope: &Scope, start: StartRun) -> Result<StartedRun> {
        let scope = scope.clone();
        self.write(move |tx| Box::pin(start::start(tx, scope, start))).await
    }

    async fn ask(
        &self,
        scope: &Scope,
        message: NewMessage,
        start: StartRun,
    ) -> Result<(Message, StartedRun)> {
        let scope = scope.clone();
        self.write(move |tx| Box::pin(ask(tx, scope, message, start))).await
    }

    async fn claim_runs(&self, claim: ClaimRuns) -> Result<Vec<RunStart>> {
        if !claim::is_any_due(self, &claim.handlers).await? {
            return Ok(Vec::new());
        }
        self.write(move |tx| Box::pin(claim::claim(tx, claim))).await
    }

    async fn hand_back_run(&self, run: RunId, fence: i64) -> Result<()> {
        self.write(move |tx| Box::pin(finish::hand_back(tx, run, fence))).await
    }

    async fn park_run(&self, run: RunId, fence: i64, patience: Duration) -> Result<()> {
        self.write(move |tx| Box::pin(finish::park(tx, run, fence, patience))).await
    }

    async fn finish_run(&self, finish: FinishRun) -> Result<FinishedRun> {
        self.write(move |tx| Box::pin(finish::finish(tx, finish))).await
    }

    async fn stop_run(&self, scope: &Scope, app: AppId, run: RunId, stop: Stop) -> Result<Run> {
        let scope = scope.clone();
        self.write(move |tx| Box::pin(stop::stop(tx, scope, app, run, stop))).await
    }

    async fn stopped_runs(&self, server: ServerId) -> Result<Vec<(RunId, Stop)>> {
        let mut reader = self.reader().await?;
        Ok(stop::told(&mut reader, server).await?)
    }

    async fn get_run(&self, scope: &Scope, run: RunId) -> Result<Run> {
        let mut reader = self.reader().await?;
        Ok(find(&mut reader, scope, run).await?.ok_or(Error::RunNotFound)?)
    }

    async fn list_runs(
        &self,
        scope: &Scope,
        app: AppId,
        filter: &RunFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<Run>> {
        let mut snapshot = self.snapshot().await?;
        Ok(list::list(&mut snapshot, scope, app, filter, cursor, limit).await?)
    }

    async fn sweep_runs(&self, sweep: SweepRuns) -> Result<SweptRuns> {
        self.write(move |tx| Box::pin(sweep::sweep(tx, sweep))).await
    }
}

/// Finds a run through a scope.
pub(crate) async fn find(
    connection: &mut SqliteConnection,
    scope: &Scope,
    run: RunId,
) -> error::Result<Option<Run>> {
    let row = sqlx::query(GET).bind(run.as_uuid()).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let run = rows::read(&row)?;
    let subscriber = row.id_if_any("subscriber_id", SubscriberId::from_uuid)?;
    let visible = apps::sees(scope, run.app, &row)? && scope.sees_subscriber(subscriber);
    Ok(visible.then_some(run))
}

/// Who answers in a thread while no person does.
async fn holder(tx: &mut Tx<'_>, thread: &Thread, app: &App) -> error::Result<Answerer> {
    let agent = match thread.holder {
        Holder::Agent(agent) => agent,
        Holder::Default | Holder::Human(_) => app.default_agent,
    };
    agents::answerer(tx.connection, agent).await
}
