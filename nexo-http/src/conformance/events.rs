//! Event streams as clients in the field read them.

use serde_json::Value;

use super::client::{Call, Stream};

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
    pub(crate) id: Option<String>,
}

/// Reads a run's events to the end of the body.
pub(crate) async fn stream(call: Call) -> Vec<Event> {
    let mut stream = call.open().await;
    assert_eq!(stream.status, 200);
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.chunk().await {
        chunks.push(chunk);
    }
    chunks.iter().filter_map(|chunk| event(chunk)).collect()
}

/// The event that the next chunk is; `None` at the end of the body.
pub(crate) async fn next(stream: &mut Stream) -> Option<Event> {
    loop {
        let chunk = stream.chunk().await?;
        if let Some(event) = event(&chunk) {
            return Some(event);
        }
    }
}

/// The event that a chunk is, to the last byte; `None` if none comes of it.
pub(crate) fn event(chunk: &[u8]) -> Option<Event> {
    let text = std::str::from_utf8(chunk).unwrap();
    assert!(!text.contains('\r'), "a line does not end with a line feed alone: {text:?}");
    let body = text.strip_suffix("\n\n").unwrap_or_else(|| panic!("no whole event: {text:?}"));
    assert!(!body.contains("\n\n"), "a chunk with more than one event: {text:?}");
    let id_alone = body.starts_with("id: ") && !body.contains('\n');
    if id_alone || body.starts_with(':') || body.starts_with("retry: ") {
        return None;
    }
    let lines: Vec<&str> = body.split('\n').collect();
    let (name, data, id) = match lines[..] {
        [name, data] => (name, data, None),
        [name, data, id] => (name, data, Some(id.strip_prefix("id: ").unwrap().to_owned())),
        _ => panic!("not one line of each: {text:?}"),
    };
    let name = name.strip_prefix("event: ").unwrap().to_owned();
    let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    Some(Event { name, data, id })
}

/// What a client sees that looks for whole events in each read of the network, forgets what
/// is left over, and stops at the first `done` or `error`.
pub(crate) fn forgetful(reads: &[Vec<u8>]) -> Vec<Event> {
    let mut seen = Vec::new();
    for read in reads {
        let text = String::from_utf8_lossy(read);
        let mut blocks: Vec<&str> = text.split("\n\n").collect();
        blocks.pop();
        for block in blocks {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            let Some(name) = field("event: ") else { continue };
            let data = field("data: ").and_then(|data| serde_json::from_str(data).ok());
            let name = name.to_owned();
            let ends = name == "done" || name == "error";
            let id = field("id: ").map(str::to_owned);
            seen.push(Event { name, data: data.unwrap_or_default(), id });
            if ends {
                return seen;
            }
        }
    }
    seen
}

/// The names of events, in order; several deltas count as one.
pub(crate) fn names(events: &[Event]) -> Vec<&str> {
    let mut names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    names.dedup_by(|next, before| next == before && *next == "delta");
    names
}

/// The text of all deltas.
pub(crate) fn text(events: &[Event]) -> String {
    let deltas = events.iter().filter(|event| event.name == "delta");
    deltas.map(|delta| delta.data["text"].as_str().unwrap()).collect()
}
