//! Writing events, in the narrow form that every reader understands: LF only, one `event:`
//! line, one `data:` line, and the whole event in one piece, to be written at once.

use bytes::Bytes;

/// One event with this name. `json` is a JSON text.
///
/// ```
/// # use nexo_core::sse::encode;
/// let event = encode("delta", r#"{"text":"Hi"}"#);
/// assert_eq!(event, "event: delta\ndata: {\"text\":\"Hi\"}\n\n");
/// ```
#[must_use]
pub fn encode(event: &str, json: &str) -> Bytes {
    frame(None, event, json)
}

/// The same with an id, which a reader gives back when it connects again. It comes last: there
/// are readers that expect the name in an event's first line and the data in its second.
#[must_use]
pub fn encode_with_id(id: &str, event: &str, json: &str) -> Bytes {
    frame(Some(id), event, json)
}

/// Tells readers after how many milliseconds to connect again when the stream breaks off.
#[must_use]
pub fn retry(milliseconds: u32) -> Bytes {
    format!("retry: {milliseconds}\n\n").into()
}

/// Only an id, which a reader gives back when it connects again: no event comes of it.
#[must_use]
pub fn id(id: &str) -> Bytes {
    format!("id: {}\n\n", one_line(id)).into()
}

/// A comment: readers ignore it, but it shows that the connection is alive.
#[must_use]
pub fn comment(text: &str) -> Bytes {
    format!(": {}\n\n", one_line(text)).into()
}

fn frame(id: Option<&str>, event: &str, json: &str) -> Bytes {
    let id = id.map(|id| format!("id: {}\n", one_line(id))).unwrap_or_default();
    format!("event: {}\ndata: {}\n{id}\n", one_line(event), one_line(json)).into()
}

/// In JSON a line break is only ever white space between tokens, so a space stands for it.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}
