//! Carriers: how a letter leaves. To a mail server, or into a file where there is none.

use std::{
    io,
    path::{Path, PathBuf},
};

use lettre::{
    Address, Message,
    message::{Mailbox, MultiPart},
};
use nexo_core::{Clock, SystemClock};

use super::{render::Letter, smtp::Transport};
use crate::{
    config::Config,
    error::{Context, Failure, Result},
};

/// How letters leave, and who they are from.
pub(crate) struct Carrier {
    from: Mailbox,
    way: Way,
}

enum Way {
    Smtp(Transport),
    Files(PathBuf),
}

impl Carrier {
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let mail = &config.mail;
        let way = match &mail.smtp {
            Some(smtp) => Way::Smtp(Transport::new(smtp)?),
            None => Way::Files(config.mail_directory()),
        };
        Ok(Self { from: Mailbox::new(Some(mail.from_name.clone()), address(&mail.from)?), way })
    }

    /// Whether a mail server can be reached; without one there is nothing to reach.
    pub(crate) async fn check(&self) -> Result<()> {
        match &self.way {
            Way::Smtp(transport) => transport.check().await.map_err(Failure::new),
            Way::Files(_) => Ok(()),
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
                transport.send(message).await?;
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
            .message_id(Some(self.message_id(letter)))
            .multipart(body)
            .map_err(|_| Failure::new("it can't be put together"))
    }
}

impl Carrier {
    /// The same each time that a mail is sent: where it was not known that it had left, receivers
    /// can tell that they have it already.
    fn message_id(&self, letter: &Letter) -> String {
        // In ASCII, which not every domain is.
        let domain = url::Host::parse(self.from.email.domain());
        let domain = domain.map_or_else(|_| "localhost".to_owned(), |domain| domain.to_string());
        format!("<{}@{domain}>", letter.id)
    }
}

fn address(text: &str) -> Result<Address> {
    text.parse().context("MAIL_FROM can't be used")
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
