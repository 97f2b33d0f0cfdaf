//! What handlers give: each type knows its status, and how to document it.

use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use http::{HeaderName, HeaderValue, StatusCode, header};
use nexo_core::{BoxError, Result};
use serde::Serialize;

use crate::{
    ApiError, Body, Response,
    openapi::{Describe, Operation},
};

/// Something that a handler can give.
pub(crate) trait Output {
    /// Makes the response of it.
    fn into_response(self) -> Response;

    /// Says what it answers.
    fn describe(operation: &mut Operation<'_>);
}

/// 200 with JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize + Describe> Output for Json<T> {
    fn into_response(self) -> Response {
        Response::json(StatusCode::OK, &self.0)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answers::<T>(StatusCode::OK);
    }
}

/// 200 with a JSON array.
pub(crate) enum List<T> {
    /// All of it at once.
    Whole(Vec<T>),
    /// A long one: each part is made when the client has taken the one before.
    Parts(BoxStream<'static, Result<Vec<T>>>),
}

impl<T: Serialize + Describe + Send + 'static> Output for List<T> {
    fn into_response(self) -> Response {
        match self {
            Self::Whole(items) => Json(items).into_response(),
            Self::Parts(parts) => {
                let body = Body::Stream(array(parts));
                let json = HeaderValue::from_static("application/json");
                Response { body, ..Response::empty(StatusCode::OK) }
                    .with(header::CONTENT_TYPE, json)
            }
        }
    }

    fn describe(operation: &mut Operation<'_>) {
        Json::<Vec<T>>::describe(operation);
    }
}

/// Writes parts of a list as one JSON array. Where a part can't be had the body breaks off, by
/// which the client sees that it is not whole.
fn array<T: Serialize + Send + 'static>(
    parts: BoxStream<'static, Result<Vec<T>>>,
) -> BoxStream<'static, Result<Bytes, BoxError>> {
    let mut separator = "[";
    let parts = parts.map(move |part| {
        let part = part?;
        let items = serde_json::to_string(&part).expect("wire types have text keys only");
        let items = &items[1..items.len() - 1];
        let before = if part.is_empty() { "" } else { std::mem::replace(&mut separator, ",") };
        Ok(Bytes::from([before, items].concat()))
    });
    parts.chain(stream::once(async { Ok(Bytes::from_static(b"]")) })).boxed()
}

/// 201 with JSON.
pub(crate) struct Created<T>(pub(crate) T);

impl<T: Serialize + Describe> Output for Created<T> {
    fn into_response(self) -> Response {
        Response::json(StatusCode::CREATED, &self.0)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answers::<T>(StatusCode::CREATED);
    }
}

/// 202 with `null`: it will be seen to.
pub(crate) struct Accepted;

impl Output for Accepted {
    fn into_response(self) -> Response {
        Response::json(StatusCode::ACCEPTED, &())
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answers::<serde_json::Value>(StatusCode::ACCEPTED);
    }
}

/// 204 without a body.
pub(crate) struct NoContent;

impl Output for NoContent {
    fn into_response(self) -> Response {
        Response::empty(StatusCode::NO_CONTENT)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answers_nothing(StatusCode::NO_CONTENT);
    }
}

/// 200 with an event stream. Every item is one whole event.
pub(crate) struct Sse(pub(crate) BoxStream<'static, Result<Bytes, BoxError>>);

impl Output for Sse {
    fn into_response(self) -> Response {
        let mut response = Response::empty(StatusCode::OK);
        response.body = Body::Stream(self.0);
        let fixed = HeaderValue::from_static;
        response
            .with(header::CONTENT_TYPE, fixed("text/event-stream; charset=utf-8"))
            .with(header::CACHE_CONTROL, fixed("no-cache"))
            .with(header::CONNECTION, fixed("keep-alive"))
            .with(HeaderName::from_static("x-accel-buffering"), fixed("no"))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answers_stream();
    }
}

/// The same with one more header.
pub(crate) struct WithHeader<T>(pub(crate) T, pub(crate) HeaderName, pub(crate) HeaderValue);

impl<T: Output> Output for WithHeader<T> {
    fn into_response(self) -> Response {
        self.0.into_response().with(self.1, self.2)
    }

    fn describe(operation: &mut Operation<'_>) {
        T::describe(operation);
    }
}

/// A response that is made by hand; it is left out of the document.
impl Output for Response {
    fn into_response(self) -> Response {
        self
    }

    fn describe(_: &mut Operation<'_>) {}
}

impl<T: Output> Output for Result<T, ApiError> {
    fn into_response(self) -> Response {
        match self {
            Ok(output) => output.into_response(),
            Err(error) => error.into_response(),
        }
    }

    fn describe(operation: &mut Operation<'_>) {
        T::describe(operation);
    }
}
