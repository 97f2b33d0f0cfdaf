//! What handlers take: each argument's type reads its part of the request.

mod access;
mod body;
mod client;
mod query;
mod user;

pub(crate) use access::{
    Access, AppAccess, DeliveryAccess, May, OwnThread, OwnerOnly, PartnerScope, Partners,
    PartnersWith, ReplayAccess, RunAccess, SubscriberAccess, ThreadAccess,
};
pub(crate) use body::{BodyRoom, Form, JsonBody, is_json};
pub use client::network_of;
pub(crate) use client::{Client, network};
#[cfg(feature = "docs-ui")]
pub(crate) use query::DocsFile;
pub(crate) use query::{LastEventId, Path, Query};
pub(crate) use user::{CurrentUser, NamedUser, Superuser};

use crate::{Api, ApiError, Request, openapi::Operation, validate::Violation};

/// Why an input can't be taken.
pub(crate) enum Reject {
    /// The request ends here.
    Stop(ApiError),
    /// The request does not fit; what else is wrong with it is collected as well.
    Invalid(Vec<Violation>),
}

impl From<ApiError> for Reject {
    fn from(error: ApiError) -> Self {
        Self::Stop(error)
    }
}

impl From<nexo_core::Error> for Reject {
    fn from(error: nexo_core::Error) -> Self {
        Self::Stop(error.into())
    }
}

/// A part of the request that a handler takes.
pub(crate) trait Input: Sized + Send {
    /// Reads it.
    fn take(request: &mut Request, api: &Api) -> impl Future<Output = Result<Self, Reject>> + Send;

    /// Says what is taken.
    fn describe(_operation: &mut Operation<'_>) {}
}

/// The application's own state.
pub(crate) struct State(pub(crate) Api);

impl Input for State {
    async fn take(_: &mut Request, api: &Api) -> Result<Self, Reject> {
        Ok(Self(api.clone()))
    }
}
