//! What goes back over HTTP, for whichever framework sends it.

use bytes::Bytes;

use super::{Rejection, Reply};

/// The content type of a reply in one piece.
pub const JSON: &str = "application/json";

/// The content type of a reply that comes piece by piece.
pub const EVENT_STREAM: &str = "text/event-stream";

/// An answer in one piece. For a stream there is [`events`](super::events()), with status 200
/// and the content type [`EVENT_STREAM`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The content type; `None` if there is no body.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The agent took the turn and will reply later; see [`LateReply`](super::LateReply).
    ///
    /// ```
    /// # use nexo_core::agent::Answer;
    /// assert_eq!(Answer::later().status, 202);
    /// ```
    #[must_use]
    pub const fn later() -> Self {
        Self::empty(202)
    }

    const fn empty(status: u16) -> Self {
        Self { status, content_type: None, body: Bytes::new() }
    }

    fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: Some(JSON), body: body.into() }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::json(200, reply.to_json())
    }
}

/// Whoever can't sign gets 401 and is told nothing. For a body that is no payload it is 400,
/// and the reason, which a server keeps with the delivery.
impl From<Rejection> for Answer {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Signature(_) => Self::empty(401),
            Rejection::Payload(why) => {
                Self::json(400, serde_json::json!({ "error": why.to_string() }).to_string())
            }
        }
    }
}
