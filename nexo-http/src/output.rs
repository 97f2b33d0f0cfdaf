//! What handlers give: each type knows its status, and how to document it.

use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderName, HeaderValue, StatusCode, header};
use nexo_core::BoxError;
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
