//! Mails on their way out.

use std::time::Duration;

use async_trait::async_trait;

use super::{super::MemoryStore, Accounts};
use crate::{
    MailId, Result, Timestamp, UserId,
    accounts::{Mail, MailKind, MailStore, User},
};

pub(super) struct MailRow {
    kind: MailKind,
    user: UserId,
    attempt: i32,
    due_at: Timestamp,
}

/// Whether a user is to get such a mail.
fn wants(user: &User, kind: MailKind) -> bool {
    user.is_active && (kind != MailKind::VerifyEmail || !user.is_verified)
}

impl Accounts {
    fn queue_mail(&mut self, email: &str, kind: MailKind, now: Timestamp) {
        let user = self.user_with_address(email).filter(|user| wants(user, kind));
        let Some(user) = user.map(|user| user.id) else { return };
        let id = MailId::new();
        self.mails.insert(id, MailRow { kind, user, attempt: 0, due_at: now });
        self.due.insert((now, id));
    }

    fn postpone_mail(&mut self, mail: MailId, due_at: Timestamp) {
        let Some(row) = self.mails.get_mut(&mail) else { return };
        self.due.remove(&(row.due_at, mail));
        row.due_at = due_at;
        self.due.insert((due_at, mail));
    }

    fn claim_mail(&mut self, mail: MailId, leased_until: Timestamp) -> Option<Mail> {
        self.postpone_mail(mail, leased_until);
        let row = self.mails.get_mut(&mail)?;
        row.attempt += 1;
        let user = self.users.get(&row.user)?.clone();
        Some(Mail { id: mail, kind: row.kind, user, attempt: row.attempt })
    }

    /// Up to `limit` mails that are due, the one that has been for the longest time first.
    fn due_mails(&self, now: Timestamp, limit: u32) -> Vec<MailId> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let due = self.due.iter().take_while(|(due_at, _)| *due_at <= now);
        due.take(limit).map(|(_, mail)| *mail).collect()
    }

    fn remove_mail(&mut self, mail: MailId) {
        if let Some(row) = self.mails.remove(&mail) {
            self.due.remove(&(row.due_at, mail));
        }
    }

    pub(super) fn remove_mails_to(&mut self, user: UserId) {
        let theirs = self.mails.iter().filter(|(_, row)| row.user == user);
        let theirs: Vec<MailId> = theirs.map(|(id, _)| *id).collect();
        for mail in theirs {
            self.remove_mail(mail);
        }
    }
}

#[async_trait]
impl MailStore for MemoryStore {
    async fn queue_mail(&self, email: &str, kind: MailKind) -> Result<()> {
        self.step(|state, now| state.accounts.queue_mail(email, kind, now));
        Ok(())
    }

    async fn claim_mails(&self, limit: u32, lease: Duration) -> Result<Vec<Mail>> {
        self.step(|state, now| {
            let due = state.accounts.due_mails(now, limit);
            let claim = |mail| state.accounts.claim_mail(mail, now.plus(lease));
            Ok(due.into_iter().filter_map(claim).collect())
        })
    }

    async fn postpone_mail(&self, mail: MailId, delay: Duration) -> Result<()> {
        self.step(|state, now| state.accounts.postpone_mail(mail, now.plus(delay)));
        Ok(())
    }

    async fn remove_mail(&self, mail: MailId) -> Result<()> {
        self.step(|state, _| state.accounts.remove_mail(mail));
        Ok(())
    }
}
