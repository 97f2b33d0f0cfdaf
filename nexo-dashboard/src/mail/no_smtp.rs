//! Stands in for mail servers where the server was built without them.

use lettre::Message;

use crate::{
    config::Smtp,
    error::{Failure, Result},
};

/// There is none of these.
pub(super) enum Transport {}

impl Transport {
    pub(super) fn new(smtp: &Smtp) -> Result<Self> {
        let Smtp { server, port, credentials: _, tls: _, checks_certificates: _ } = smtp;
        let why = format!("{server}:{port}: this server was built without SMTP; unset MAIL_SERVER");
        Err(Failure::new(why))
    }

    pub(super) async fn send(&self, _: Message) -> Result<(), String> {
        match *self {}
    }

    pub(super) async fn check(&self) -> Result<(), String> {
        match *self {}
    }
}
