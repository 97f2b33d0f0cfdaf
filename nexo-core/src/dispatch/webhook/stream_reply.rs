//! Replies that come piece by piece, as server-sent events.

use serde_json::{Map, Value};

use super::{super::pieces::pieces, Limits, answer::too_large};
use crate::{
    AgentEvent, Failure, FailureKind,
    sse::{DecodeError, Decoder},
};

/// What came of some bytes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// No event: the agent gave no sign of life.
    Nothing,
    /// Events, known or unknown.
    Events,
    /// The end of the reply.
    Done,
}

/// A reply as far as it has come.
#[derive(Debug)]
pub(super) struct StreamReply {
    limits: Limits,
    decoder: Decoder,
    bytes: usize,
    has_deltas: bool,
}

impl StreamReply {
    pub(super) fn new(limits: &Limits) -> Self {
        let decoder = Decoder::new().with_max_event_bytes(limits.event_bytes);
        Self { limits: *limits, decoder, bytes: 0, has_deltas: false }
    }

    /// Takes the next bytes of the stream and appends what they mean; before an error as well.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        news: &mut Vec<AgentEvent>,
    ) -> Result<Progress, Failure> {
        let mut events = Vec::new();
        let decoded = self.decoder.feed(bytes, &mut events);
        for event in &events {
            match event.name.as_str() {
                "delta" => self.delta(&event.data, news)?,
                "done" => return Ok(self.done(news)),
                "error" => return Err(agent_error()),
                _ => {}
            }
        }
        decoded.map_err(|error| self.undecodable(error))?;
        Ok(if events.is_empty() { Progress::Nothing } else { Progress::Events })
    }

    /// What a stream amounts to that ended without saying so.
    pub(super) fn broken_off(&self) -> Result<AgentEvent, Failure> {
        if self.has_deltas {
            return Ok(AgentEvent::Truncated);
        }
        Err(Failure::new(FailureKind::NoReply, "the event stream ended without a delta"))
    }

    fn delta(&mut self, data: &str, news: &mut Vec<AgentEvent>) -> Result<(), Failure> {
        let text = text_of(data).ok_or_else(|| invalid("a delta has no usable text"))?;
        self.has_deltas = true;
        self.bytes += text.len();
        if self.bytes > self.limits.reply_bytes {
            return Err(too_large("the reply", self.limits.reply_bytes));
        }
        news.extend(pieces(&text).map(|piece| AgentEvent::Delta(piece.to_owned())));
        Ok(())
    }

    /// A stream that is complete without any text is an empty reply.
    fn done(&self, news: &mut Vec<AgentEvent>) -> Progress {
        if self.bytes == 0 {
            news.push(AgentEvent::Reply { text: String::new(), metadata: None });
        }
        Progress::Done
    }

    fn undecodable(&self, error: DecodeError) -> Failure {
        match error {
            DecodeError::TooLarge => too_large("an event", self.limits.event_bytes),
            DecodeError::NotUtf8 => invalid("the event stream is not UTF-8"),
        }
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

fn invalid(why: &str) -> Failure {
    Failure::new(FailureKind::WebhookInvalidStream, why)
}

/// What the agent said about it is not ours to repeat.
fn agent_error() -> Failure {
    Failure::new(FailureKind::WebhookAgentError, "the agent ended its stream with an error")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(name: &str, data: &str) -> Result<String, FailureKind> {
        let mut news = Vec::new();
        let stream = format!("event: {name}\ndata: {data}\n\n");
        let fed = StreamReply::new(&Limits::default()).feed(stream.as_bytes(), &mut news);
        fed.map(|_| text(&news)).map_err(|failure| failure.kind)
    }

    fn text(news: &[AgentEvent]) -> String {
        let texts = news.iter().map(|event| match event {
            AgentEvent::Delta(text) => text.as_str(),
            other => panic!("{other:?}"),
        });
        texts.collect()
    }

    #[test]
    fn a_delta_has_its_text_in_either_member() {
        for data in [r#"{"text":"Hi"}"#, r#"{"delta":"Hi"}"#, r#"{"text":"Hi","delta":1,"n":2}"#] {
            assert_eq!(feed("delta", data).as_deref(), Ok("Hi"));
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
            assert_eq!(feed("delta", data), Err(FailureKind::WebhookInvalidStream), "{data}");
        }
    }

    #[test]
    fn unknown_events_are_ignored_whatever_they_hold() {
        for name in ["message", "ping", "Delta", "tool_call"] {
            assert_eq!(feed(name, "\u{1}").as_deref(), Ok(""));
        }
    }

    #[test]
    fn a_reply_may_be_so_long_and_no_longer() {
        let mut reply = StreamReply::new(&Limits { reply_bytes: 4, ..Limits::default() });
        let mut news = Vec::new();
        let mut delta = |text: &str| {
            let stream = format!("event: delta\ndata: {{\"text\":\"{text}\"}}\n\n");
            reply.feed(stream.as_bytes(), &mut news).map_err(|failure| failure.kind)
        };

        assert_eq!(delta("ab"), Ok(Progress::Events));
        assert_eq!(delta("cd"), Ok(Progress::Events));
        assert_eq!(delta(""), Ok(Progress::Events));
        assert_eq!(delta("e"), Err(FailureKind::WebhookTooLarge));
        assert_eq!(text(&news), "abcd");
    }

    #[test]
    fn only_whole_events_are_a_sign_of_life() {
        let mut reply = StreamReply::new(&Limits::default());
        let mut feed = |bytes: &[u8]| reply.feed(bytes, &mut Vec::new()).map_err(|it| it.kind);

        assert_eq!(feed(b": ping\n\nevent: de"), Ok(Progress::Nothing));
        assert_eq!(feed(b"lta\ndata: {\"text\":\"a\"}\n"), Ok(Progress::Nothing));
        assert_eq!(feed(b"\n"), Ok(Progress::Events));
        assert_eq!(feed(b"event: done\n\n"), Ok(Progress::Done));
    }
}
