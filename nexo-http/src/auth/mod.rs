//! Authentication: who somebody is.

mod accounts;
mod argon2id;
mod deadlines;
pub mod email;
pub(crate) mod handlers;
pub(crate) mod partner;
mod passwords;
mod throttle;
mod tokens;

use std::fmt;

use async_trait::async_trait;
use http::HeaderMap;
use nexo_core::Principal;

pub use accounts::Accounts;
pub use passwords::{PasswordSettings, Passwords, shortcomings};
pub use throttle::{Limits, Throttle};
pub use tokens::{TokenSecrets, Tokens};

use crate::ApiError;

/// Turns a request's headers into a principal. The server's is [`Accounts`]; whoever embeds
/// nexo brings their own login by implementing this.
///
/// A [`Principal::Owner`] may do anything with their apps. A [`Principal::App`] is a partner
/// that needs no secret: it may use the partner routes of its own app, and those that one of
/// its scopes names (`runs:write`, `threads:read`, `threads:write`, `threads:delete`); for any
/// other app it is nobody. A [`Principal::Customer`] is nobody, so far.
///
/// ```
/// use http::HeaderMap;
/// use nexo_core::Principal;
/// use nexo_http::{ApiError, Authenticator};
///
/// /// Trusts the header that the gateway in front sets.
/// #[derive(Debug)]
/// struct Gateway;
///
/// #[async_trait::async_trait]
/// impl Authenticator for Gateway {
///     async fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Principal>, ApiError> {
///         let owner = headers.get("x-user").and_then(|user| user.to_str().ok()?.parse().ok());
///         Ok(owner.map(|owner| Principal::Owner { owner, admin: false }))
///     }
/// }
/// ```
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// Who sent these headers; `None` if they do not say, or say it wrongly.
    ///
    /// # Errors
    ///
    /// Only if it can't be found out now, such as when a store is away.
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Principal>, ApiError>;
}

/// The token of an `Authorization: Bearer …` header; the scheme's case does not matter.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
