//! Carriers: how a letter leaves. To a mail server, or into a file where there is none.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, MultiPart},
    transport::smtp::{
        Error as SmtpError,
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};
use nexo_core::{Clock, SystemClock};

use super::render::Letter;
use crate::{
    config::{Config, MailTls, Smtp},
    error::{Context, Failure, Result},
};

/// For each step of the conversation with a mail server.
const STEP_DEADLINE: Duration = Duration::from_secs(20);

/// How letters leave, and who they are from.
pub(crate) struct Carrier {
    from: Mailbox,
    way: Way,
}

enum Way {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    Files(PathBuf),
}

impl Carrier {
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let mail = &config.mail;
        let way = match &mail.smtp {
            Some(smtp) => Way::Smtp(transport(smtp)?),
            None => Way::Files(config.mail_directory()),
        };
        Ok(Self { from: Mailbox::new(Some(mail.from_name.clone()), address(&mail.from)?), way })
    }

    /// Whether a mail server can be reached; without one there is nothing to reach.
    pub(crate) async fn check(&self) -> Result<()> {
        let Way::Smtp(transport) = &self.way else { return Ok(()) };
        match transport.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::new("the mail server does not answer")),
            Err(error) => Err(Failure::new(why(&error))),
        }
    }

    /// Sends a letter; gives the file if it became one.
    ///
    /// # Errors
    ///
    /// Why it could not be sent, without anything of the letter.
    pub(super) async fn carry(&self, letter: &Letter) -> Result<Option<PathBuf>, String> {
        let message = self.message(letter).map_err(|failure| failure.to_string())?;
        match &self.way {
            Way::Smtp(transport) => {
                transport.send(message).await.map_err(|error| why(&error))?;
                Ok(None)
            }
            Way::Files(directory) => {
                let path = directory.join(file_name(letter));
                let written = write(directory, &path, &message.formatted()).await;
                written.map_err(|error| format!("its file can't be written: {error}"))?;
                Ok(Some(path))
            }
        }
    }

    fn message(&self, letter: &Letter) -> Result<Message> {
        // The library's own reason quotes the address.
        let to = address(&letter.to).map_err(|_| Failure::new("its address can't be used"))?;
        let body = MultiPart::alternative_plain_html(letter.plain.clone(), letter.html.clone());
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(&letter.subject)
            .message_id(None)
            .multipart(body)
            .map_err(|_| Failure::new("it can't be put together"))
    }
}

fn address(text: &str) -> Result<Address> {
    text.parse().context("MAIL_FROM can't be used")
}

fn transport(smtp: &Smtp) -> Result<AsyncSmtpTransport<Tokio1Executor>> {
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.server)
        .port(smtp.port)
        .timeout(Some(STEP_DEADLINE))
        .tls(tls(smtp)?);
    if let Some((user, password)) = &smtp.credentials {
        let password = password.expose().to_owned();
        builder = builder.credentials(Credentials::new(user.clone(), password));
    }
    Ok(builder.build())
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

/// Sorts by time; a mail of the same kind in the same microsecond would have to be the same.
fn file_name(letter: &Letter) -> String {
    let time = SystemClock.now().to_string().replace(':', "");
    format!("{time}-{}-{:04x}.eml", letter.kind.as_str(), rand::random::<u16>())
}

async fn write(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut builder = tokio::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    builder.mode(0o700);
    builder.create(directory).await?;
    // Half a mail would be taken for a whole one.
    let unfinished = path.with_extension("tmp");
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true);
    // There is a token in it.
    #[cfg(unix)]
    options.mode(0o600);
    let mut file = options.open(&unfinished).await?;
    tokio::io::AsyncWriteExt::write_all(&mut file, bytes).await?;
    file.sync_all().await?;
    tokio::fs::rename(unfinished, path).await
}
