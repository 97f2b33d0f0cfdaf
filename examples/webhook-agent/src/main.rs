//! An agent behind a webhook, on axum and `nexo_core::agent`.
//!
//! It says back what the customer said: in one piece on any path, word by word on a path that
//! ends in `/stream`. Who says `human` is handed to one. Copy it and change [`Agent::answer`].
//!
//! | Variable | |
//! | --- | --- |
//! | `PORT` | where it listens (8082) |
//! | `HOST` | the address it listens on (`0.0.0.0`) |
//! | `WEBHOOK_SECRET` | the app's signing secret; with it, unsigned requests get 401 |
//! | `WEBHOOK_OLD_SECRET` | the one before, while it is being replaced |
//! | `WEBHOOK_DELAY_MS` | the pause between two streamed words (50) |

mod answer;

use std::{env, io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Uri},
    response::Response,
    routing::post,
};
use nexo_core::agent::{Handoff, Rejection, Reply, Request, Verifier};
use tokio::net::TcpListener;

/// Eleven of the longest messages, however they are spelled.
const MAX_BODY_BYTES: usize = 24 * 1024 * 1024;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "says where it listens to whoever started it")]
async fn main() -> io::Result<()> {
    let host = setting("HOST").unwrap_or_else(|| "0.0.0.0".to_owned());
    let port = setting("PORT").map_or(Ok(8082), |port| port.parse()).map_err(io::Error::other)?;
    let listener = TcpListener::bind((host, port)).await?;
    println!("webhook-agent listens on port {}", listener.local_addr()?.port());
    axum::serve(listener, router(Agent::from_env()?)).await
}

/// A variable that is set and not empty.
fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Any path, one method: axum answers the others with 405.
fn router(agent: Agent) -> Router {
    let service =
        post(handle).layer(DefaultBodyLimit::max(MAX_BODY_BYTES)).with_state(Arc::new(agent));
    Router::new().fallback_service(service)
}

async fn handle(
    State(agent): State<Arc<Agent>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match agent.read(&headers, &body) {
        Ok(request) => agent.answer(&request, uri.path().ends_with("/stream")),
        Err(rejection) => answer::whole(rejection.into()),
    }
}

struct Agent {
    /// Without a secret there is nothing to verify.
    verifier: Option<Verifier>,
    pause: Duration,
}

impl Agent {
    fn from_env() -> io::Result<Self> {
        let secrets = ["WEBHOOK_SECRET", "WEBHOOK_OLD_SECRET"].map(setting);
        let secrets: Vec<String> = secrets.into_iter().flatten().collect();
        let millis = setting("WEBHOOK_DELAY_MS").map_or(Ok(50), |millis| millis.parse());
        Ok(Self {
            verifier: (!secrets.is_empty()).then(|| Verifier::new(secrets)),
            pause: Duration::from_millis(millis.map_err(io::Error::other)?),
        })
    }

    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<Request, Rejection> {
        match &self.verifier {
            Some(verifier) => Request::verify(verifier, headers, body),
            None => Ok(Request::unverified(headers, body)?),
        }
    }

    /// What the agent says. This is the function to make your own.
    fn answer(&self, request: &Request, as_stream: bool) -> Response {
        if request.text().trim().eq_ignore_ascii_case("human") {
            let handoff = Handoff::to_human().with_reason("the customer asked for a human");
            let reply = Reply::new("One moment, somebody will be with you.");
            return answer::whole(reply.with_handoff(handoff).into());
        }
        let text = format!("Echo: {}", request.text());
        if as_stream {
            return answer::word_by_word(&text, self.pause);
        }
        answer::whole(Reply::new(text).into())
    }
}
