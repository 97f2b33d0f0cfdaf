//! The events of one run, in memory.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::{RunCursor, RunEnd, RunEvent, lock};
use crate::Segment;

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
        self.change_if(|events| {
            change(events);
            true
        });
    }

    /// Changes something, or not, as one step: whoever carries the run may be another one at
    /// any time. `change` gives whether anything is new to those who watch.
    fn change_if(&self, change: impl FnOnce(&mut Events) -> bool) {
        if change(&mut lock(&self.events)) {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    /// Changes what this server shows of an attempt, if that is the one under way: it may carry
    /// the next one already, and not have noticed that it lost the one before.
    fn change_in(&self, attempt: i32, change: impl FnOnce(&mut Events)) {
        self.change_if(|events| {
            let is_under_way = events.carried && events.attempt == attempt;
            if is_under_way {
                change(events);
            }
            is_under_way
        });
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
        self.change_if(|events| {
            let is_news = !events.carried && events.attempt != attempt;
            if is_news {
                let meta = events.meta.take();
                *events = Events { attempt, meta, ..Events::default() };
            }
            is_news
        });
    }

    /// What another server has stored of the attempt that is followed: it begins at or before
    /// the end of what is known, and goes on from there.
    pub(super) fn hear(&self, segment: &Segment) {
        self.change_if(|events| {
            let followed = !events.carried && !events.has_ended();
            let same = followed && events.attempt == segment.attempt;
            let known = events.bytes().checked_sub(segment.position).filter(|_| same);
            let more = known.and_then(|known| segment.said.text.get(known as usize..));
            let more = more.unwrap_or_default();
            if let Some(speaker) = segment.said.speaker.as_ref().filter(|_| !more.is_empty()) {
                events.meta.get_or_insert_with(|| speaker.into());
            }
            events.say(more);
            !more.is_empty()
        });
    }

    /// What another server has done. Where the text is the one that watchers have seen the
    /// beginning of, they go on where they are.
    pub(super) fn finish(&self, attempt: i32, meta: RunEvent, text: &str, end: RunEnd) {
        self.change_if(|events| {
            if events.carried {
                return false;
            }
            *events = Events { attempt, meta: Some(meta), ..Events::default() };
            events.say(text);
            events.end(end);
            true
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

    /// How many bytes of text there are.
    pub(super) fn bytes(&self) -> u32 {
        position(&self.text)
    }

    /// Whether this server carries this attempt, and nobody knows its end yet.
    pub(super) fn is_under_way(&self, attempt: i32) -> bool {
        self.carried && self.attempt == attempt && !self.closed && !self.has_ended()
    }

    /// Whether the end is there.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.marks.last(), Some((_, RunEvent::End(_))))
    }

    /// Whether so much is there for a reader to have seen.
    pub(super) fn reaches(&self, seen: &RunCursor) -> bool {
        self.is_boundary(seen) && self.is_in_order(seen)
    }

    /// Whether all events that were seen come before the rest of the text, and all others do not.
    fn is_in_order(&self, seen: &RunCursor) -> bool {
        let at = |(at, _): &(u32, RunEvent)| *at;
        let seen_events = seen.events as usize;
        let last = seen_events.checked_sub(1).map(|last| self.marks.get(last).map(at));
        let next = self.marks.get(seen_events).map(at);
        last.is_none_or(|last| last.is_some_and(|at| at <= seen.bytes))
            && next.is_none_or(|at| seen.bytes <= at)
    }

    /// Whether a reader can have seen so much. `over` is whether the store has the run as ended.
    ///
    /// While another server carries the run, and where this one still carries an attempt that
    /// it lost without noticing, others know more: a reader who claims too much is found out
    /// when that is known here, and gets the whole then.
    pub(super) fn admits(&self, seen: &RunCursor, over: bool) -> bool {
        if seen.attempt != self.attempt {
            return true;
        }
        if self.has_ended() {
            // What was said and is not kept was seen all the same.
            let withdrawn = self.text.is_empty();
            return if withdrawn {
                seen.events as usize <= self.marks.len()
            } else {
                self.reaches(seen)
            };
        }
        let known = self.carried && !over;
        if known { self.reaches(seen) } else { seen.bytes > self.bytes() || self.is_boundary(seen) }
    }

    fn is_boundary(&self, seen: &RunCursor) -> bool {
        self.text.is_char_boundary(seen.bytes as usize)
    }
}

/// Where in a text its end is. Replies are far shorter than 4 GiB.
fn position(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}
