//! Requests, as they come from whichever web framework.

use std::{borrow::Cow, fmt, net::IpAddr};

use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, Method};
use nexo_core::{AppId, BoxError, Scope, SubscriberId, ThreadId};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use crate::path;

/// A request's body while it arrives.
pub type BodyStream = BoxStream<'static, Result<Bytes, BoxError>>;

/// What a request's path names, and how far the caller sees.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) scope: Scope,
    pub(crate) app: AppId,
    pub(crate) within: Within,
}

/// What of the app is named.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Within {
    /// Nothing of it that could be looked up.
    App,
    /// A thread.
    Thread(ThreadId),
    /// A subscriber.
    Subscriber(SubscriberId),
}

/// One request, free of any web framework.
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path as it was sent, percent-encoding included.
    pub path: String,
    /// What follows the `?`.
    pub query: Option<String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The client's network address, where the transport knows it.
    pub peer: Option<IpAddr>,
    pub(crate) content: Content,
    /// What the body takes up of the room for large ones, until the request is answered or its
    /// handler gives it back.
    pub(crate) room: Option<OwnedSemaphorePermit>,
    pub(crate) pattern: Cow<'static, str>,
    /// Whether an object in the body is a merge patch (RFC 7396).
    pub(crate) merges: bool,
    pub(crate) request_id: String,
    pub(crate) named: Option<Named>,
}

/// What the body turned out to hold.
#[derive(Default)]
pub(crate) enum Content {
    /// It was not read.
    #[default]
    Unread,
    /// It was read, and is to be taken apart by the input that wants it.
    Bytes(Bytes),
    /// It is JSON: what it says, and how it was written.
    Json(Value, Bytes),
}

impl Request {
    /// A request with this method, path and query.
    #[must_use]
    pub fn new(method: Method, path: String, query: Option<String>, headers: HeaderMap) -> Self {
        Self {
            method,
            path,
            query,
            headers,
            peer: None,
            content: Content::Unread,
            room: None,
            pattern: Cow::Borrowed(""),
            merges: false,
            request_id: String::new(),
            named: None,
        }
    }

    /// A header's value, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A parameter of the path, percent-decoded once; `None` if it is not UTF-8.
    #[must_use]
    pub fn path_param(&self, name: &str) -> Option<String> {
        path::param(&self.pattern, &self.path, name)
    }
}

/// Without the headers' values and the query, which may be secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &self.headers.keys())
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
