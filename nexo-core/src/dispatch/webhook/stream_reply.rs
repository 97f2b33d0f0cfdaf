//! Replies that come piece by piece, as server-sent events.

use serde_json::{Map, Value};

use crate::{AgentEvent, Failure, FailureKind, sse::Event};

/// The most bytes of text in one delta that is passed on: readers expect small events.
const MAX_DELTA_BYTES: usize = 1024;

/// What an event of the agent's stream means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The next piece of text.
    Text(String),
    /// The reply is complete.
    Done,
    /// Nothing that we know.
    Ignored,
}

/// A reply as far as it has come.
#[derive(Debug)]
pub(super) struct StreamReply {
    max_bytes: usize,
    bytes: usize,
    has_deltas: bool,
}

impl StreamReply {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, bytes: 0, has_deltas: false }
    }

    pub(super) fn step(&mut self, event: &Event) -> Result<Step, Failure> {
        match event.name.as_str() {
            "delta" => self.delta(&event.data).map(Step::Text),
            "done" => Ok(Step::Done),
            "error" => Err(Failure::new(
                FailureKind::WebhookAgentError,
                "the agent ended its stream with an error",
            )),
            _ => Ok(Step::Ignored),
        }
    }

    fn delta(&mut self, data: &str) -> Result<String, Failure> {
        let text = text_of(data).ok_or_else(|| invalid("a delta has no usable text"))?;
        self.has_deltas = true;
        self.bytes += text.len();
        if self.bytes > self.max_bytes {
            let why = format!("the reply is longer than {} bytes", self.max_bytes);
            return Err(Failure::new(FailureKind::WebhookTooLarge, why));
        }
        Ok(text)
    }

    /// What a complete stream amounts to beyond its deltas: without any, an empty reply.
    pub(super) fn done(&self) -> Option<AgentEvent> {
        (self.bytes == 0).then(|| AgentEvent::Reply { text: String::new(), metadata: None })
    }

    /// What a stream amounts to that ended without saying so.
    pub(super) fn broken_off(&self) -> Result<AgentEvent, Failure> {
        if self.has_deltas {
            return Ok(AgentEvent::Truncated);
        }
        Err(Failure::new(FailureKind::NoReply, "the event stream ended without a delta"))
    }
}

/// The text of a delta, in either of the forms that agents write.
fn text_of(data: &str) -> Option<String> {
    let mut members: Map<String, Value> = serde_json::from_str(data).ok()?;
    match members.remove("text").or_else(|| members.remove("delta")) {
        Some(Value::String(text)) if !text.contains('\0') => Some(text),
        _ => None,
    }
}

/// The text in pieces of at most 1 KiB, no character cut.
pub(super) fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(MAX_DELTA_BYTES));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

pub(super) fn invalid(why: &str) -> Failure {
    Failure::new(FailureKind::WebhookInvalidStream, why)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step(name: &str, data: &str) -> Result<Step, FailureKind> {
        let event = Event { name: name.to_owned(), data: data.to_owned(), id: None };
        StreamReply::new(100).step(&event).map_err(|failure| failure.kind)
    }

    #[test]
    fn a_delta_has_its_text_in_either_member() {
        for data in [r#"{"text":"Hi"}"#, r#"{"delta":"Hi"}"#, r#"{"text":"Hi","delta":1,"n":2}"#] {
            assert_eq!(step("delta", data), Ok(Step::Text("Hi".to_owned())));
        }
        for data in [
            "",
            "Hi",
            "\"Hi\"",
            "[]",
            "{}",
            r#"{"text":null}"#,
            r#"{"text":1}"#,
            r#"{"text":"\ud83c"}"#,
            r#"{"text":"\u0000"}"#,
        ] {
            assert_eq!(step("delta", data), Err(FailureKind::WebhookInvalidStream), "{data}");
        }
    }

    #[test]
    fn unknown_events_are_ignored_whatever_they_hold() {
        for name in ["message", "ping", "Delta", "tool_call"] {
            assert_eq!(step(name, "\u{1}"), Ok(Step::Ignored));
        }
    }

    #[test]
    fn a_reply_may_be_so_long_and_no_longer() {
        let mut reply = StreamReply::new(4);
        let mut delta = |text: &str| {
            let data = serde_json::json!({ "text": text }).to_string();
            reply.step(&Event { name: "delta".to_owned(), data, id: None })
        };

        assert!(delta("ab").is_ok());
        assert!(delta("cd").is_ok());
        assert!(delta("").is_ok());
        assert_eq!(delta("e").unwrap_err().kind, FailureKind::WebhookTooLarge);
    }

    proptest! {
        #[test]
        fn pieces_are_small_whole_and_nothing_is_lost(text in "[a-zé🎉]{0,3000}") {
            let cut: Vec<&str> = pieces(&text).collect();

            prop_assert!(cut.iter().all(|piece| piece.len() <= 1024));
            prop_assert_eq!(cut.concat(), text);
        }
    }
}
