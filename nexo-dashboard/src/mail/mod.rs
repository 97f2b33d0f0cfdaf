//! Mails: rendered and sent in the background, so that no request waits for a mail server,
//! and none of them tells by its time whether an address is known.

mod carrier;
mod catalogue;
mod render;
#[cfg(not(feature = "smtp"))]
#[path = "no_smtp.rs"]
mod smtp;
#[cfg(feature = "smtp")]
mod smtp;

use std::{path::Path, sync::Arc, time::Duration};

use futures::future::join_all;
use nexo_core::{
    Clock, SystemClock,
    accounts::{AccountStore, Mail, MailKind},
};
use nexo_http::Tokens;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

pub(crate) use carrier::Carrier;
use render::Letter;

const POLL_EVERY: Duration = Duration::from_secs(1);
const AT_ONCE: u32 = 8;
/// How long a mail is ours. Far longer than sending takes, so that no other server sends it
/// as well.
const LEASE: Duration = Duration::from_secs(120);
const SEND_DEADLINE: Duration = Duration::from_secs(60);
/// With the waits below this is a day.
const MAX_ATTEMPTS: i32 = 28;

/// Sends what is queued.
pub(crate) struct Postman {
    pub(crate) store: Arc<dyn AccountStore>,
    pub(crate) tokens: Tokens,
    pub(crate) carrier: Carrier,
    /// Where the links lead.
    pub(crate) frontend_url: String,
}

impl Postman {
    /// Sends mails until `stop`; what is under way then is finished, if the server lets it. If
    /// not, it is sent again later, under the same `Message-ID`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut every = tokio::time::interval(POLL_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(every.tick()).await.is_some() {
            match self.store.claim_mails(AT_ONCE, LEASE).await {
                Ok(mails) => drop(join_all(mails.iter().map(|mail| self.deliver(mail))).await),
                Err(error) => warn!(%error, "no mails can be fetched from the store"),
            }
        }
    }

    async fn deliver(&self, mail: &Mail) {
        let done = if is_wanted(mail) { self.send(mail).await } else { Ok(()) };
        let noted = match done {
            Ok(()) => self.store.remove_mail(mail.id).await,
            Err(why) if mail.attempt >= MAX_ATTEMPTS => self.give_up(mail, &why).await,
            Err(why) => self.postpone(mail, &why).await,
        };
        if let Err(error) = noted {
            warn!(mail.id = %mail.id, %error, "what became of mail {} can't be noted", mail.id);
        }
    }

    async fn send(&self, mail: &Mail) -> Result<(), String> {
        let letter = self.letter(mail);
        let sent = tokio::time::timeout(SEND_DEADLINE, self.carrier.carry(&letter)).await;
        let outcome = sent.unwrap_or_else(|_| Err("it took too long".to_owned()));
        let label = if outcome.is_ok() { "sent" } else { "failed" };
        metrics::counter!("nexo_mails_total", "outcome" => label).increment(1);
        match outcome? {
            Some(path) => announce(mail, &path),
            None => debug!(mail.id = %mail.id, "mail {} was sent", mail.id),
        }
        Ok(())
    }

    /// The token in it lives from now on: however long the mail had to wait, it is fresh.
    fn letter(&self, mail: &Mail) -> Letter {
        let now = SystemClock.now();
        let (page, token) = match mail.kind {
            MailKind::ResetPassword => {
                ("reset-password", self.tokens.reset_password(&mail.user, now))
            }
            MailKind::VerifyEmail => ("verify", self.tokens.verify_email(&mail.user, now)),
        };
        Letter::new(mail, &render::link(&self.frontend_url, page, &token))
    }

    async fn postpone(&self, mail: &Mail, why: &str) -> nexo_core::Result<()> {
        let delay = delay_after(mail.attempt);
        let seconds = delay.as_secs();
        warn!(mail.id = %mail.id, why, "mail {} was not sent, next try in {seconds} s", mail.id);
        self.store.postpone_mail(mail.id, delay).await
    }

    async fn give_up(&self, mail: &Mail, why: &str) -> nexo_core::Result<()> {
        error!(mail.id = %mail.id, why, "mail {} was given up after a day", mail.id);
        self.store.remove_mail(mail.id).await
    }
}

/// Whether the mail still makes sense now that its turn has come.
fn is_wanted(mail: &Mail) -> bool {
    let user = &mail.user;
    user.is_active && !(mail.kind == MailKind::VerifyEmail && user.is_verified)
}

fn announce(mail: &Mail, path: &Path) {
    info!(mail.id = %mail.id, "no mail server is set: a mail is in {}", path.display());
}

fn delay_after(attempt: i32) -> Duration {
    Duration::from_secs(match attempt {
        ..=1 => 10,
        2 => 60,
        3 => 5 * 60,
        4 => 15 * 60,
        _ => 60 * 60,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_tried_for_about_a_day() {
        let day: Duration = (1..MAX_ATTEMPTS).map(delay_after).sum();

        assert!((23..=25).contains(&(day.as_secs() / 3_600)), "{day:?}");
    }
}
