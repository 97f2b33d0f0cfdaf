//! Runs as they are shown, and what can be done about one.

use nexo_core::{
    AgentId, AppId, MessageId, Run, RunFilter, RunId, RunState, Scope, ThreadId, Timestamp,
};

use super::{ReadRuns, WriteRuns};
use crate::{
    Api, ApiError,
    input::{AppAccess, JsonBody, PartnersWith, Query, RunAccess, State, ThreadAccess},
    messages::MessageRead,
    openapi::wire,
    output::Json,
    pages::{Continued, Paged, cursor},
    validate::{Int, ReplyText, fields},
};

wire! {
    /// A run, as shown.
    pub(crate) struct RunRead {
        /// The run's id; agents get it as `webhook-id`.
        id: RunId,
        /// The app it belongs to.
        app_id: AppId,
        /// The thread it answers.
        thread_id: ThreadId,
        /// The agent that answers.
        agent_id: AgentId,
        /// The message that is answered.
        message_id: MessageId,
        /// That message's number in the thread.
        message_seq: i64,
        /// `queued`, `running`, `waiting`, `completed`, `failed`, `cancelled`, `superseded` or
        /// `expired`.
        state: &'static str,
        /// How many times it was begun; more than once if a server was lost or shut down.
        attempt: i64,
        /// Whether somebody has it stop.
        stopping: bool,
        /// The message that was stored as its reply.
        reply_id: Option<MessageId>,
        /// The key of what went wrong.
        error: Option<&'static str>,
        /// When a queued run may begin; null while it is behind another.
        available_at: Option<Timestamp>,
        /// When it was made.
        created_at: Timestamp,
        /// When the first piece of its text came.
        first_delta_at: Option<Timestamp>,
        /// When it ended.
        finished_at: Option<Timestamp>,
        /// When it has to have ended.
        deadline_at: Timestamp,
    }
}

impl Paged for RunRead {
    const NAME: &'static str = "RunRead";
}

impl From<Run> for RunRead {
    fn from(run: Run) -> Self {
        Self {
            id: run.id,
            app_id: run.app,
            thread_id: run.thread,
            agent_id: run.agent,
            message_id: run.message,
            message_seq: run.message_seq,
            state: run.state.as_str(),
            attempt: run.attempt.into(),
            stopping: run.stop.is_some() && !run.state.is_terminal(),
            reply_id: run.reply,
            error: run.failure.map(|failure| failure.kind.key()),
            available_at: run.available_at,
            created_at: run.created_at,
            first_delta_at: run.first_delta_at,
            finished_at: run.finished_at,
            deadline_at: run.deadline_at,
        }
    }
}

fields! {
    /// Which runs to list.
    pub(crate) query RunsQuery as "RunsQuery" {
        /// How many at most.
        limit: Int<1, 200, 25>,
        /// Where to go on.
        cursor: Option<String>,
        /// Only those in this state, or in one of several separated by commas.
        state: Option<String>,
    }
}

/// Lists an app's runs, the newest first.
pub(crate) async fn list_runs(
    State(api): State,
    access: AppAccess<PartnersWith<ReadRuns>>,
    Query(query): Query<RunsQuery>,
) -> Result<Json<Continued<RunRead>>, ApiError> {
    list(&api, &access.scope, access.app, None, query).await
}

/// Lists a thread's runs, the newest first.
pub(crate) async fn list_thread_runs(
    State(api): State,
    access: ThreadAccess<PartnersWith<ReadRuns>>,
    Query(query): Query<RunsQuery>,
) -> Result<Json<Continued<RunRead>>, ApiError> {
    let thread = api.store().get_thread(&access.scope, access.thread).await?.of(access.app)?;
    list(&api, &access.scope, access.app, Some(thread.id), query).await
}

async fn list(
    api: &Api,
    scope: &Scope,
    app: AppId,
    thread: Option<ThreadId>,
    query: RunsQuery,
) -> Result<Json<Continued<RunRead>>, ApiError> {
    let filter = RunFilter { thread, states: query.state.map(|names| states(&names)) };
    let (cursor, limit) = (cursor(query.cursor), query.limit.get());
    let page = api.store().list_runs(scope, app, &filter, cursor.as_ref(), limit).await?;
    Ok(Json(Continued::new(page)))
}

/// The states of these names; unknown ones find nothing.
fn states(names: &str) -> Vec<RunState> {
    names.split(',').filter_map(|name| RunState::find(name.trim())).collect()
}

/// Gets a run.
pub(crate) async fn get_run(
    State(api): State,
    access: RunAccess<PartnersWith<ReadRuns>>,
) -> Result<Json<RunRead>, ApiError> {
    let run = api.store().get_run(&access.scope, access.run).await?.of(access.app)?;
    Ok(Json(run.into()))
}

/// Stops a run; what its agent has said is kept. One that is under way ends a little later.
pub(crate) async fn cancel_run(
    State(api): State,
    access: RunAccess<PartnersWith<WriteRuns>>,
) -> Result<Json<RunRead>, ApiError> {
    Ok(Json(api.engine().cancel(&access.scope, access.app, access.run).await?.into()))
}

fields! {
    /// What an agent answers that answers later.
    pub(crate) body RunReply as "RunReply" {
        /// The reply's text; a number is taken as its text.
        reply: ReplyText,
    }
}

/// Answers a run that waits, in the name of its agent.
pub(crate) async fn reply_to_run(
    State(api): State,
    access: RunAccess<PartnersWith<WriteRuns>>,
    JsonBody(body): JsonBody<RunReply>,
) -> Result<Json<MessageRead>, ApiError> {
    let (scope, app, run) = (&access.scope, access.app, access.run);
    Ok(Json(api.engine().reply(scope, app, run, body.reply.0).await?.into()))
}
