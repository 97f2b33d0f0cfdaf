//! An agent behind a webhook, on axum.
//!
//! It says back what the customer said: as JSON on any path, word by word as server-sent
//! events on a path that ends in `/stream`. Copy it and change [`reply_to`].
//!
//! | Variable | |
//! | --- | --- |
//! | `PORT` | where it listens (8082) |
//! | `HOST` | the address it listens on (`0.0.0.0`) |
//! | `WEBHOOK_SECRET` | the app's signing secret; with it, unsigned requests get 401 |
//! | `WEBHOOK_DELAY_MS` | the pause between two streamed words (50) |

mod answer;

use std::{
    env, io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
    routing::post,
};
use nexo_core::signature::Verifier;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::answer::{Refusal, json, stream};

const MAX_BODY_BYTES: usize = 1024 * 1024;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "says where it listens to whoever started it")]
async fn main() -> io::Result<()> {
    let host = setting("HOST").unwrap_or_else(|| "0.0.0.0".to_owned());
    let port = setting("PORT").map_or(Ok(8082), |port| port.parse()).map_err(io::Error::other)?;
    let listener = TcpListener::bind((host, port)).await?;
    println!("webhook-rust listens on port {}", listener.local_addr()?.port());
    axum::serve(listener, router(Agent::from_env()?)).await
}

/// A variable that is set and not empty.
fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

struct Agent {
    /// Without a secret there is nothing to verify.
    verifier: Option<Verifier>,
    pause: Duration,
}

impl Agent {
    fn from_env() -> io::Result<Self> {
        let millis = setting("WEBHOOK_DELAY_MS").map_or(Ok(50), |millis| millis.parse());
        Ok(Self {
            verifier: setting("WEBHOOK_SECRET").map(|secret| Verifier::new([secret])),
            pause: Duration::from_millis(millis.map_err(io::Error::other)?),
        })
    }

    /// Verifies the body as it arrived: JSON that was parsed and written again may differ.
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
        let Some(verifier) = &self.verifier else { return Ok(()) };
        let header = |name: &str| headers.get(name)?.to_str().ok();
        verifier.verify(header, body, unix_seconds()).map_err(|_| Refusal::Unsigned)
    }
}

fn unix_seconds() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
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
) -> Result<Response, Refusal> {
    agent.verify(&headers, &body)?;
    let payload = serde_json::from_slice(&body).map_err(|_| Refusal::BadRequest("Invalid JSON"))?;
    let reply = reply_to(&payload)?;
    if uri.path().ends_with("/stream") {
        return Ok(stream(&reply, agent.pause).into_response());
    }
    Ok(json(&serde_json::json!({ "reply": reply })))
}

/// What the agent says. This is the function to make your own.
fn reply_to(payload: &Value) -> Result<String, Refusal> {
    let payload =
        payload.as_object().ok_or(Refusal::BadRequest("the payload must be an object"))?;
    let content = match payload.get("message") {
        None | Some(Value::Null) => None,
        Some(Value::Object(message)) => message.get("content"),
        Some(_) => return Err(Refusal::BadRequest("message must be an object")),
    };
    match content {
        None | Some(Value::Null) => Ok("Echo: ".to_owned()),
        Some(Value::String(content)) => Ok(format!("Echo: {content}")),
        Some(_) => Err(Refusal::BadRequest("message.content must be a string")),
    }
}
