//! Users of the built-in accounts.

use nexo_core::accounts::User;

use super::{Input, Reject};
use crate::{Api, ApiError, Request, openapi::Operation};

/// The signed-in user.
pub(crate) struct CurrentUser(pub(crate) User);

impl Input for CurrentUser {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let user = api.accounts().user(&request.headers).await?;
        Ok(Self(user.ok_or(ApiError::UNAUTHORIZED)?))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.needs_bearer();
    }
}

/// A signed-in user who administers users.
pub(crate) struct Superuser;

impl Input for Superuser {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let CurrentUser(user) = CurrentUser::take(request, api).await?;
        if user.is_superuser { Ok(Self) } else { Err(ApiError::FORBIDDEN.into()) }
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.needs_bearer();
    }
}

/// The user whom the path names; a malformed id is one that nobody has.
pub(crate) struct NamedUser(pub(crate) User);

impl Input for NamedUser {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let id = request.path_param("id").and_then(|text| text.parse().ok());
        let id = id.ok_or(ApiError::NOT_FOUND)?;
        let user = api.accounts().store().find_user(id).await?;
        Ok(Self(user.ok_or(ApiError::NOT_FOUND)?))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.path_param::<String>("id");
    }
}
