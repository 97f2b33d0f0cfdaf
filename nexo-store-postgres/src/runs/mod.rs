//! Runs.
//!
//! Whoever changes a run locks its thread first and the run second, everywhere, so that no
//! two of them ever wait for each other.

mod ask;
mod claim;
mod finish;
mod list;
mod load;
mod locked;
mod planned;
mod release;
mod save;
mod start;
mod stop;
mod sweep;

use std::time::Duration;

use async_trait::async_trait;
use nexo_core::{
    AgentId, AppId, ClaimRuns, Cursor, CursorPage, Error, Failure, FailureKind, FinishRun,
    FinishedRun, Message, MessageId, NewMessage, Result, Run, RunFilter, RunId, RunStart, RunState,
    RunStore, Scope, ServerId, StartRun, StartedRun, Stop, SweepRuns, SweptRuns, ThreadId,
};
use uuid::Uuid;

use crate::{PostgresStore, row::Columns, scoped};

/// What read_run() reads, in its order.
macro_rules! run_columns {
    ($table:literal) => {
        columns!(
            $table: "id", "app_id", "thread_id", "agent_id", "handler", "message_id", "message_seq", "state",
            "attempt", "handbacks", "fence", "epoch", "server_id", "stop", "reply_id",
            "failure_key", "failure_detail", "available_at", "created_at", "first_delta_at", "finished_at", "deadline_at"
        )
    };
}
pub(crate) use run_columns;

const GET: &str = concat!(
    "select ",
    run_columns!("r"),
    " from nexo_runs r
    join nexo_threads t on t.id = r.thread_id
    join nexo_apps a on a.id = t.app_id
    where r.id = $4 and ",
    sees_app!("a"),
    " and ",
    sees_subscriber!("t.subscriber_id")
);

#[async_trait]
impl RunStore for PostgresStore {
    async fn start_run(&self, scope: &Scope, start: StartRun) -> Result<StartedRun> {
        self.start(scope, start).await
    }

    async fn ask(
        &self,
        scope: &Scope,
        message: NewMessage,
        start: StartRun,
    ) -> Result<(Message, StartedRun)> {
        self.ask(scope, message, start).await
    }

    async fn claim_runs(&self, claim: ClaimRuns) -> Result<Vec<RunStart>> {
        self.claim(claim).await
    }

    async fn hand_back_run(&self, run: RunId, fence: i64) -> Result<()> {
        self.hand_back(run, fence).await
    }

    async fn park_run(&self, run: RunId, fence: i64, patience: Duration) -> Result<()> {
        self.park(run, fence, patience).await
    }

    async fn finish_run(&self, finish: FinishRun) -> Result<FinishedRun> {
        self.finish(&finish).await
    }

    async fn stop_run(&self, scope: &Scope, app: AppId, run: RunId, stop: Stop) -> Result<Run> {
        self.stop(scope, app, run, stop).await
    }

    async fn stopped_runs(&self, server: ServerId) -> Result<Vec<(RunId, Stop)>> {
        self.stopped(server).await
    }

    async fn get_run(&self, scope: &Scope, run: RunId) -> Result<Run> {
        let row = self.read_optional(scoped(GET, scope).bind(run.as_uuid())).await?;
        read_run(&mut Columns::of(&row.ok_or(Error::RunNotFound)?))
    }

    async fn list_runs(
        &self,
        scope: &Scope,
        app: AppId,
        filter: &RunFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<Run>> {
        self.list(scope, app, filter, cursor, limit).await
    }

    async fn sweep_runs(&self, sweep: SweepRuns) -> Result<SweptRuns> {
        self.sweep(&sweep).await
    }
}

pub(crate) fn read_run(columns: &mut Columns<'_>) -> Result<Run> {
    Ok(Run {
        id: RunId::from_uuid(columns.take()?),
        app: AppId::from_uuid(columns.take()?),
        thread: ThreadId::from_uuid(columns.take()?),
        agent: AgentId::from_uuid(columns.take()?),
        handler: columns.take()?,
        message: MessageId::from_uuid(columns.take()?),
        message_seq: columns.take()?,
        state: read_state(columns.take()?)?,
        attempt: columns.take()?,
        handbacks: columns.take()?,
        fence: columns.take()?,
        epoch: columns.take()?,
        server: columns.take::<Option<Uuid>>()?.map(ServerId::from_uuid),
        stop: columns.take::<Option<&str>>()?.map(stop::read_stop).transpose()?,
        reply: columns.take::<Option<Uuid>>()?.map(MessageId::from_uuid),
        failure: read_failure(columns.take()?, columns.take()?),
        available_at: columns.optional_time()?,
        created_at: columns.time()?,
        first_delta_at: columns.optional_time()?,
        finished_at: columns.optional_time()?,
        deadline_at: columns.time()?,
    })
}

fn read_state(name: &str) -> Result<RunState> {
    RunState::find(name).ok_or(Error::Corrupt("run state"))
}

pub(crate) fn read_failure(key: Option<&str>, detail: Option<String>) -> Option<Failure> {
    Some(Failure::new(FailureKind::from_stored(key?), detail.unwrap_or_default()))
}
