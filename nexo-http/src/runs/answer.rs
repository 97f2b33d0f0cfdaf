//! Having a thread answered: at once, as a stream, or not any more.

use std::time::Duration;

use nexo_core::{
    AppId, Error, FailureKind, KeyedRequest, Once, Overlap, RunEnd, RunEvent, RunFilter, RunId,
    RunOptions, RunState, RunWatch, Scope,
};

use super::{
    RUN_ID, WriteRuns,
    read::RunRead,
    run_id,
    stream::{Followed, asked_to_go_on, resume},
};
use crate::{
    Api, ApiError,
    idempotency::Keyed,
    input::{LastEventId, PartnersWith, Query, State, ThreadAccess},
    messages::MessageRead,
    openapi::wire,
    output::{Json, WithHeader},
    validate::{Int, fields},
};

/// The states of a run that keeps its thread busy.
const ACTIVE: [RunState; 2] = [RunState::Running, RunState::Waiting];

fields! {
    /// How a thread is to be answered.
    pub(crate) query RunQuery as "RunQuery" {
        /// What to do while an older message is answered: `queue`, `reject`, `interrupt` or
        /// `merge`; the app's own rule if it is not said.
        overlap: Option<Overlap>,
        /// For how many milliseconds to wait for a burst of messages to end.
        debounce_ms: Option<Int<0, 60_000, 0>>,
    }
}

impl RunQuery {
    pub(super) fn options(&self) -> RunOptions {
        let debounce = self.debounce_ms.map(|it| Duration::from_millis(it.get().into()));
        RunOptions { overlap: self.overlap, debounce, message_seq: None }
    }
}

fields! {
    /// How a thread is to be answered, and what of it was seen already.
    pub(crate) query RunStreamQuery as "RunStreamQuery" {
        /// What to do while an older message is answered: `queue`, `reject`, `interrupt` or
        /// `merge`; the app's own rule if it is not said.
        overlap: Option<Overlap>,
        /// For how many milliseconds to wait for a burst of messages to end.
        debounce_ms: Option<Int<0, 60_000, 0>>,
        /// The id of the last event that was seen: no run is made, the one that it names goes on.
        after: Option<String>,
    }
}

wire! {
    /// How a run ended.
    pub(crate) struct RunResponse {
        /// `completed` or `error`.
        status: &'static str,
        /// The stored reply; after an error, what came before it.
        assistant_message: Option<MessageRead>,
        /// The key of what went wrong.
        error: Option<&'static str>,
    }
}

impl RunResponse {
    fn error(kind: FailureKind, message: Option<MessageRead>) -> Self {
        Self { status: "error", assistant_message: message, error: Some(kind.key()) }
    }
}

impl From<&RunEnd> for RunResponse {
    fn from(end: &RunEnd) -> Self {
        let message = end.message.clone().map(MessageRead::from);
        if end.is_success() {
            return Self { status: "completed", assistant_message: message, error: None };
        }
        let kind = end.failure.as_ref().map_or(FailureKind::Internal, |failure| failure.kind);
        Self::error(kind, message)
    }
}

/// Answers the newest user message, and waits for the reply.
pub(crate) async fn run_sync(
    State(api): State,
    access: ThreadAccess<PartnersWith<WriteRuns>>,
    Keyed(request): Keyed,
    Query(query): Query<RunQuery>,
) -> Result<Once<WithHeader<Json<RunResponse>>>, ApiError> {
    let Once { made: watch, replayed } = start(&api, &access, query.options(), request).await?;
    let id = run_id(watch.run());
    let made = WithHeader(Json(outcome(&api, watch).await?), RUN_ID, id);
    Ok(Once { made, replayed })
}

/// Answers the newest user message, and streams the reply. With the id of an event, the run
/// that it names goes on from there, and none is made.
pub(crate) async fn run_stream(
    State(api): State,
    access: ThreadAccess<PartnersWith<WriteRuns>>,
    LastEventId(last): LastEventId,
    Keyed(request): Keyed,
    Query(query): Query<RunStreamQuery>,
) -> Result<Once<Followed>, ApiError> {
    if let Some(cursor) = asked_to_go_on(query.after, last) {
        let cursor = cursor?;
        match api.store().get_run(&access.scope, cursor.run).await {
            Ok(run) if run.thread == access.thread => {}
            Ok(_) | Err(Error::RunNotFound) => return Err(Error::InvalidCursor.into()),
            Err(error) => return Err(error.into()),
        }
        return resume(&api, &access.scope, access.app, cursor, None).await.map(Once::first);
    }
    let RunStreamQuery { overlap, debounce_ms, .. } = query;
    let options = RunQuery { overlap, debounce_ms }.options();
    let started = start(&api, &access, options, request).await?;
    // Who asked for the answer gets all of it: not every such client could go on with it.
    Ok(started.map(|watch| Followed::from_start(watch, &api, None)))
}

async fn start(
    api: &Api,
    access: &ThreadAccess<PartnersWith<WriteRuns>>,
    options: RunOptions,
    request: Option<KeyedRequest>,
) -> Result<Once<RunWatch>, ApiError> {
    count(api, &access.scope, access.app)?;
    let (engine, scope, app, thread) = (api.engine(), &access.scope, access.app, access.thread);
    Ok(match request {
        Some(request) => engine.start_once(scope, app, thread, options, request).await?,
        None => Once::first(engine.start_with(scope, app, thread, options).await?),
    })
}

/// Counts one more run of whoever asks for it.
pub(crate) fn count(api: &Api, scope: &Scope, app: AppId) -> Result<(), ApiError> {
    let caller = match scope {
        Scope::Owner(owner) => owner.to_string(),
        _ => app.to_string(),
    };
    api.throttle().count_local("runs", &caller, |limits| limits.runs_by_caller)
}

/// What came of a run. An agent that answers later is waited for a while only. Where it can't be
/// told here, whoever asked learns at least which run it is.
pub(crate) async fn outcome(api: &Api, mut watch: RunWatch) -> Result<RunResponse, ApiError> {
    let run = watch.run();
    loop {
        match tokio::time::timeout(api.settings().run_wait, watch.next()).await {
            Ok(Some(RunEvent::End(end))) => return Ok(RunResponse::from(&*end)),
            Ok(Some(_)) => {}
            // The server shuts down, and another one goes on with the run.
            Ok(None) => return Err(ApiError::UNAVAILABLE.retrying(1).of_run(run)),
            Err(_) => match is_answered_later(api, run).await {
                Ok(true) => return Ok(RunResponse::error(FailureKind::RunWaiting, None)),
                Ok(false) => {}
                // The watch goes on, and knows more once the store is back.
                Err(error) if error.is_passing() => {}
                Err(error) => return Err(ApiError::from(error).of_run(run)),
            },
        }
    }
}

/// Whether a run waits for an agent that answers later: its own, or that of the run before it.
async fn is_answered_later(api: &Api, run: RunId) -> nexo_core::Result<bool> {
    let run = api.store().get_run(&Scope::Everything, run).await?;
    if run.state != RunState::Queued {
        return Ok(run.state == RunState::Waiting);
    }
    let waiting = Some(vec![RunState::Waiting]);
    let filter = RunFilter { thread: Some(run.thread), states: waiting };
    let before = api.store().list_runs(&Scope::Everything, run.app, &filter, None, 1).await?;
    Ok(!before.items.is_empty())
}

/// Stops the run that is under way in a thread; what its agent has said is kept.
pub(crate) async fn cancel_thread_run(
    State(api): State,
    access: ThreadAccess<PartnersWith<WriteRuns>>,
) -> Result<Json<RunRead>, ApiError> {
    let (scope, app) = (&access.scope, access.app);
    let thread = api.store().get_thread(scope, access.thread).await?.of(app)?;
    let filter = RunFilter { thread: Some(thread.id), states: Some(ACTIVE.to_vec()) };
    loop {
        let active = api.store().list_runs(scope, app, &filter, None, 1).await?;
        let run = active.items.first().ok_or(Error::RunNotFound)?;
        match api.engine().cancel(scope, app, run.id).await {
            // It ended in between, and another one may be under way by now.
            Err(Error::RunEnded(_)) => {}
            cancelled => return Ok(Json(cancelled?.into())),
        }
    }
}
