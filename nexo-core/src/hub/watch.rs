//! Watching one run, from anywhere to its end.

use std::{fmt, sync::Arc};

use tokio::sync::watch;

use super::{
    RunCursor, RunEnd, RunEvent,
    log::{Events, Log},
};
use crate::{Error, Result, RunId};

/// Watches one run, from its first event or from a cursor to its end.
pub struct RunWatch {
    log: Arc<Log>,
    changed: watch::Receiver<u64>,
    seen: RunCursor,
    /// Whether it was told who answers.
    met: bool,
    over: bool,
}

/// What comes next for a watcher.
enum Next {
    Event(RunEvent),
    Later,
    Never,
}

impl RunWatch {
    pub(super) fn new(run: RunId, log: Arc<Log>) -> Self {
        let attempt = log.read(|events| events.attempt);
        let seen = RunCursor { run, attempt, bytes: 0, events: 0 };
        Self { changed: log.subscribe(), log, seen, met: false, over: false }
    }

    /// Which run is watched.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.seen.run
    }

    /// What was seen so far.
    #[must_use]
    pub fn cursor(&self) -> RunCursor {
        self.seen
    }

    /// Whether nothing can be told for now, because the run has not begun, or others carry it
    /// and it has not said anything yet.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let knows_more = |events: &Events| events.carried || events.has_ended() || events.closed;
        self.log.read(|events| events.meta.is_none() && !knows_more(events))
    }

    /// Goes on after what was seen elsewhere, of an attempt that there was. Gives whether
    /// anything can come. `over` is whether the store has the run as ended.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCursor`] if nobody can have seen that much, as far as it is known here.
    pub(crate) fn resume(&mut self, cursor: RunCursor, over: bool) -> Result<bool> {
        let (possible, all) = self.log.read(|events| {
            let same = cursor.attempt == events.attempt;
            let all = same && events.has_ended() && events.is_all(&cursor);
            (events.admits(&cursor, over), all)
        });
        if !possible {
            return Err(Error::InvalidCursor);
        }
        self.seen = cursor;
        Ok(!all)
    }

    /// The next event, once it is there; `None` after the end, or when this server has nothing
    /// more to tell: the run goes on elsewhere then.
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<RunEvent> {
        loop {
            self.changed.mark_unchanged();
            match self.step() {
                Next::Event(event) => return Some(event),
                Next::Never => return None,
                Next::Later => self.changed.changed().await.ok()?,
            }
        }
    }

    fn step(&mut self) -> Next {
        if self.over {
            return Next::Never;
        }
        let log = Arc::clone(&self.log);
        log.read(|events| self.read(events))
    }

    fn read(&mut self, events: &Events) -> Next {
        if !self.met
            && let Some(meta) = &events.meta
        {
            self.met = true;
            return Next::Event(meta.clone());
        }
        if self.is_ahead(events) {
            return if events.closed { Next::Never } else { Next::Later };
        }
        if self.is_behind(events) {
            let attempt = events.attempt;
            let anew = self.has_seen_something();
            self.seen = RunCursor { attempt, bytes: 0, events: 0, ..self.seen };
            if anew {
                return Next::Event(RunEvent::Reset { attempt });
            }
        }
        if let Some(event) = events.after(&mut self.seen) {
            self.over = matches!(event, RunEvent::End(_));
            return Next::Event(event);
        }
        if events.closed || events.has_ended() { Next::Never } else { Next::Later }
    }

    /// Whether more was seen elsewhere than this server knows yet.
    fn is_ahead(&self, events: &Events) -> bool {
        self.has_seen_something() && self.seen.attempt > events.attempt && !events.has_ended()
    }

    fn has_seen_something(&self) -> bool {
        self.seen.bytes > 0 || self.seen.events > 0
    }

    /// Whether what was seen is not what is there now.
    fn is_behind(&self, events: &Events) -> bool {
        let unreached = events.has_ended() && !events.reaches(&self.seen);
        self.seen.attempt != events.attempt || unreached
    }

    /// How the run ended, once it has.
    pub async fn end(mut self) -> Option<Arc<RunEnd>> {
        while let Some(event) = self.next().await {
            if let RunEvent::End(end) = event {
                return Some(end);
            }
        }
        None
    }
}

impl Events {
    /// What follows on what was seen, which is moved on. Where text and another event are due
    /// at once, the text comes first if it belongs before.
    fn after(&self, seen: &mut RunCursor) -> Option<RunEvent> {
        let mark = self.marks.get(usize::try_from(seen.events).ok()?);
        if let Some((_, event)) = mark.filter(|(at, _)| *at <= seen.bytes) {
            seen.events += 1;
            return Some(event.clone());
        }
        let delta = self.ends.partition_point(|end| *end <= seen.bytes);
        let end = self.ends.get(delta).copied()?;
        let end = mark.map_or(end, |(at, _)| end.min(*at));
        let text = self.text.get(seen.bytes as usize..end as usize)?;
        seen.bytes = end;
        Some(RunEvent::Delta(text.into()))
    }

    /// Whether a reader has seen everything.
    fn is_all(&self, seen: &RunCursor) -> bool {
        seen.bytes as usize >= self.text.len() && seen.events as usize >= self.marks.len()
    }
}

impl fmt::Debug for RunWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunWatch({})", self.seen)
    }
}
