//! What is measured, and with what.

use std::{env, io, str::FromStr, time::Duration};

use crate::{
    agent::Agent, database::Database, helper::Helper, process::Process, proxy, stage::Target,
};

const DEFAULT_SECONDS: u64 = 4;

/// What is measured, and with what. The settings come from the environment.
#[derive(Debug)]
pub(crate) struct Lab {
    /// `http://host:port` of the server.
    server: String,
    /// The server's process, if it is known.
    process: Option<Process>,
    /// The server's database, if there are limits to be measured on it.
    pub(crate) database: Option<Database>,
    /// How long each figure takes.
    pub(crate) time: Duration,
    pub(crate) agent: Agent,
}

impl Lab {
    /// Reads the settings and starts the agent.
    pub(crate) async fn from_env() -> io::Result<Self> {
        let server = env::var("LOAD_SERVER").ok();
        Ok(Self {
            server: server.unwrap_or_else(|| "http://127.0.0.1:8000".to_owned()),
            process: setting("LOAD_PROCESS")?.map(Process),
            database: setting::<String>("LOAD_DATABASE")?.map(Database::new),
            time: Duration::from_secs(setting("LOAD_SECONDS")?.unwrap_or(DEFAULT_SECONDS).max(1)),
            agent: Agent::start().await?,
        })
    }

    /// The server.
    pub(crate) fn target(&self) -> Target {
        Target { server: self.server.clone(), token: None, process: self.process }
    }

    /// A bare proxy before the agent, which has not done anything yet.
    pub(crate) async fn proxy(&self) -> io::Result<Helper> {
        Helper::start(proxy::ROLE, &self.agent.address.to_string()).await
    }
}

/// A setting; `None` if it is not there, or empty.
fn setting<T: FromStr>(name: &str) -> io::Result<Option<T>> {
    let text = env::var(name).unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |_| io::Error::other(format!("{name} can't be {text}"));
    text.parse().map(Some).map_err(wrong)
}
