//! Replies in one piece.

use serde::Serialize;

use super::Handoff;
use crate::{JsonObject, storable};

/// A reply in one piece: the body of an answer with status 200, or of a late reply.
///
/// ```
/// # use nexo_core::{JsonObject, agent::{Answer, Reply}};
/// let metadata = JsonObject::empty().with("confidence", 0.9);
/// let reply = Reply::new("Yes, it is.").with_metadata(metadata);
///
/// let answer = Answer::from(reply);
///
/// assert_eq!((answer.status, answer.content_type), (200, Some("application/json")));
/// assert_eq!(answer.body, r#"{"reply":"Yes, it is.","metadata":{"confidence":0.9}}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reply {
    reply: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<JsonObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handoff: Option<Handoff>,
}

impl Reply {
    /// A reply with this text, which may be empty. A server takes 256 KiB at most; U+0000
    /// becomes U+FFFD, since no reply may have it.
    #[must_use]
    pub fn new(text: impl AsRef<str>) -> Self {
        Self { reply: storable(text.as_ref()).into_owned(), metadata: None, handoff: None }
    }

    /// What there is to know about the reply beside its text. It can be seen in the delivery;
    /// with the message nothing of it is stored.
    #[must_use]
    pub fn with_metadata(mut self, metadata: JsonObject) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Who answers from now on; see [`Handoff`] for what servers make of it today.
    #[must_use]
    pub fn with_handoff(mut self, handoff: Handoff) -> Self {
        self.handoff = Some(handoff);
        self
    }

    /// The reply as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("text and objects can always be written as JSON")
    }
}
