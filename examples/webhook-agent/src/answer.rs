//! Answers as axum sends them. In another framework, this is the file that differs.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use nexo_core::agent::{Answer, EVENT_STREAM, events};

/// An answer in one piece.
pub(crate) fn whole(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).expect("an answer has a status that there is");
    if let Some(content_type) = answer.content_type {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

/// A text that is said word by word. When the client goes away, the stream is dropped, and
/// what would have been said with it.
pub(crate) fn word_by_word(text: &str, pause: Duration) -> Response {
    let words: Vec<String> = text.split_inclusive(char::is_whitespace).map(str::to_owned).collect();
    let words = stream::iter(words).enumerate().then(move |(number, word)| async move {
        if number > 0 {
            tokio::time::sleep(pause).await;
        }
        Ok::<_, Infallible>(word)
    });
    let body = Body::from_stream(events(words).map(Ok::<_, Infallible>));
    ([(CONTENT_TYPE, EVENT_STREAM), (CACHE_CONTROL, "no-cache")], body).into_response()
}
