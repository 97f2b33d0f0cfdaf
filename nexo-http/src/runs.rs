//! Runs: the endpoints that have a thread answered, at once or as a stream.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderName, HeaderValue};
use nexo_core::{BoxError, Failure, FailureKind, RunEnd, RunEvent, RunState, RunWatch, Scope, sse};
use serde_json::{Value, json};

use crate::{
    Api, ApiError,
    input::{PartnerScope, PartnersWith, State, ThreadAccess},
    messages::MessageRead,
    openapi::wire,
    output::{Json, Sse, WithHeader},
};

const RUN_ID: HeaderName = HeaderName::from_static("x-run-id");

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

/// Lets partners run threads.
pub(crate) struct WriteRuns;

impl PartnerScope for WriteRuns {
    const NAME: &'static str = "runs:write";
}

/// Answers the newest user message, and waits for the reply.
pub(crate) async fn run_sync(
    State(api): State,
    access: ThreadAccess<PartnersWith<WriteRuns>>,
) -> Result<WithHeader<Json<RunResponse>>, ApiError> {
    let watch = start(&api, access).await?;
    let id = run_id(&watch);
    let end = watch.end().await;
    Ok(WithHeader(Json(response(end.as_deref())), RUN_ID, id))
}

/// Answers the newest user message, and streams the reply.
pub(crate) async fn run_stream(
    State(api): State,
    access: ThreadAccess<PartnersWith<WriteRuns>>,
) -> Result<WithHeader<Sse>, ApiError> {
    let watch = start(&api, access).await?;
    let id = run_id(&watch);
    Ok(WithHeader(events(watch, api.settings().heartbeat), RUN_ID, id))
}

async fn start(
    api: &Api,
    access: ThreadAccess<PartnersWith<WriteRuns>>,
) -> Result<RunWatch, ApiError> {
    let caller = match &access.scope {
        Scope::Owner(owner) => owner.to_string(),
        _ => access.app.to_string(),
    };
    api.throttle().count_local("runs", &caller, |limits| limits.runs_by_caller)?;
    Ok(api.engine().start(&access.scope, access.app, access.thread).await?)
}

fn run_id(watch: &RunWatch) -> HeaderValue {
    HeaderValue::try_from(watch.run().to_string()).expect("an id is ASCII")
}

/// A run that ended without a word, which only a panic makes, counts as failed.
fn response(end: Option<&RunEnd>) -> RunResponse {
    let message = end.and_then(|end| end.message.clone()).map(MessageRead::from);
    match end.filter(|end| is_success(end)) {
        Some(_) => RunResponse { status: "completed", assistant_message: message, error: None },
        None => RunResponse {
            status: "error",
            assistant_message: message,
            error: Some(failure(end).key()),
        },
    }
}

/// Also a run that somebody stopped has an answer, if it had said something.
fn is_success(end: &RunEnd) -> bool {
    let stopped = end.state == RunState::Cancelled && end.message.is_some();
    end.state == RunState::Completed || stopped
}

fn failure(end: Option<&RunEnd>) -> FailureKind {
    let kind = |failure: &Failure| failure.kind;
    end.and_then(|end| end.failure.as_ref()).map_or(FailureKind::Internal, kind)
}

/// The run as an event stream: every item is one whole event, and after a while of silence
/// comes a comment, by which a client that is gone is noticed.
fn events(watch: RunWatch, heartbeat: Duration) -> Sse {
    let reader = Reader { watch, heartbeat, ready: VecDeque::new() };
    let events = stream::unfold(reader, |mut reader| async move {
        // Clients forget what they have read of an event at the end of a read: a pause
        // between two has the server send each in a write of its own.
        tokio::task::yield_now().await;
        let event = reader.next().await?;
        Some((Ok::<_, BoxError>(event), reader))
    });
    Sse(events.boxed())
}

struct Reader {
    watch: RunWatch,
    heartbeat: Duration,
    /// Events that are due before the next of the run.
    ready: VecDeque<Bytes>,
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(ready) = self.ready.pop_front() {
            return Some(ready);
        }
        match tokio::time::timeout(self.heartbeat, self.watch.next()).await {
            Err(_) => Some(sse::comment("keep-alive")),
            Ok(event) => {
                self.ready.extend(encode(event?));
                self.ready.pop_front()
            }
        }
    }
}

/// What a client is sent for an event of the run.
fn encode(event: RunEvent) -> Vec<Bytes> {
    match event {
        RunEvent::Meta { source, reason: None } => {
            vec![sse_event("meta", &json!({"source": &*source}))]
        }
        RunEvent::Meta { source, reason } => {
            vec![sse_event("meta", &json!({"source": &*source, "reason": reason.as_deref()}))]
        }
        RunEvent::Delta(text) => vec![sse_event("delta", &json!({"text": &*text}))],
        RunEvent::End(end) => encode_end(&end),
    }
}

fn encode_end(end: &Arc<RunEnd>) -> Vec<Bytes> {
    let success = is_success(end);
    let mut done = json!({"status": if success { "completed" } else { "error" }});
    if let Some(message) = &end.message {
        done["message_id"] = json!(message.id);
        done["seq"] = json!(message.seq);
    }
    let done = sse_event("done", &done);
    if success {
        return vec![done];
    }
    let kind = failure(Some(end));
    let error = json!({"message": kind.key(), "code": kind.key(), "detail": kind.description()});
    vec![sse_event("error", &error), done]
}

fn sse_event(name: &str, data: &Value) -> Bytes {
    sse::encode(name, &data.to_string())
}
