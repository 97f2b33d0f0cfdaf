//! Configuration: read once at the start; no other part looks at the environment.
//!
//! A value that can't be used is refused, naming the variable and what is allowed. Names that
//! nothing here reads are ignored.

mod api;
mod database;
mod dotenv;
mod groups;
mod mail;
mod production;
mod reader;
mod sources;

#[cfg(test)]
mod tests;

use std::{io, path::PathBuf, time::Duration};

pub(crate) use api::{ApiOptions, LoopbackRule, Webhooks};
pub(crate) use database::{Database, Target};
pub(crate) use groups::{Accounts, Framework, GivenSecrets, Listen, Log, LogFormat};
pub(crate) use mail::{Mail, MailTls, Smtp};
pub(crate) use sources::Sources;

use nexo_core::{Retention, Secret};
use reader::{Reader, Shown};
use url::Url;

use crate::error::{Failure, Result};

/// Everything that can be set.
pub(crate) struct Config {
    pub(crate) production: bool,
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: Listen,
    pub(crate) database: Database,
    pub(crate) retention: Retention,
    pub(crate) secrets: GivenSecrets,
    pub(crate) accounts: Accounts,
    pub(crate) backend_url: Option<Url>,
    pub(crate) frontend_url: Option<Url>,
    pub(crate) api: ApiOptions,
    pub(crate) webhooks: Webhooks,
    pub(crate) mail: Mail,
    pub(crate) log: Log,
    pub(crate) metrics_token: Option<Secret>,
    pub(crate) openapi_output_file: Option<PathBuf>,
    shown: Vec<Shown>,
}

impl Config {
    /// Reads everything.
    ///
    /// # Errors
    ///
    /// All that is wrong, a line each.
    pub(crate) fn read(sources: &Sources) -> Result<Self> {
        let mut reader = Reader::new(sources);
        let data_dir = PathBuf::from(reader.text("DATA_DIR", "./data"));
        let mut config = Self {
            production: reader.switch("PRODUCTION", false),
            listen: Listen::read(&mut reader),
            database: Database::read(&mut reader, &data_dir),
            retention: Retention {
                deliveries: days(&mut reader, "RETENTION_DELIVERIES_DAYS", 30),
                events: hours(&mut reader, "RETENTION_EVENTS_HOURS", 24),
            },
            data_dir,
            secrets: GivenSecrets::read(&mut reader),
            accounts: Accounts::read(&mut reader),
            backend_url: reader.url("BACKEND_URL"),
            frontend_url: reader.url("FRONTEND_URL"),
            api: ApiOptions::read(&mut reader),
            webhooks: Webhooks::read(&mut reader),
            mail: Mail::read(&mut reader),
            log: Log::read(&mut reader),
            metrics_token: reader.secret("METRICS_TOKEN"),
            openapi_output_file: reader.optional("OPENAPI_OUTPUT_FILE").map(PathBuf::from),
            shown: Vec::new(),
        };
        config.shown = reader.shown;
        match reader.problems.as_slice() {
            [] => Ok(config),
            problems => Err(refusal("the configuration can't be used", problems)),
        }
    }

    /// Refuses what is not complete enough to face the public, if it is meant to.
    pub(crate) fn check_production(&self) -> Result<()> {
        match self.missing_for_production().as_slice() {
            [] => Ok(()),
            missing => Err(refusal("PRODUCTION is on, but not everything is set for it", missing)),
        }
    }

    /// What is missing for production; nothing if production mode is off.
    pub(crate) fn missing_for_production(&self) -> Vec<String> {
        if self.production { production::missing(self) } else { Vec::new() }
    }

    /// What works, but may not be meant; for the log.
    pub(crate) fn warnings(&self) -> Vec<String> {
        production::warnings(self)
    }

    /// Where this server is reached, if it listens on `port`.
    pub(crate) fn backend_url(&self, port: u16) -> String {
        let url = self.backend_url.as_ref().map(Url::to_string);
        let url = url.unwrap_or_else(|| format!("http://localhost:{port}"));
        url.trim_end_matches('/').to_owned()
    }

    /// Where the pages are that mails link to.
    pub(crate) fn frontend_url(&self, port: u16) -> String {
        let url = self.frontend_url.as_ref().map(Url::to_string);
        let url = url.unwrap_or_else(|| self.backend_url(port));
        url.trim_end_matches('/').to_owned()
    }

    /// Where mails become files if there is no server for them.
    pub(crate) fn mail_directory(&self) -> PathBuf {
        self.data_dir.join("mail")
    }

    /// Whether agents may run on this machine.
    pub(crate) fn is_loopback_allowed(&self) -> bool {
        match self.webhooks.loopback {
            LoopbackRule::On => true,
            LoopbackRule::Off => false,
            LoopbackRule::Auto => !self.production && self.is_backend_local(),
        }
    }

    fn is_backend_local(&self) -> bool {
        let host = self.backend_url.as_ref().map_or(Some("localhost"), Url::host_str);
        matches!(host, Some("localhost" | "127.0.0.1" | "0.0.0.0" | "[::1]"))
    }

    /// Writes every setting with its value and where it comes from; secrets as `***`.
    pub(crate) fn print(&self, out: &mut impl io::Write) -> io::Result<()> {
        for Shown { name, value, origin } in &self.shown {
            writeln!(out, "{name}={value}  # {origin}")?;
        }
        Ok(())
    }
}

fn days(reader: &mut Reader<'_>, name: &'static str, default: u64) -> Duration {
    Duration::from_secs(reader.number(name, default, 1, 36_500) * 24 * 3_600)
}

fn hours(reader: &mut Reader<'_>, name: &'static str, default: u64) -> Duration {
    Duration::from_secs(reader.number(name, default, 1, 876_000) * 3_600)
}

fn refusal(what: &str, lines: &[String]) -> Failure {
    let lines: Vec<String> = lines.iter().map(|line| format!("\n  - {line}")).collect();
    Failure::new(format!("{what}:{}", lines.concat()))
}
