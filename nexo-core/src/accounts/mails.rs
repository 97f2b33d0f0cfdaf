//! Mails on their way out.
//!
//! What is queued says which mail a user is to get, not its text: the token in it is made
//! when it is sent, so that none lies in the database.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::User;
use crate::{MailId, Result};

/// Which mail it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MailKind {
    /// A link to choose a new password.
    ResetPassword,
    /// A link to show that the address is theirs.
    VerifyEmail,
}

impl MailKind {
    /// Every kind there is.
    pub const ALL: [Self; 2] = [Self::ResetPassword, Self::VerifyEmail];

    /// The kind as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResetPassword => "reset_password",
            Self::VerifyEmail => "verify_email",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A mail that is to be sent.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The mail's id.
    pub id: MailId,
    /// Which mail it is.
    pub kind: MailKind,
    /// Who gets it.
    pub user: User,
    /// How many times sending it was begun, this one included.
    pub attempt: i32,
}

/// Where mails wait.
///
/// Every method is one atomic step, done whole or not at all.
#[async_trait]
pub trait MailStore: fmt::Debug + Send + Sync + 'static {
    /// Queues a mail to the active user with this address, if there is one; a
    /// [`MailKind::VerifyEmail`] only to one who is not verified. Does the same work either
    /// way, so that the time it takes does not tell.
    async fn queue_mail(&self, email: &str, kind: MailKind) -> Result<()>;

    /// Claims up to `limit` mails that are due, oldest first: nobody else gets them for
    /// `lease`, then they are due again. `attempt` counts the claims.
    async fn claim_mails(&self, limit: u32, lease: Duration) -> Result<Vec<Mail>>;

    /// Puts a mail off, to be due again after `delay`.
    async fn postpone_mail(&self, mail: MailId, delay: Duration) -> Result<()>;

    /// Removes a mail that was sent, or given up. One that is gone is no error.
    async fn remove_mail(&self, mail: MailId) -> Result<()>;
}
