//! The built-in accounts.

mod limits;
mod mails;
mod users;

use std::collections::{BTreeSet, HashMap};

use mails::MailRow;

use crate::{MailId, Timestamp, UserId, accounts::User};

#[derive(Default)]
pub(super) struct Accounts {
    users: HashMap<UserId, User>,
    /// Who has an address, by its key.
    addresses: HashMap<String, UserId>,
    mails: HashMap<MailId, MailRow>,
    /// When each mail is due.
    due: BTreeSet<(Timestamp, MailId)>,
    /// When each key's allowance is whole again.
    limits: HashMap<String, Timestamp>,
}
