//! Server-sent events, as a reader takes them from a stream.

use serde_json::Value;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

/// What a cursor says: how much was seen of which attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) attempt: i32,
    pub(crate) bytes: usize,
}

impl Event {
    pub(crate) fn place(&self) -> Option<Place> {
        let mut parts = self.id.split('.').skip(1);
        let attempt = parts.next()?.parse().ok()?;
        Some(Place { attempt, bytes: parts.next()?.parse().ok()? })
    }
}

/// Cuts a stream into its events, wherever the pieces end that it comes in.
#[derive(Debug, Default)]
pub(crate) struct Events {
    rest: Vec<u8>,
}

impl Events {
    /// Takes the next piece, and gives the events that are whole by now.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Vec<Event> {
        self.rest.extend_from_slice(piece);
        let mut events = Vec::new();
        while let Some(end) = self.rest.windows(2).position(|it| it == b"\n\n") {
            let block: Vec<u8> = self.rest.drain(..end + 2).collect();
            events.extend(event(&String::from_utf8_lossy(&block)));
        }
        events
    }
}

/// `None` for what is no event: comments, and what is said to browsers only.
fn event(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let mut lines = block.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(it, _)| *it == name).map(|(_, value)| value)
    };
    Some(Event {
        name: field("event")?.to_owned(),
        id: field("id").unwrap_or_default().to_owned(),
        data: serde_json::from_str(field("data")?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stream_has_the_same_events_wherever_it_is_cut() {
        let stream =
            ": keep-alive\n\nretry: 200\n\nid: r.2.3.1\nevent: delta\ndata: {\"text\":\"é!\"}\n\n";
        let event =
            Event { name: "delta".into(), id: "r.2.3.1".into(), data: json!({"text": "é!"}) };
        assert_eq!(event.place(), Some(Place { attempt: 2, bytes: 3 }));
        for cut in 0..=stream.len() {
            let (one, other) = stream.as_bytes().split_at(cut);
            let mut events = Events::default();

            let mut found = events.push(one);
            found.extend(events.push(other));

            assert_eq!(found, std::slice::from_ref(&event), "cut at {cut}");
        }
    }
}
