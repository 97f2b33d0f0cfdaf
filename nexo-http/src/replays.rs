//! Replays: the endpoints that put a turn to an agent again, and show what came of it.

use nexo_core::{
    AgentId, AppId, Error, JsonObject, Replay, ReplayId, Run, RunId, RunOptions, Timestamp,
};

use crate::{
    Api, ApiError,
    input::{BodyRoom, JsonBody, PartnersWith, Query, ReplayAccess, RunAccess, State},
    messages::MessageRead,
    openapi::wire,
    output::{Json, WithHeader},
    pages::{Continued, Paged, cursor},
    runs::{RUN_ID, ReadRuns, RunResponse, WriteRuns, count, outcome, run_id},
    validate::{Flag, Int, Violation, fields},
};

wire! {
    /// What came of a dry replay.
    pub(crate) struct ReplayRead {
        /// The replay's id; agents get it as `webhook-id`.
        id: ReplayId,
        /// The app it belongs to.
        app_id: AppId,
        /// The run whose turn it was; agents get it as `X-Replay-Of`.
        run_id: RunId,
        /// The agent that was asked.
        agent_id: AgentId,
        /// `completed` or `error`.
        status: &'static str,
        /// What the agent said; after an error, what came before it.
        content: Option<String>,
        /// Structured data beside the text.
        content_json: Option<JsonObject>,
        /// The key of what went wrong.
        error: Option<&'static str>,
        /// When it began.
        created_at: Timestamp,
        /// When the first piece of its text came.
        first_delta_at: Option<Timestamp>,
        /// When it ended.
        finished_at: Timestamp,
    }
}

impl Paged for ReplayRead {
    const NAME: &'static str = "ReplayRead";
}

impl From<Replay> for ReplayRead {
    fn from(replay: Replay) -> Self {
        let (content, content_json) =
            replay.reply.map(|reply| (reply.content, reply.content_json)).unzip();
        Self {
            id: replay.id,
            app_id: replay.app,
            run_id: replay.run,
            agent_id: replay.agent,
            status: if replay.failure.is_none() { "completed" } else { "error" },
            content,
            content_json,
            error: replay.failure.map(|failure| failure.kind.key()),
            created_at: replay.created_at,
            first_delta_at: replay.first_delta_at,
            finished_at: replay.finished_at,
        }
    }
}

fields! {
    /// How to replay a run.
    pub(crate) separate ReplayCreate as "ReplayCreate" {
        /// The agent to ask; the run's own if it is not said. Only for dry replays: in the thread
        /// answers who holds it.
        agent_id: Option<AgentId>,
        /// Whether nothing is stored but the replay's own record, which is so unless it is said
        /// otherwise; else the message is answered again in its thread.
        dry_run: Option<Flag>,
    }
}

wire! {
    /// How a replay ended.
    pub(crate) struct ReplayResponse {
        /// `completed` or `error`.
        status: &'static str,
        /// The reply, if it was stored in the thread.
        assistant_message: Option<MessageRead>,
        /// The key of what went wrong.
        error: Option<&'static str>,
        /// The id of the dry replay.
        replay_id: Option<ReplayId>,
        /// What came of the dry replay.
        replay: Option<ReplayRead>,
    }
}

impl From<Replay> for ReplayResponse {
    fn from(replay: Replay) -> Self {
        let replay = ReplayRead::from(replay);
        Self {
            status: replay.status,
            assistant_message: None,
            error: replay.error,
            replay_id: Some(replay.id),
            replay: Some(replay),
        }
    }
}

impl From<RunResponse> for ReplayResponse {
    fn from(run: RunResponse) -> Self {
        Self {
            status: run.status,
            assistant_message: run.assistant_message,
            error: run.error,
            replay_id: None,
            replay: None,
        }
    }
}

/// Puts the turn of a run to an agent again: the same message with what was said up to it. Dry,
/// unless it is said otherwise: then the message is answered again by a new run, for as long as
/// it is the newest of the thread's user messages.
pub(crate) async fn replay_run(
    State(api): State,
    access: RunAccess<PartnersWith<WriteRuns>>,
    JsonBody(body): JsonBody<ReplayCreate>,
    room: BodyRoom,
) -> Result<WithHeader<Json<ReplayResponse>>, ApiError> {
    room.leave();
    count(&api, &access.scope, access.app)?;
    let dry = body.dry_run.is_none_or(|dry_run| dry_run.0);
    let (run, response) = if dry {
        let (scope, app) = (&access.scope, access.app);
        let replay = api.engine().replay(scope, app, access.run, body.agent_id).await?;
        (replay.run, replay.into())
    } else {
        answer_again(&api, &access, body.agent_id).await?
    };
    Ok(WithHeader(Json(response), RUN_ID, run_id(run)))
}

async fn answer_again(
    api: &Api,
    access: &RunAccess<PartnersWith<WriteRuns>>,
    agent: Option<AgentId>,
) -> Result<(RunId, ReplayResponse), ApiError> {
    let run = api.store().get_run(&access.scope, access.run).await?.of(access.app)?;
    check(&run, agent)?;
    let options = RunOptions { message_seq: Some(run.message_seq), ..RunOptions::default() };
    let watch = api.engine().start_with(&access.scope, access.app, run.thread, options).await?;
    Ok((watch.run(), outcome(api, watch).await?.into()))
}

/// Whether the message of a run may be answered again.
fn check(run: &Run, agent: Option<AgentId>) -> Result<(), ApiError> {
    if let Some(agent) = agent {
        let loc = vec!["body".into(), "agent_id".into()];
        let msg = "Value error, only a dry replay can ask another agent than the thread's";
        let violation = Violation::new("value_error", loc, msg).with_input(agent.to_string());
        return Err(ApiError::invalid(vec![violation]));
    }
    // There is no answer yet that could be replaced.
    if !run.state.is_terminal() {
        return Err(Error::RunActive(run.thread).into());
    }
    Ok(())
}

fields! {
    /// Which replays of a run to list.
    pub(crate) query ReplaysQuery as "ReplaysQuery" {
        /// How many at most.
        limit: Int<1, 50, 25>,
        /// Where to go on.
        cursor: Option<String>,
    }
}

/// Lists the dry replays of a run, the newest first.
pub(crate) async fn list_replays(
    State(api): State,
    access: RunAccess<PartnersWith<ReadRuns>>,
    Query(query): Query<ReplaysQuery>,
) -> Result<Json<Continued<ReplayRead>>, ApiError> {
    let (scope, app, run) = (&access.scope, access.app, access.run);
    let (limit, cursor) = (query.limit.get(), cursor(query.cursor));
    let page = api.store().list_replays(scope, app, run, cursor.as_ref(), limit).await?;
    Ok(Json(Continued::new(page)))
}

/// Gets a dry replay.
pub(crate) async fn get_replay(
    State(api): State,
    access: ReplayAccess<PartnersWith<ReadRuns>>,
) -> Result<Json<ReplayRead>, ApiError> {
    let replay = api.store().get_replay(&access.scope, access.app, access.replay).await?;
    Ok(Json(replay.into()))
}
