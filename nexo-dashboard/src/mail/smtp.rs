//! Mail servers.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    transport::smtp::{
        Error as SmtpError,
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};

use crate::{
    config::{MailTls, Smtp},
    error::{Context, Result},
};

/// For each step of the conversation.
const STEP_DEADLINE: Duration = Duration::from_secs(20);

/// The way to a mail server.
pub(super) struct Transport(AsyncSmtpTransport<Tokio1Executor>);

impl Transport {
    pub(super) fn new(smtp: &Smtp) -> Result<Self> {
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.server)
            .port(smtp.port)
            .timeout(Some(STEP_DEADLINE))
            .tls(tls(smtp)?);
        if let Some((user, password)) = &smtp.credentials {
            let password = password.expose().to_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(Self(builder.build()))
    }

    /// Hands a mail to the server.
    ///
    /// # Errors
    ///
    /// Why not, without anything of the mail.
    pub(super) async fn send(&self, message: Message) -> Result<(), String> {
        self.0.send(message).await.map(drop).map_err(|error| why(&error))
    }

    /// Whether the server can be reached.
    pub(super) async fn check(&self) -> Result<(), String> {
        match self.0.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => Err("the mail server does not answer".to_owned()),
            Err(error) => Err(why(&error)),
        }
    }
}

fn tls(smtp: &Smtp) -> Result<Tls> {
    if smtp.tls == MailTls::None {
        return Ok(Tls::None);
    }
    let parameters = TlsParameters::builder(smtp.server.clone())
        .dangerous_accept_invalid_certs(!smtp.checks_certificates)
        .dangerous_accept_invalid_hostnames(!smtp.checks_certificates)
        .build()
        .context("an encrypted connection to the mail server can't be prepared")?;
    Ok(if smtp.tls == MailTls::Implicit {
        Tls::Wrapper(parameters)
    } else {
        Tls::Required(parameters)
    })
}

/// The server's own words may repeat the address, so only its code is told.
fn why(error: &SmtpError) -> String {
    if let Some(code) = error.status() {
        return format!("the mail server answered {code}");
    }
    let why = if error.is_timeout() {
        "the mail server took too long"
    } else if error.is_tls() {
        "no encrypted connection to the mail server came about"
    } else if error.is_client() {
        "the mail server can't do what is needed, such as signing in or encryption"
    } else {
        "the mail server can't be reached"
    };
    why.to_owned()
}
