//! The headers of a request to an agent.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT},
};

use super::client;
use crate::{
    DeliveryId, Secret, Timestamp, Turn,
    agent::{ATTEMPT, DELIVERY, REPLAY_OF},
    signature::{
        self,
        headers::{ID, PLAIN_SIGNATURE, PLAIN_TIMESTAMP, SIGNATURE, TIMESTAMP},
    },
};

/// What the headers are called that a deployment may rename.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderNames {
    /// The app's id; `X-App-Id` by default.
    pub app_id: HeaderName,
    /// The thread's id; `X-Thread-Id` by default.
    pub thread_id: HeaderName,
    /// When the request was signed; `X-Timestamp` by default.
    pub timestamp: HeaderName,
    /// The plain signature; `X-Signature` by default.
    pub signature: HeaderName,
}

impl Default for HeaderNames {
    fn default() -> Self {
        Self {
            app_id: HeaderName::from_static("x-app-id"),
            thread_id: HeaderName::from_static("x-thread-id"),
            timestamp: HeaderName::from_static(PLAIN_TIMESTAMP),
            signature: HeaderName::from_static(PLAIN_SIGNATURE),
        }
    }
}

/// The headers for this body. Signatures are there only if the agent has a secret that isn't
/// empty; the plain one is made with the newest.
pub(super) fn request_headers(
    names: &HeaderNames,
    turn: &Turn,
    delivery: DeliveryId,
    now: Timestamp,
    body: &[u8],
) -> HeaderMap {
    let (id, seconds) = (webhook_id(turn), now.as_seconds());
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(client::USER_AGENT));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(&names.app_id, value(turn.app.id.to_string()));
    headers.insert(&names.thread_id, value(turn.thread.id.to_string()));
    headers.insert(DELIVERY, value(delivery.to_string()));
    headers.insert(ATTEMPT, turn.run.attempt.into());
    headers.insert(ID, value(id.clone()));
    if turn.replay().is_some() {
        headers.insert(REPLAY_OF, value(turn.run.id.to_string()));
    }
    let secrets: Vec<Secret> = usable_secrets(turn, now);
    if let Some(newest) = secrets.first() {
        let plain = signature::sign(newest.expose().as_bytes(), seconds, body);
        let standard = signature::sign_standard(&secrets, &id, seconds, body);
        headers.insert(&names.timestamp, seconds.into());
        headers.insert(&names.signature, value(plain));
        headers.insert(TIMESTAMP, seconds.into());
        headers.insert(SIGNATURE, value(standard));
    }
    headers
}

/// The same whenever the same is asked: what an agent tells repetitions by. A replay is no
/// repetition, since an agent that knows the run would not answer again.
fn webhook_id(turn: &Turn) -> String {
    turn.replay().map_or_else(|| turn.run.id.to_string(), |replay| replay.to_string())
}

fn usable_secrets(turn: &Turn, now: Timestamp) -> Vec<Secret> {
    let secrets = turn.signing_secrets(now).into_iter();
    secrets.filter(|secret| !secret.expose().is_empty()).collect()
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("ids and signatures are letters, digits and signs of ASCII")
}
