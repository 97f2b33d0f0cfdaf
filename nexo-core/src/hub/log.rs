//! The events of one run, in memory.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::{RunEnd, RunEvent, lock};

/// The most text that one delta carries to a watcher, in bytes.
const MAX_DELTA_BYTES: usize = 1024;

/// The events of one run, and who waits for more of them.
pub(super) struct Log {
    events: Mutex<Events>,
    /// Rises with every change.
    changed: watch::Sender<u64>,
}

/// The events of one attempt, packed: an agent may send its reply byte by byte, and a byte must
/// not cost as much as an event of its own.
#[derive(Default)]
pub(super) struct Events {
    pub(super) attempt: i32,
    pub(super) meta: Option<RunEvent>,
    pub(super) text: String,
    /// Where in the text each delta ends.
    pub(super) ends: Vec<u32>,
    /// All other events, and where in the text each belongs.
    pub(super) marks: Vec<(u32, RunEvent)>,
    /// Whether this server carries the run.
    pub(super) carried: bool,
    /// Whether nothing more comes.
    pub(super) closed: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { events: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Log {
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Events) -> T) -> T {
        read(&lock(&self.events))
    }

    fn change(&self, change: impl FnOnce(&mut Events)) {
        change(&mut lock(&self.events));
        self.changed.send_modify(|count| *count += 1);
    }

    /// Changes what this server shows of an attempt, if that is the one under way: it may carry
    /// the next one already, and not have noticed that it lost the one before.
    fn change_in(&self, attempt: i32, change: impl FnOnce(&mut Events)) {
        if self.is_carried_in(attempt) {
            self.change(change);
        }
    }

    /// This server begins the run.
    pub(super) fn begin(&self, attempt: i32) {
        self.change(|events| {
            let meta = events.meta.take();
            *events = Events { attempt, meta, carried: true, ..Events::default() };
        });
    }

    /// Another server carries the run now.
    pub(super) fn leave(&self, attempt: i32) {
        self.change_in(attempt, |events| events.carried = false);
    }

    /// What another server does: which attempt is under way.
    pub(super) fn follow(&self, attempt: i32) {
        if self.read(|events| events.attempt != attempt && !events.carried) {
            let next = |meta| Events { attempt, meta, ..Events::default() };
            self.change(|events| *events = next(events.meta.take()));
        }
    }

    /// What another server has done. Where the text is the one that watchers have seen the
    /// beginning of, they go on where they are.
    pub(super) fn finish(&self, attempt: i32, meta: RunEvent, text: &str, end: RunEnd) {
        self.change(|events| {
            if events.carried {
                return;
            }
            *events = Events { attempt, meta: Some(meta), ..Events::default() };
            events.say(text);
            events.end(end);
        });
    }

    pub(super) fn push(&self, attempt: i32, event: RunEvent) {
        self.change_in(attempt, |events| events.push(event));
    }

    pub(super) fn end(&self, attempt: i32, end: RunEnd) {
        self.change_in(attempt, |events| events.end(end));
    }

    pub(super) fn close(&self) {
        self.change(|events| events.closed = true);
    }

    pub(super) fn is_carried(&self) -> bool {
        self.read(|events| events.carried)
    }

    pub(super) fn is_carried_in(&self, attempt: i32) -> bool {
        self.read(|events| events.carried && events.attempt == attempt)
    }

    pub(super) fn is_watched(&self) -> bool {
        self.changed.receiver_count() > 0
    }
}

impl Events {
    fn push(&mut self, event: RunEvent) {
        match event {
            RunEvent::Meta { .. } => self.meta = Some(event),
            RunEvent::Delta(text) => self.say(&text),
            event => self.marks.push((position(&self.text), event)),
        }
    }

    /// More text, in deltas that are small enough for every client.
    fn say(&mut self, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let (delta, after) = rest.split_at(rest.floor_char_boundary(MAX_DELTA_BYTES));
            self.text.push_str(delta);
            self.ends.push(position(&self.text));
            rest = after;
        }
    }

    fn end(&mut self, end: RunEnd) {
        if !end.is_success() {
            let failure = end.failure.clone().unwrap_or_else(crate::Failure::internal);
            self.push(RunEvent::Error(failure));
        }
        self.push(RunEvent::End(Arc::new(end)));
    }

    /// Whether the end is there.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.marks.last(), Some((_, RunEvent::End(_))))
    }

    /// Whether a reader can have seen so much.
    pub(super) fn reaches(&self, bytes: u32, events: u32) -> bool {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let events = usize::try_from(events).unwrap_or(usize::MAX);
        self.text.is_char_boundary(bytes) && events <= self.marks.len()
    }
}

/// Where in a text its end is. Replies are far shorter than 4 GiB.
fn position(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}
