//! Users: people who sign in to the dashboard and own apps.

use std::fmt;

use async_trait::async_trait;

use crate::{Error, Result, Timestamp, UserId};

/// A person who signs in.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// Their address: the domain in lower case, the local part as given.
    pub email: String,
    /// The hash of their password.
    pub hashed_password: String,
    /// Whether they may sign in. Their apps go on: agents are asked, and partners who know an app's
    /// secret are let in.
    pub is_active: bool,
    /// Whether they may administer users.
    pub is_superuser: bool,
    /// Whether the address was shown to be theirs.
    pub is_verified: bool,
    /// The language they read, such as `en`.
    pub locale: String,
    /// Rises whenever every token of theirs has to end.
    pub token_epoch: i64,
    /// When they registered.
    pub created_at: Timestamp,
}

impl User {
    /// Applies changes, as every store does it.
    ///
    /// A new address is not verified. A new password, and losing the right to sign in, end
    /// every token.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if the user is not any more what the change was decided on; nothing is
    /// changed then.
    pub fn apply(&mut self, changes: UserChanges) -> Result<()> {
        self.check(&changes)?;
        if let Some(email) = changes.email.filter(|email| *email != self.email) {
            self.email = email;
            self.is_verified = false;
        }
        if let Some(hash) = changes.hashed_password {
            self.hashed_password = hash;
            self.token_epoch += 1;
        }
        if let Some(active) = changes.is_active {
            self.token_epoch += i64::from(self.is_active && !active);
            self.is_active = active;
        }
        self.is_superuser = changes.is_superuser.unwrap_or(self.is_superuser);
        self.is_verified = changes.is_verified.unwrap_or(self.is_verified);
        if let Some(locale) = changes.locale {
            self.locale = locale;
        }
        Ok(())
    }

    fn check(&self, changes: &UserChanges) -> Result<()> {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|it| it == is);
        if !same(&changes.if_hashed_password, &self.hashed_password) {
            return Err(Error::Conflict("the password has changed"));
        }
        if !same(&changes.if_email, &self.email) {
            return Err(Error::Conflict("the e-mail address has changed"));
        }
        if changes.if_token_epoch.is_some_and(|epoch| epoch != self.token_epoch) {
            return Err(Error::Conflict("the tokens have ended"));
        }
        Ok(())
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", self.id)
    }
}

/// What two addresses have in common when they are the same regardless of case.
#[must_use]
pub fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// What a new user is made of.
#[derive(Clone)]
pub struct NewUser {
    /// Their address, already checked.
    pub email: String,
    /// The hash of their password.
    pub hashed_password: String,
    /// Whether they may administer users.
    pub is_superuser: bool,
    /// Whether the address is known to be theirs.
    pub is_verified: bool,
    /// The language they read.
    pub locale: String,
}

/// What to change about a user; `None` leaves it.
#[derive(Clone, Default)]
pub struct UserChanges {
    /// A new address.
    pub email: Option<String>,
    /// The hash of a new password.
    pub hashed_password: Option<String>,
    /// Whether they may sign in.
    pub is_active: Option<bool>,
    /// Whether they may administer users.
    pub is_superuser: Option<bool>,
    /// Whether the address is known to be theirs.
    pub is_verified: Option<bool>,
    /// A new language.
    pub locale: Option<String>,
    /// Only if the password's hash still is this one.
    pub if_hashed_password: Option<String>,
    /// Only if the address still is this one.
    pub if_email: Option<String>,
    /// Only if the tokens of this epoch have not ended.
    pub if_token_epoch: Option<i64>,
}

/// Where users are kept.
///
/// Every method is one atomic step, done whole or not at all.
#[async_trait]
pub trait UserStore: fmt::Debug + Send + Sync + 'static {
    /// Creates an active user. Of many at once with one address, one succeeds.
    ///
    /// # Errors
    ///
    /// [`Error::EmailTaken`] if another user has the address, not regarding case
    /// ([`email_key`]).
    async fn create_user(&self, user: NewUser) -> Result<User>;

    /// Finds a user by id.
    async fn find_user(&self, user: UserId) -> Result<Option<User>>;

    /// Finds a user by address, not regarding case.
    async fn find_user_by_email(&self, email: &str) -> Result<Option<User>>;

    /// Changes a user as [`User::apply`] says, and gives them as they are then.
    ///
    /// # Errors
    ///
    /// [`Error::UserNotFound`]; [`Error::EmailTaken`];
    /// [`Error::Conflict`] if one of the conditions does not hold.
    async fn update_user(&self, user: UserId, changes: UserChanges) -> Result<User>;

    /// Replaces the hash of an unchanged password by a better one; no token ends. Does nothing
    /// if the hash is not `old` any more.
    async fn upgrade_password_hash(&self, user: UserId, old: &str, new: &str) -> Result<()>;

    /// Deletes a user, and every app they own with all that belongs to it.
    ///
    /// # Errors
    ///
    /// [`Error::UserNotFound`].
    async fn delete_user(&self, user: UserId) -> Result<()>;
}
