//! Replies that come as one JSON object.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value, value::RawValue};

use super::content::ContentType;
use crate::{Failure, FailureKind, JsonObject};

/// A reply as it came in one piece.
#[derive(Debug, PartialEq)]
pub(super) struct JsonReply {
    pub(super) text: String,
    pub(super) metadata: Option<JsonObject>,
}

/// Reads a reply. What the body says it is only matters when it can't be read: many agents
/// answer JSON as plain text.
pub(super) fn read(body: &[u8], content_type: &ContentType) -> Result<JsonReply, Failure> {
    let text = str::from_utf8(body).ok().map(|text| text.trim_start_matches('\u{feff}'));
    let json = text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    let json = json.ok_or_else(|| unreadable(content_type))?.get();
    if !json.starts_with('{') {
        return Err(invalid("the reply is no JSON object"));
    }
    let members: BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_str(json).map_err(|_| invalid("a name in the reply is not text"))?;
    Ok(JsonReply {
        text: reply_text(members.get("reply").map_or("null", |reply| reply.get()))?,
        metadata: members.get("metadata").and_then(|metadata| usable_metadata(metadata.get())),
    })
}

fn reply_text(json: &str) -> Result<String, Failure> {
    match json.as_bytes() {
        [b'"', ..] => {
            let text: String =
                serde_json::from_str(json).map_err(|_| invalid("`reply` is not text"))?;
            if text.contains('\0') {
                return Err(invalid("`reply` has the character U+0000 in it"));
            }
            Ok(text)
        }
        [b'-' | b'0'..=b'9', ..] => Ok(json.to_owned()),
        _ => Err(Failure::new(
            FailureKind::WebhookMissingReply,
            "`reply` is absent, or neither text nor number",
        )),
    }
}

/// The reply is worth more than what is said about it: metadata that is no object, or that no
/// store could keep if somebody wanted it to, is left out.
fn usable_metadata(json: &str) -> Option<JsonObject> {
    let members: Map<String, Value> = serde_json::from_str(json).ok()?;
    let usable = !Value::Object(members).to_string().contains("\\u0000");
    usable.then(|| json.parse().ok()).flatten()
}

fn unreadable(content_type: &ContentType) -> Failure {
    match content_type {
        ContentType::Other(name) => Failure::new(
            FailureKind::WebhookBadContentType,
            format!("the answer is {name:?}: neither JSON nor an event stream"),
        ),
        _ => invalid("the answer is not JSON"),
    }
}

fn invalid(why: &str) -> Failure {
    Failure::new(FailureKind::WebhookInvalidJson, why)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(body: &str) -> FailureKind {
        read(body.as_bytes(), &ContentType::Json).unwrap_err().kind
    }

    fn text(body: &str) -> String {
        read(body.as_bytes(), &ContentType::Json).unwrap().text
    }

    #[test]
    fn a_reply_is_text_or_a_number_as_it_was_written() {
        for (body, expected) in [
            (r#"{"reply":"Hi"}"#, "Hi"),
            (r#" {"reply" : "¿Qué? \ud83c\udf89" } "#, "¿Qué? 🎉"),
            (r#"{"reply":""}"#, ""),
            (r#"{"reply":42}"#, "42"),
            (r#"{"reply":-1.50}"#, "-1.50"),
            ("\u{feff}{\"reply\":\"Hi\"}", "Hi"),
            (r#"{"reply":"first","reply":"last"}"#, "last"),
            (r#"{"re\u0070ly":"escaped"}"#, "escaped"),
        ] {
            assert_eq!(text(body), expected, "{body}");
        }
    }

    #[test]
    fn a_reply_that_is_neither_is_missing() {
        for reply in ["null", "true", "{}", "[\"Hi\"]"] {
            assert_eq!(kind(&format!(r#"{{"reply":{reply}}}"#)), FailureKind::WebhookMissingReply);
        }
        assert_eq!(kind("{}"), FailureKind::WebhookMissingReply);
    }

    #[test]
    fn what_is_no_json_object_is_invalid() {
        for body in [
            "",
            "hello",
            "[]",
            "\"Hi\"",
            "1",
            "null",
            "{",
            r#"{"reply":"\ud83c"}"#,
            r#"{"reply":"a\u0000b"}"#,
        ] {
            assert_eq!(kind(body), FailureKind::WebhookInvalidJson, "{body}");
        }
        let failure = read(b"{\"reply\":\"\xFF\"}", &ContentType::Json).unwrap_err();
        assert_eq!(failure.kind, FailureKind::WebhookInvalidJson);
    }

    #[test]
    fn metadata_that_could_not_be_kept_is_left_out() {
        let deep = format!("{}{}", "{\"a\":".repeat(500), "1") + &"}".repeat(500);
        for metadata in ["null", "[]", "1", r#"{"a":"\u0000"}"#, r#"{"a":"\ud83c"}"#, &deep] {
            let body = format!(r#"{{"metadata":{metadata},"reply":"Hi"}}"#);
            let reply = read(body.as_bytes(), &ContentType::Json).unwrap();
            assert_eq!((reply.text.as_str(), reply.metadata), ("Hi", None), "{metadata}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_a_reply_or_a_failure(body: Vec<u8>, text: String) {
            let _ = read(&body, &ContentType::Absent);
            let json = serde_json::json!({ "reply": text }).to_string();

            let reply = read(json.as_bytes(), &ContentType::Json);

            match reply {
                Ok(reply) => prop_assert_eq!(reply.text, text),
                Err(failure) => prop_assert!(text.contains('\0'), "{}", failure),
            }
        }
    }
}
