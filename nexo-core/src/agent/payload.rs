//! What an agent is asked, version 1.0, as it comes over the wire.
//!
//! Members that are not known here are skipped: a server may send more without a new version.

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny},
};

use crate::{AppId, JsonObject, MessageId, Role, ThreadId, Timestamp};

/// What an agent is asked: to answer the newest message of a thread.
///
/// ```
/// # use nexo_core::{Role, agent::Payload};
/// let payload = Payload::read(br#"{
///     "version": "1.0",
///     "event": "message_received",
///     "app": {"id": "5b0c1a52-7a5f-4a0e-9f0d-0d6a3f1c2b11", "name": "Bakery desk"},
///     "thread": {"id": "9d1f6a0e-2c34-4b7e-8c55-6f2f0f8a7d22", "customer_id": "cust-42"},
///     "message": {
///         "id": "c7e2b9d4-1f63-4c9a-b1d0-3a5e8f9c4e33", "seq": 1,
///         "role": "user", "content": "Is the rye bread vegan?", "content_json": {}
///     },
///     "history_tail": [
///         {"role": "user", "content": "Is the rye bread vegan?", "content_json": {}}
///     ],
///     "timestamp": "2026-01-01T00:00:00.000000+00:00"
/// }"#)?;
/// assert_eq!(payload.message.content, "Is the rye bread vegan?");
/// assert_eq!(payload.history[0].role, Role::User);
/// # Ok::<(), nexo_core::agent::InvalidPayload>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Payload {
    /// The version of the payload: `1.0`.
    pub version: String,
    /// What happened; today always `message_received`.
    pub event: String,
    /// The app that the agent belongs to.
    pub app: PayloadApp,
    /// The conversation.
    pub thread: PayloadThread,
    /// The message to answer.
    pub message: PayloadMessage,
    /// The newest messages of the thread, ten by default, oldest first. The one to answer is among
    /// them if it is that new. There are none if somebody only tests the agent.
    #[serde(rename = "history_tail", default)]
    pub history: Vec<Said>,
    /// When the payload was made.
    pub timestamp: Timestamp,
}

/// The app that an agent is asked for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct PayloadApp {
    /// Its id.
    pub id: AppId,
    /// Its name; may be empty.
    #[serde(default)]
    pub name: String,
}

/// The conversation that an agent takes part in.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct PayloadThread {
    /// Its id.
    pub id: ThreadId,
    /// What the app calls the customer, if the thread has one.
    #[serde(default)]
    pub customer_id: Option<String>,
}

/// The message that an agent is to answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct PayloadMessage {
    /// Its id.
    pub id: MessageId,
    /// Its number in the thread, from 1.
    pub seq: i64,
    /// Who said it: the customer.
    #[serde(deserialize_with = "role")]
    pub role: Role,
    /// The text; empty if it has none.
    #[serde(default, deserialize_with = "text")]
    pub content: String,
    /// Structured data beside the text.
    #[serde(default)]
    pub content_json: JsonObject,
}

/// A message of the thread's history.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Said {
    /// Who said it.
    #[serde(deserialize_with = "role")]
    pub role: Role,
    /// The text; empty if it has none.
    #[serde(default, deserialize_with = "text")]
    pub content: String,
    /// Structured data beside the text.
    #[serde(default)]
    pub content_json: JsonObject,
}

/// The body of a request is no payload. Nothing of the body is in the message; the source may
/// quote from it.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPayload {
    /// It is not JSON, or not UTF-8.
    #[error("Invalid JSON")]
    NotJson,
    /// It is JSON of another shape.
    #[error("not a payload of version 1.0, from line {}, column {}", .0.line(), .0.column())]
    OtherShape(#[source] serde_json::Error),
}

impl Payload {
    /// Reads a payload from the body of a request.
    ///
    /// # Errors
    ///
    /// [`InvalidPayload`] says whether it is not even JSON.
    pub fn read(body: &[u8]) -> Result<Self, InvalidPayload> {
        let text = str::from_utf8(body).map_err(|_| InvalidPayload::NotJson)?;
        serde_json::from_str(text).map_err(|error| match serde_json::from_str(text) {
            Ok(IgnoredAny) => InvalidPayload::OtherShape(error),
            Err(_) => InvalidPayload::NotJson,
        })
    }
}

fn role<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Role, D::Error> {
    let name = String::deserialize(deserializer)?;
    Role::find(&name).ok_or_else(|| de::Error::custom("no such role"))
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = r#"{"version":"1.0","event":"message_received","app":{"id":"5b0c1a52-7a5f-4a0e-9f0d-0d6a3f1c2b11"},"thread":{"id":"9d1f6a0e-2c34-4b7e-8c55-6f2f0f8a7d22"},"message":{"id":"c7e2b9d4-1f63-4c9a-b1d0-3a5e8f9c4e33","seq":2,"role":"user"},"timestamp":"2026-01-01T00:00:00.5+00:00"}"#;

    #[test]
    fn what_a_payload_may_lack_has_a_plain_value() {
        let payload = Payload::read(SMALLEST.as_bytes()).unwrap();

        assert_eq!((payload.app.name.as_str(), payload.thread.customer_id), ("", None));
        assert_eq!(payload.message.content, "");
        assert_eq!(payload.message.content_json, JsonObject::empty());
        assert_eq!(payload.history, []);
        assert_eq!(payload.timestamp.as_micros(), 1_767_225_600_500_000);
    }

    #[test]
    fn members_that_are_not_known_are_skipped_wherever_they_are() {
        let deep = "[".repeat(100) + &"]".repeat(100);
        let more = format!("\"state\":{deep},\"version\"");
        let body =
            SMALLEST.replace("\"version\"", &more).replace("\"seq\"", "\"new\":null,\"seq\"");

        assert_eq!(
            Payload::read(body.as_bytes()).unwrap(),
            Payload::read(SMALLEST.as_bytes()).unwrap()
        );
    }

    #[test]
    fn what_is_no_json_is_told_from_json_of_another_shape() {
        let deep = "[".repeat(100_000);
        for body in ["", "{", "hello", r#"{"a":NaN}"#, &deep] {
            assert!(
                matches!(Payload::read(body.as_bytes()), Err(InvalidPayload::NotJson)),
                "{body}"
            );
        }
        let not_utf8 = Payload::read(b"{\"unknown\":\"\xff\"}");
        assert!(matches!(not_utf8, Err(InvalidPayload::NotJson)));
        for body in ["[]", "null", "7", "{}", &SMALLEST.replace("user", "robot")] {
            assert!(
                matches!(Payload::read(body.as_bytes()), Err(InvalidPayload::OtherShape(_))),
                "{body}"
            );
        }
    }

    #[test]
    fn an_error_quotes_nothing_of_what_the_customer_said() {
        let body = SMALLEST.replace("\"seq\":2", "\"seq\":\"my password\"");

        let error = Payload::read(body.as_bytes()).unwrap_err();

        assert!(!error.to_string().contains("password"), "{error}");
    }
}
