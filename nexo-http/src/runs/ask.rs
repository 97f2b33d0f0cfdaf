//! Saying something and having it answered, in one call.

use http::StatusCode;
use nexo_core::{JsonObject, Once, Overlap, Role, RunId, RunWatch};

use super::{
    RUN_ID, WriteRuns,
    answer::{RunQuery, RunResponse, count, outcome},
    run_id,
    stream::Followed,
};
use crate::{
    Api, ApiError, Response,
    idempotency::Keyed,
    input::{BodyRoom, JsonBody, PartnersWith, State, ThreadAccess},
    messages::{MessageCreate, MessageRead},
    openapi::{Operation, wire},
    output::{Json, Output, WithHeader},
    validate::{Content, Flag, Given, Int, fields},
};

fields! {
    /// What is said, and how it is to be answered.
    pub(crate) body RunCreate as "RunCreate" {
        /// The text.
        content: Option<Content>,
        /// Structured data beside the text.
        content_json: Given<JsonObject>,
        /// Whether the reply is streamed.
        stream: Option<Flag>,
        /// What to do while an older message is answered: `queue`, `reject`, `interrupt` or
        /// `merge`; the app's own rule if it is not said.
        overlap: Option<Overlap>,
        /// For how many milliseconds to wait for a burst of messages to end.
        debounce_ms: Option<Int<0, 60_000, 0>>,
    }
}

wire! {
    /// What was said, and how it was answered.
    pub(crate) struct RunCreateResponse {
        /// What was said, as it was stored.
        message: MessageRead,
        /// The run that answered.
        run_id: RunId,
        /// `completed` or `error`.
        status: &'static str,
        /// The stored reply; after an error, what came before it.
        assistant_message: Option<MessageRead>,
        /// The key of what went wrong.
        error: Option<&'static str>,
    }
}

/// The whole answer at once, or as a stream.
pub(crate) enum Answered {
    Whole(Box<WithHeader<Json<RunCreateResponse>>>),
    Stream(Followed),
}

impl Output for Answered {
    fn into_response(self) -> Response {
        match self {
            Self::Whole(whole) => (*whole).into_response(),
            Self::Stream(stream) => stream.into_response(),
        }
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answers::<RunCreateResponse>(StatusCode::OK);
        operation.answers_stream();
    }
}

/// Says something as the customer and has it answered. Where the answer is refused, nothing
/// is said.
pub(crate) async fn create_run(
    State(api): State,
    access: ThreadAccess<PartnersWith<WriteRuns>>,
    Keyed(request): Keyed,
    JsonBody(body): JsonBody<RunCreate>,
    room: BodyRoom,
) -> Result<Once<Answered>, ApiError> {
    let RunCreate { content, content_json, stream, overlap, debounce_ms } = body;
    let message = MessageCreate { content, content_json }.into_message(&api, Role::User);
    let options = RunQuery { overlap, debounce_ms }.options();
    count(&api, &access.scope, access.app)?;
    let ThreadAccess { scope, app, thread, .. } = access;
    let Once { made: (said, watch), replayed } =
        api.engine().ask(&scope, app, thread, message, options, request).await?;
    room.leave();
    let made = if stream.is_some_and(|stream| stream.0) {
        Answered::Stream(Followed::from_start(watch, &api, None))
    } else {
        Answered::Whole(Box::new(whole(&api, said.into(), watch).await?))
    };
    Ok(Once { made, replayed })
}

async fn whole(
    api: &Api,
    message: MessageRead,
    watch: RunWatch,
) -> Result<WithHeader<Json<RunCreateResponse>>, ApiError> {
    let run = watch.run();
    let RunResponse { status, assistant_message, error } = outcome(api, watch).await?;
    let answer = RunCreateResponse { message, run_id: run, status, assistant_message, error };
    Ok(WithHeader(Json(answer), RUN_ID, run_id(run)))
}
