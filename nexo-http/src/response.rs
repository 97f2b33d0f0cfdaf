//! Responses, for whichever web framework sends them.

use std::fmt;

use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use nexo_core::BoxError;
use serde::Serialize;

/// One response, free of any web framework.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

/// What a response carries.
pub enum Body {
    /// Nothing.
    Empty,
    /// All of it at once.
    Full(Bytes),
    /// Piece by piece; every piece is to be sent in one write, at once.
    Stream(BoxStream<'static, Result<Bytes, BoxError>>),
}

impl Response {
    /// A response without a body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Body::Empty }
    }

    /// A response with a body of this type.
    #[must_use]
    pub fn full(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut response = Self::empty(status);
        response.body = Body::Full(body.into());
        response.with(header::CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    /// A JSON response.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Self {
        let body = serde_json::to_vec(body).expect("wire types have text keys only");
        Self::full(status, "application/json", body)
    }

    /// The same response with one header set.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// Without the headers' values, which may be secret.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers.keys())
            .field("body", &self.body)
            .finish()
    }
}

/// Without what is said.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}
