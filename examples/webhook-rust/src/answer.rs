//! What goes back to the server: JSON, a stream of words, or a refusal.

use std::{convert::Infallible, future::ready, time::Duration};

use axum::{
    http::{StatusCode, header::CONTENT_TYPE},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};

/// Why there is no reply.
pub(crate) enum Refusal {
    /// The request is not from who has the secret, or not from just now.
    Unsigned,
    /// The payload can't be answered; the text says why.
    BadRequest(&'static str),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Unsigned => StatusCode::UNAUTHORIZED.into_response(),
            Self::BadRequest(why) => {
                (StatusCode::BAD_REQUEST, json(&json!({ "error": why }))).into_response()
            }
        }
    }
}

pub(crate) fn json(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// Says the reply word by word. When the client goes away, the stream is dropped.
pub(crate) fn stream(
    reply: &str,
    pause: Duration,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let words: Vec<String> =
        reply.split_inclusive(char::is_whitespace).map(str::to_owned).collect();
    let deltas = stream::iter(words).enumerate().then(move |(number, word)| async move {
        if number > 0 {
            tokio::time::sleep(pause).await;
        }
        event("delta", &json!({ "text": word }))
    });
    let done = stream::once(ready(event("done", &json!({}))));
    Sse::new(deltas.chain(done).map(Ok))
}

fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
