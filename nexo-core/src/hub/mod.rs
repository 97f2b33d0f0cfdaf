//! The hub: who watches a run while it is under way.
//!
//! Each run that somebody carries or watches has a log of its events in memory. Every watcher
//! reads it at its own pace, from the start or from a cursor, so that whoever joins late misses
//! nothing, and whoever is slow holds up nobody. A log is bounded by the caps on an agent's
//! reply, and goes with its last watcher.

mod cursor;
mod log;
#[cfg(test)]
mod tests;
mod unstored;
mod watch;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use cursor::{InvalidRunCursor, RunCursor};
use log::Log;
pub(crate) use unstored::{Unsaved, Unstored};
pub use watch::RunWatch;

use self::unstored::Record;
use crate::{AppId, Failure, FollowRun, Message, RunId, RunState, Segment, ThreadId};

/// What the watchers of a run see, in order.
#[derive(Clone, Debug)]
pub enum RunEvent {
    /// Who answers: the first event, once for each watcher.
    Meta {
        /// What kind of agent it is, such as `webhook`.
        source: Arc<str>,
        /// Why it is not the one that was configured.
        reason: Option<Arc<str>>,
    },
    /// The run began again, because its server was lost: what was said so far does not count.
    Reset {
        /// Which attempt begins.
        attempt: i32,
    },
    /// The next piece of the reply's text.
    Delta(Arc<str>),
    /// What went wrong. The end follows.
    Error(Failure),
    /// How it ended: the last event, after everything is stored.
    End(Arc<RunEnd>),
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct RunEnd {
    /// The state it ended in.
    pub state: RunState,
    /// The stored reply, which may be only a part of what the agent wanted to say.
    pub message: Option<Message>,
    /// Why it failed.
    pub failure: Option<Failure>,
}

impl RunEnd {
    /// Whether there is an answer: also a run that somebody stopped has one, if it had said
    /// something.
    #[must_use]
    pub fn is_success(&self) -> bool {
        match self.state {
            RunState::Completed => true,
            RunState::Cancelled => self.message.is_some(),
            _ => false,
        }
    }
}

/// The runs that this server carries or watches.
#[derive(Clone, Default)]
pub(crate) struct Hub {
    logs: Arc<Mutex<HashMap<RunId, Arc<Log>>>>,
}

impl Hub {
    /// Opens the log of a run that this server begins. Who watches it already, because
    /// another server had begun it, sees that it begins again.
    pub(crate) fn open(&self, run: RunId, attempt: i32) -> Publisher {
        let log = Arc::clone(lock(&self.logs).entry(run).or_default());
        log.begin(attempt);
        Publisher { hub: self.clone(), run, attempt, log, record: None }
    }

    /// Watches a run from its start. If no log of it is here, because somebody else carries it,
    /// whoever is the first to ask gets a mirror as well, and has to fill it.
    pub(crate) fn watch(&self, run: RunId) -> (RunWatch, Option<Mirror>) {
        let mut logs = lock(&self.logs);
        let known = logs.contains_key(&run);
        let log = Arc::clone(logs.entry(run).or_default());
        let watch = RunWatch::new(run, Arc::clone(&log));
        (watch, (!known).then(|| Mirror::new(self.clone(), run, log)))
    }

    /// Forgets a log that nobody reads. Whoever comes from now on gets a new one.
    fn forget_unwatched(&self, run: RunId, log: &Arc<Log>) -> bool {
        let mut logs = lock(&self.logs);
        let is_unwatched = !log.is_watched();
        if is_unwatched && logs.get(&run).is_some_and(|known| Arc::ptr_eq(known, log)) {
            logs.remove(&run);
        }
        is_unwatched
    }

    fn forget(&self, run: RunId, log: &Arc<Log>) {
        let mut logs = lock(&self.logs);
        if logs.get(&run).is_some_and(|known| Arc::ptr_eq(known, log)) {
            logs.remove(&run);
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hub({} logs)", lock(&self.logs).len())
    }
}

/// Writes the log of a run that this server carries. Dropping it closes the log.
pub(crate) struct Publisher {
    hub: Hub,
    run: RunId,
    attempt: i32,
    log: Arc<Log>,
    record: Option<Record>,
}

impl Publisher {
    /// Has what the run says from now on stored as well.
    pub(crate) fn recorded(
        mut self,
        unstored: &Arc<Unstored>,
        app: AppId,
        thread: ThreadId,
    ) -> Self {
        self.record = Some(Record::new(unstored, &self, app, thread));
        self
    }

    /// Shows an event to all watchers.
    pub(crate) fn publish(&self, event: RunEvent) {
        match (event, &self.record) {
            (RunEvent::Delta(text), Some(record)) => {
                self.log.push(self.attempt, RunEvent::Delta(Arc::clone(&text)));
                record.heard(&text);
            }
            (event, _) => self.log.push(self.attempt, event),
        }
    }

    /// Shows the end to all watchers, and before it what went wrong.
    pub(crate) fn end(&self, end: RunEnd) {
        self.log.end(self.attempt, end);
    }

    /// Watches the run from its start.
    pub(crate) fn watch(&self) -> RunWatch {
        RunWatch::new(self.run, Arc::clone(&self.log))
    }

    /// Leaves the run to whoever carries it from now on; its watchers stay.
    pub(crate) fn leave(self) -> Mirror {
        self.log.leave(self.attempt);
        Mirror::new(self.hub.clone(), self.run, Arc::clone(&self.log))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if self.log.is_carried_in(self.attempt) {
            self.hub.forget(self.run, &self.log);
            self.log.close();
        }
    }
}

/// Fills the log of a run that somebody else carries. Dropping it closes the log, unless this
/// server carries the run by then.
pub(crate) struct Mirror {
    hub: Hub,
    run: RunId,
    log: Arc<Log>,
    has_resigned: bool,
}

impl Mirror {
    fn new(hub: Hub, run: RunId, log: Arc<Log>) -> Self {
        Self { hub, run, log, has_resigned: false }
    }

    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// Whether there is still somebody to fill it for, and nobody here who knows better.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.log.is_carried() && !self.hub.forget_unwatched(self.run, &self.log)
    }

    /// What is known of the run.
    pub(crate) fn known(&self) -> FollowRun {
        let (attempt, bytes) = self.log.read(|events| (events.attempt, events.bytes()));
        FollowRun { run: self.run, attempt, bytes }
    }

    /// Which attempt is under way.
    pub(crate) fn follow(&self, attempt: i32) {
        self.log.follow(attempt);
    }

    /// What the run has said.
    pub(crate) fn hear(&self, segment: &Segment) {
        self.log.hear(segment);
    }

    /// All there is to know of a run that has ended.
    pub(crate) fn finish(self, attempt: i32, meta: RunEvent, text: &str, end: RunEnd) {
        self.log.finish(attempt, meta, text, end);
    }

    /// Leaves the log to somebody else.
    pub(crate) fn resign(mut self) {
        self.has_resigned = true;
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        if !self.has_resigned && !self.log.is_carried() {
            self.hub.forget(self.run, &self.log);
            self.log.close();
        }
    }
}

/// A log stays usable after a panic elsewhere: each change of it is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
