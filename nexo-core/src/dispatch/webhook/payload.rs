//! What an agent is told, as the bytes that are signed, sent and recorded alike.
//!
//! Existing agents read version 1.0 of this, some of them with their own eyes only: order of
//! members, compactness and literal characters are part of it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{AppId, JsonObject, Message, MessageId, Purpose, ThreadId, Timestamp, Turn};

#[derive(Serialize)]
struct Payload<'a> {
    version: &'static str,
    event: &'static str,
    app: AppPart<'a>,
    thread: ThreadPart<'a>,
    message: MessagePart<'a>,
    history_tail: Vec<Said<'a>>,
    timestamp: String,
}

#[derive(Serialize)]
struct AppPart<'a> {
    id: AppId,
    name: &'a str,
}

#[derive(Serialize)]
struct ThreadPart<'a> {
    id: ThreadId,
    customer_id: Option<&'a str>,
}

#[derive(Serialize)]
struct MessagePart<'a> {
    id: MessageId,
    seq: i64,
    #[serde(flatten)]
    said: Said<'a>,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    content: &'a str,
    content_json: Box<RawValue>,
}

impl<'a> From<&'a Message> for Said<'a> {
    fn from(message: &'a Message) -> Self {
        Self {
            role: message.role.as_str(),
            content: message.content.as_deref().unwrap_or_default(),
            content_json: compact(&message.content_json),
        }
    }
}

/// The body of the request for a turn: made anew, unless it is there to be sent again.
pub(super) fn body(turn: &Turn, now: Timestamp) -> Bytes {
    match &turn.purpose {
        Purpose::Resend(delivery) => Bytes::copy_from_slice(&delivery.request_body),
        Purpose::Answer | Purpose::Replay(_) => payload(turn, now),
    }
}

fn payload(turn: &Turn, now: Timestamp) -> Bytes {
    let payload = Payload {
        version: "1.0",
        event: "message_received",
        app: AppPart { id: turn.app.id, name: &turn.app.name },
        thread: ThreadPart { id: turn.thread.id, customer_id: turn.thread.customer_id.as_deref() },
        message: MessagePart {
            id: turn.message.id,
            seq: turn.message.seq,
            said: Said::from(&turn.message),
        },
        history_tail: turn.history.iter().map(Said::from).collect(),
        timestamp: iso8601(now),
    };
    serde_json::to_vec(&payload).expect("text and numbers can always be written as JSON").into()
}

/// With an offset in digits and all six places of the fraction, as agents have always got it.
fn iso8601(instant: Timestamp) -> String {
    let at = instant.as_datetime();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}+00:00",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.microsecond(),
    )
}

/// The same object without white space between its tokens, and with its characters written
/// literally. Order of members and spelling of numbers stay: taking it apart could lose them.
fn compact(object: &JsonObject) -> Box<RawValue> {
    let mut text = String::with_capacity(object.as_str().len());
    let mut rest = object.as_str();
    while let Some(start) = rest.find('"') {
        text.extend(rest[..start].split_ascii_whitespace());
        let end = start + string_bytes(&rest[start..]);
        text.push_str(&literal(&rest[start..end]));
        rest = &rest[end..];
    }
    text.extend(rest.split_ascii_whitespace());
    RawValue::from_string(text).expect("white space and escapes don't change what JSON means")
}

/// How many bytes the string at the beginning of `json` has, quotes included.
fn string_bytes(json: &str) -> usize {
    let mut escaped = false;
    let inner = json.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    inner.map_or(json.len(), |inner| inner + 2)
}

/// A string that only escapes what has to be. One with half a surrogate pair has no literal
/// form and stays as it is.
fn literal(string: &str) -> Cow<'_, str> {
    if !string.contains('\\') {
        return string.into();
    }
    let text = serde_json::from_str::<String>(string);
    let literal = text.ok().and_then(|text| serde_json::to_string(&text).ok());
    literal.map_or_else(|| string.into(), Cow::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compacted(text: &str) -> String {
        compact(&text.parse().unwrap()).get().to_owned()
    }

    #[test]
    fn an_object_is_written_compactly_and_literally_and_otherwise_as_it_came() {
        for (object, expected) in [
            ("{ }", "{}"),
            ("{\n \"b\" : 1.0 ,\t\"a\": [ 1e5, null ] }", r#"{"b":1.0,"a":[1e5,null]}"#),
            (r#"{"a b":"c  d \" \\"}"#, r#"{"a b":"c  d \" \\"}"#),
            (r#"{"k":"\u00bf\ud83c\udf89\/"}"#, r#"{"k":"¿🎉/"}"#),
            (r#"{"k":"\ud83c \n"}"#, r#"{"k":"\ud83c \n"}"#),
            (r#"{"n":123456789012345678901234567890}"#, r#"{"n":123456789012345678901234567890}"#),
        ] {
            assert_eq!(compacted(object), expected);
        }
    }

    #[test]
    fn a_timestamp_has_six_digits_and_an_offset() {
        let instant = Timestamp::from_micros(1_767_225_600_000_000);

        assert_eq!(iso8601(instant), "2026-01-01T00:00:00.000000+00:00");
    }

    proptest! {
        #[test]
        fn compacting_changes_no_value(key: String, text: String, number: i64) {
            let value = serde_json::json!({ key: [text, number, null, { "a": {} }] });
            let pretty = serde_json::to_string_pretty(&value).unwrap();

            prop_assert_eq!(compacted(&pretty), serde_json::to_string(&value).unwrap());
        }
    }
}
