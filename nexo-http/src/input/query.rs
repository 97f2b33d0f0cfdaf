//! Queries and path parameters.

use std::str::FromStr;

use nexo_core::{AppId, DeliveryId, MessageId, ReplayId, RunId, SubscriberId, ThreadId};
use serde_json::json;

use super::{Input, Reject, body::pairs};
use crate::{
    Api, Request,
    openapi::{Describe, Operation},
    validate::{FromFields, Reader, Violation},
};

/// The query, read field by field.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: FromFields + Send> Input for Query<T> {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let fields = pairs(request.query.as_deref().unwrap_or_default().as_bytes());
        Reader::new(api, "query").read(fields).map(Self).map_err(Reject::Invalid)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.query_params::<T>();
    }
}

/// An id that stands in a path, under this name.
pub(crate) trait PathParam: FromStr<Err: std::fmt::Display> + Describe + Send {
    /// The name in the pattern's braces.
    const NAME: &'static str;
}

macro_rules! path_params {
    ($($type:ty = $name:literal),* $(,)?) => {$(
        impl PathParam for $type {
            const NAME: &'static str = $name;
        }
    )*};
}

path_params! {
    AppId = "app_id",
    ThreadId = "thread_id",
    MessageId = "message_id",
    SubscriberId = "subscriber_id",
    RunId = "run_id",
    ReplayId = "replay_id",
    DeliveryId = "delivery_id",
}

/// A parameter of the path.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: PathParam> Input for Path<T> {
    async fn take(request: &mut Request, _: &Api) -> Result<Self, Reject> {
        cut(request).map(Self)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.path_param::<T>(T::NAME);
    }
}

/// Cuts a parameter out of the path.
pub(crate) fn cut<T: PathParam>(request: &Request) -> Result<T, Reject> {
    let text = request.path_param(T::NAME).unwrap_or_default();
    text.parse().map_err(|error: T::Err| {
        let error = error.to_string();
        let loc = vec!["path".into(), T::NAME.into()];
        let msg = format!("Input should be a valid UUID, {error}");
        let violation = Violation::new("uuid_parsing", loc, msg)
            .with_input(text)
            .with_ctx(json!({ "error": error }));
        Reject::Invalid(vec![violation])
    })
}

/// What a browser that connects to a stream again says that it has seen.
pub(crate) struct LastEventId(pub(crate) Option<String>);

impl Input for LastEventId {
    async fn take(request: &mut Request, _: &Api) -> Result<Self, Reject> {
        // What is no text is no cursor either, and is refused as one.
        let value = request.headers.get("last-event-id");
        Ok(Self(value.map(|value| value.to_str().unwrap_or("?").to_owned())))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.header_param("Last-Event-ID");
    }
}

/// A file of the documentation's page.
#[cfg(feature = "docs-ui")]
pub(crate) struct DocsFile(pub(crate) String);

#[cfg(feature = "docs-ui")]
impl Input for DocsFile {
    async fn take(request: &mut Request, _: &Api) -> Result<Self, Reject> {
        Ok(Self(request.path_param("file").unwrap_or_default()))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.path_param::<String>("file");
    }
}
