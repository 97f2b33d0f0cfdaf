//! Requests to the server, each repeated while it is away.
//!
//! That is harmless with what only reads. What makes something carries an `Idempotency-Key`: the
//! server does it once, however often it hears of it.

use std::time::Duration;

use nexo_core::sse::Decoder;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{Result, screen};

/// The header by which a request is known again.
pub(crate) const KEY: &str = "idempotency-key";
/// For how long the server may be away.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(250);

/// A key for a request that makes something.
pub(crate) fn new_key() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Asks a server, in the name of who has signed in.
pub(crate) struct Client {
    http: reqwest::Client,
    server: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(server: &str) -> Result<Self> {
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).build()?;
        Ok(Self { http, server: server.trim_end_matches('/').to_owned(), token: None })
    }

    pub(crate) fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.authorised(self.http.get(format!("{}{path}", self.server)))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.authorised(self.http.post(format!("{}{path}", self.server)))
    }

    fn authorised(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request until the server answers it.
    pub(crate) async fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Response> {
        let (deadline, mut told) = (Instant::now() + PATIENCE, false);
        loop {
            match request().send().await {
                Ok(response) if !is_away(response.status()) => return judge(response).await,
                Err(error) if Instant::now() > deadline || error.is_builder() => {
                    return Err(error.into());
                }
                Ok(response) if Instant::now() > deadline => return judge(response).await,
                Ok(_) | Err(_) => {}
            }
            if !std::mem::replace(&mut told, true) {
                screen::show("(the server is away) ")?;
            }
            sleep(PAUSE).await;
        }
    }
}

/// Whether another try may help: the server shuts down, or a proxy doesn't reach it.
fn is_away(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

/// The server's answer, or what it says against the request.
async fn judge(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body: Value = response.json().await.unwrap_or_default();
    Err(format!("the server answers {status}: {}", body["detail"]).into())
}

/// How long the server wants to be left alone before the next try.
pub(crate) async fn pause(decoder: &Decoder) {
    sleep(decoder.retry().unwrap_or(PAUSE)).await;
}
