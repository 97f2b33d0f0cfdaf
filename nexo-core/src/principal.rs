//! Principals: who asks, and how far they can see.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AppId, SubscriberId, Timestamp};

/// The longest owner id there is, in characters.
pub const MAX_OWNER_CHARS: usize = 128;

/// Who owns an app: whatever the authenticator calls them, from 1 to 128 characters.
///
/// With the built-in accounts it is the user's id; an embedder brings its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OwnerId(String);

impl OwnerId {
    /// The owner's id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is empty or longer than 128 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an owner id has from 1 to {MAX_OWNER_CHARS} characters")]
pub struct InvalidOwnerId;

impl TryFrom<String> for OwnerId {
    type Error = InvalidOwnerId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.chars().count() {
            1..=MAX_OWNER_CHARS => Ok(Self(text)),
            _ => Err(InvalidOwnerId),
        }
    }
}

impl std::str::FromStr for OwnerId {
    type Err = InvalidOwnerId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl From<OwnerId> for String {
    fn from(owner: OwnerId) -> Self {
        owner.0
    }
}

/// A user of the built-in accounts owns apps under the user's id.
impl From<crate::UserId> for OwnerId {
    fn from(user: crate::UserId) -> Self {
        Self(user.to_string())
    }
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerId({})", self.0)
    }
}

/// Somebody whose identity has been established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Owns apps, and may do anything with them.
    Owner {
        /// Under which id they own apps.
        owner: OwnerId,
        /// Whether they also administer the server.
        admin: bool,
    },
    /// A partner's backend, which works with one app.
    App {
        /// The app.
        app: AppId,
        /// What it may do beyond the partner routes.
        scopes: Vec<String>,
    },
    /// An end customer, who sees their own conversations.
    Customer {
        /// The app they are a customer of.
        app: AppId,
        /// Who they are there.
        subscriber: SubscriberId,
        /// What they may do.
        scopes: Vec<String>,
        /// When they must show who they are again.
        expires: Timestamp,
    },
}

impl Principal {
    /// How far the principal can see.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Owner { owner, .. } => Scope::Owner(owner.clone()),
            Self::App { app, .. } => Scope::App(*app),
            Self::Customer { app, subscriber, .. } => {
                Scope::Subscriber { app: *app, subscriber: *subscriber }
            }
        }
    }
}

/// How far a read that serves a request can see; what lies outside does not exist for it.
///
/// This is the one place that keeps tenants apart: every store method that serves a request
/// takes a scope and looks through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything: for the engine and the command line, never for a request.
    Everything,
    /// The apps of one owner.
    Owner(OwnerId),
    /// One app.
    App(AppId),
    /// One end customer's part of one app.
    Subscriber {
        /// The app.
        app: AppId,
        /// The customer.
        subscriber: SubscriberId,
    },
}

impl Scope {
    /// The owner that the scope is bound to, if it is.
    #[must_use]
    pub fn owner(&self) -> Option<&OwnerId> {
        match self {
            Self::Owner(owner) => Some(owner),
            Self::Everything | Self::App(_) | Self::Subscriber { .. } => None,
        }
    }

    /// The app that the scope is bound to, if it is.
    #[must_use]
    pub fn app(&self) -> Option<AppId> {
        match self {
            Self::App(app) | Self::Subscriber { app, .. } => Some(*app),
            Self::Everything | Self::Owner(_) => None,
        }
    }

    /// The subscriber that the scope is bound to, if it is.
    #[must_use]
    pub fn subscriber(&self) -> Option<SubscriberId> {
        match self {
            Self::Subscriber { subscriber, .. } => Some(*subscriber),
            Self::Everything | Self::Owner(_) | Self::App(_) => None,
        }
    }

    /// Whether an app with this id and owner lies within the scope.
    #[must_use]
    pub fn sees_app(&self, app: AppId, owner: &OwnerId) -> bool {
        self.app().is_none_or(|own| own == app) && self.owner().is_none_or(|own| own == owner)
    }

    /// Whether something that belongs to `subscriber` (or to none) lies within the scope.
    #[must_use]
    pub fn sees_subscriber(&self, subscriber: Option<SubscriberId>) -> bool {
        self.subscriber().is_none_or(|own| subscriber == Some(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_id_is_neither_empty_nor_endless() {
        assert!("".parse::<OwnerId>().is_err());
        assert!("x".repeat(129).parse::<OwnerId>().is_err());
        assert!("é".repeat(128).parse::<OwnerId>().is_ok());
    }
}
