//! Runs as event streams, from their start or from where a reader was cut off.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use nexo_core::{AppId, Error, Failure, RunCursor, RunEnd, RunEvent, RunWatch, Scope, sse};
use serde_json::{Value, json};

use super::{RUN_ID, ReadRuns, run_id};
use crate::{
    Api, ApiError, Response,
    input::{LastEventId, PartnersWith, Query, RunAccess, State},
    openapi::Operation,
    output::{NoContent, Output, Sse, WithHeader},
    streams::{Next, RETRY_MS, Watch, events},
    validate::fields,
};

fields! {
    /// What was seen of a run already.
    pub(crate) query EventsQuery as "EventsQuery" {
        /// The id of the last event that was seen.
        after: Option<String>,
    }
}

/// Watches a run, from its start or from the event of this id.
pub(crate) async fn run_events(
    State(api): State,
    access: RunAccess<PartnersWith<ReadRuns>>,
    LastEventId(last): LastEventId,
    Query(query): Query<EventsQuery>,
) -> Result<Followed, ApiError> {
    let run = api.store().get_run(&access.scope, access.run).await?.of(access.app)?;
    let lifetime = Some(api.settings().feed_lifetime);
    match asked_to_go_on(query.after, last) {
        Some(Ok(cursor)) if cursor.run != run.id => Err(Error::InvalidCursor.into()),
        Some(cursor) => resume(&api, &access.scope, access.app, cursor?, lifetime).await,
        None => {
            let watch = api.engine().watch(&access.scope, run.id).await?;
            Ok(Followed::from_start(watch, &api, lifetime))
        }
    }
}

/// The cursor that a request carries, in the header that browsers send or in its query. A
/// browser that comes back repeats the query of the first time; its header is newer.
pub(super) fn asked_to_go_on(
    after: Option<String>,
    last: Option<String>,
) -> Option<Result<RunCursor, Error>> {
    let given = |text: &String| !text.is_empty();
    let text = last.filter(given).or(after.filter(given))?;
    Some(text.parse().map_err(|_| Error::InvalidCursor))
}

/// Goes on with the run that a cursor names, for so long at most.
pub(super) async fn resume(
    api: &Api,
    scope: &Scope,
    app: AppId,
    cursor: RunCursor,
    lifetime: Option<Duration>,
) -> Result<Followed, ApiError> {
    match api.engine().resume(scope, app, cursor).await? {
        None => Ok(Followed::ToTheEnd),
        Some(watch) => Ok(Followed::from_cursor(watch, api, lifetime)),
    }
}

/// A run's event stream, or nothing where its reader has seen everything: the status that has
/// a browser stop asking.
pub(crate) enum Followed {
    Stream(WithHeader<Sse>),
    ToTheEnd,
}

impl Followed {
    /// Who has to wait for the first event is told at once how to go on with the run: a
    /// request without an id may well make another one.
    pub(super) fn from_start(watch: RunWatch, api: &Api, lifetime: Option<Duration>) -> Self {
        let ready = watch.is_quiet().then(|| sse::id(&watch.cursor().to_string()));
        Self::new(watch, ready, api, lifetime)
    }

    /// Only a reader that knows how to go on is told when to connect again.
    fn from_cursor(watch: RunWatch, api: &Api, lifetime: Option<Duration>) -> Self {
        Self::new(watch, Some(sse::retry(RETRY_MS)), api, lifetime)
    }

    fn new(watch: RunWatch, first: Option<Bytes>, api: &Api, lifetime: Option<Duration>) -> Self {
        let (id, heartbeat) = (run_id(watch.run()), api.settings().heartbeat);
        Self::Stream(WithHeader(events(Reader(watch), first, heartbeat, lifetime), RUN_ID, id))
    }
}

impl Output for Followed {
    fn into_response(self) -> Response {
        match self {
            Self::Stream(stream) => stream.into_response(),
            Self::ToTheEnd => NoContent.into_response(),
        }
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answers_stream();
        operation.answers_nothing(StatusCode::NO_CONTENT);
    }
}

struct Reader(RunWatch);

impl Watch for Reader {
    async fn next(&mut self) -> Option<Next> {
        let event = self.0.next().await?;
        let encoded = encode(&event, self.0.cursor());
        Some(match event {
            RunEvent::End(_) => Next::Last(encoded),
            _ => Next::Event(encoded),
        })
    }
}

/// What a client is sent for an event of the run, after which it has seen as much as the
/// cursor says.
fn encode(event: &RunEvent, cursor: RunCursor) -> Bytes {
    let (name, data) = match event {
        RunEvent::Meta { source, reason: None } => ("meta", json!({"source": &**source})),
        RunEvent::Meta { source, reason } => {
            ("meta", json!({"source": &**source, "reason": reason.as_deref()}))
        }
        RunEvent::Reset { attempt } => ("reset", json!({"attempt": attempt})),
        RunEvent::Delta(text) => ("delta", json!({"text": &**text})),
        RunEvent::Error(failure) => ("error", error(failure)),
        RunEvent::End(end) => ("done", done(end)),
    };
    sse::encode_with_id(&cursor.to_string(), name, &data.to_string())
}

fn error(failure: &Failure) -> Value {
    let kind = failure.kind;
    json!({"message": kind.key(), "code": kind.key(), "detail": kind.description()})
}

fn done(end: &RunEnd) -> Value {
    let mut done = json!({"status": if end.is_success() { "completed" } else { "error" }});
    if let Some(message) = &end.message {
        done["message_id"] = json!(message.id);
        done["seq"] = json!(message.seq);
    }
    done
}
