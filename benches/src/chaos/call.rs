//! One request, and what is known of what came of it.

use std::{future::Future, io, time::Duration};

use nexo_bench::client::{Answer, Client, Head};
use tokio::time::timeout;

/// For how long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(8);

/// Who calls, and where.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) token: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nobody took the request.
    Refused,
    /// It may have had its effect, or have it still.
    Unknown(String),
}

impl Caller {
    pub(crate) fn new(token: &str) -> Self {
        Self { token: token.to_owned() }
    }

    /// Sends a request over a connection of its own, and reads the answer.
    pub(crate) async fn call(
        &self,
        server: &str,
        headers: &[(&str, &str)],
        (method, path, body): (&str, &str, &str),
    ) -> Result<Answer, Trouble> {
        let mut client = self.connect(server, headers).await?;
        within_patience(client.send(method, path, body)).await
    }

    /// Sends a request for a stream, and reads the answer's head.
    pub(crate) async fn open(
        &self,
        server: &str,
        headers: &[(&str, &str)],
        path: &str,
    ) -> Result<(Head, Client), Trouble> {
        let mut client = self.connect(server, headers).await?;
        let head = within_patience(client.open("GET", path, "")).await?;
        Ok((head, client))
    }

    async fn connect(&self, server: &str, headers: &[(&str, &str)]) -> Result<Client, Trouble> {
        let connected = timeout(PATIENCE, Client::connect(server, Some(&self.token))).await;
        let client = connected.ok().and_then(Result::ok).ok_or(Trouble::Refused)?;
        Ok(headers.iter().fold(client, |client, (name, value)| client.with_header(name, value)))
    }
}

async fn within_patience<T>(answer: impl Future<Output = io::Result<T>>) -> Result<T, Trouble> {
    match timeout(PATIENCE, answer).await {
        Ok(answered) => answered.map_err(|error| Trouble::Unknown(error.to_string())),
        Err(_) => Err(Trouble::Unknown("no answer in time".into())),
    }
}
