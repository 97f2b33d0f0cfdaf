//! Users of the built-in accounts.

use nexo_core::{UserId, accounts::User};

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
pub(crate) struct NamedUser(Option<UserId>);

impl NamedUser {
    /// Looks the user up: not before the whole request was found to be in order.
    pub(crate) async fn find(self, api: &Api) -> Result<User, ApiError> {
        let id = self.0.ok_or(ApiError::NOT_FOUND)?;
        api.accounts().store().find_user(id).await?.ok_or(ApiError::NOT_FOUND)
    }
}

impl Input for NamedUser {
    async fn take(request: &mut Request, _: &Api) -> Result<Self, Reject> {
        Ok(Self(request.path_param("id").and_then(|text| text.parse().ok())))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.path_param::<String>("id");
    }
}
