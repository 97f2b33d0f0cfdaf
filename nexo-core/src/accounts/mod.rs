//! The built-in accounts: people who sign in. An embedder with its own login needs none of it.

mod limits;
mod mails;
mod users;

pub use limits::{LimitDecision, LimitStore, Rate};
pub use mails::{Mail, MailKind, MailStore};
pub use users::{NewUser, User, UserChanges, UserStore, email_key};

/// Where accounts are kept: beside the apps, so that a user and all they own go together.
pub trait AccountStore: UserStore + MailStore + LimitStore {}

impl<T: UserStore + MailStore + LimitStore> AccountStore for T {}
