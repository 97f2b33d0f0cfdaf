//! The hub: who watches a run while it is under way.
//!
//! Each live run has a log of its events in memory. Every watcher reads it at its own pace
//! from the start, so that whoever joins late misses nothing, and whoever is slow holds up
//! nobody. A log is bounded by the caps on an agent's reply, and goes with its last watcher.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{Failure, Message, RunId, RunState};

/// What the watchers of a run see, in order.
#[derive(Clone, Debug)]
pub enum RunEvent {
    /// Who answers: the first event.
    Meta {
        /// What kind of agent it is, such as `webhook`.
        source: Arc<str>,
        /// Why it is not the one that was configured.
        reason: Option<Arc<str>>,
    },
    /// The next piece of the reply's text.
    Delta(Arc<str>),
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

/// The live runs of this server.
#[derive(Clone, Default)]
pub(crate) struct Hub {
    live: Arc<Mutex<HashMap<RunId, Live>>>,
}

/// The events of one live run, packed: an agent may send its reply byte by byte, and a byte
/// must not cost as much as an event of its own.
#[derive(Default)]
struct Events {
    meta: Option<RunEvent>,
    text: String,
    /// Where in the text each delta ends.
    ends: Vec<u32>,
    end: Option<RunEvent>,
}

impl Events {
    fn push(&mut self, event: RunEvent) {
        match event {
            RunEvent::Meta { .. } => self.meta = Some(event),
            RunEvent::End(_) => self.end = Some(event),
            RunEvent::Delta(text) => {
                self.text.push_str(&text);
                self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
            }
        }
    }

    fn count(&self) -> usize {
        usize::from(self.meta.is_some()) + self.ends.len() + usize::from(self.end.is_some())
    }

    /// The event of this number: the meta event, then the deltas, then the end.
    fn get(&self, number: usize) -> Option<RunEvent> {
        let Some(delta) = number.checked_sub(usize::from(self.meta.is_some())) else {
            return self.meta.clone();
        };
        match self.ends.get(delta) {
            Some(end) => {
                let start = delta.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
                Some(RunEvent::Delta(self.text[start..*end as usize].into()))
            }
            None => self.end.clone().filter(|_| delta == self.ends.len()),
        }
    }
}

type Log = Arc<Mutex<Events>>;

/// What it takes to watch a live run: its log, and how many events it has.
#[derive(Clone)]
struct Live {
    log: Log,
    count: watch::Receiver<usize>,
}

impl Hub {
    /// Opens the log of a run that starts.
    pub(crate) fn open(&self, run: RunId) -> Publisher {
        let count = watch::Sender::new(0);
        let live = Live { log: Log::default(), count: count.subscribe() };
        lock(&self.live).insert(run, live.clone());
        Publisher { hub: self.clone(), run, live, count }
    }

    /// The runs that are live on this server.
    pub(crate) fn carried(&self) -> Vec<RunId> {
        lock(&self.live).keys().copied().collect()
    }

    /// Watches a live run from its start; `None` if it is not live on this server.
    pub(crate) fn watch(&self, run: RunId) -> Option<RunWatch> {
        lock(&self.live).get(&run).cloned().map(|live| RunWatch::new(run, live))
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hub({} live)", lock(&self.live).len())
    }
}

/// Writes the log of one run. Dropping it closes the log.
pub(crate) struct Publisher {
    hub: Hub,
    run: RunId,
    live: Live,
    /// Goes with the publisher, which is how watchers learn that nothing more comes.
    count: watch::Sender<usize>,
}

impl Publisher {
    /// Shows an event to all watchers.
    pub(crate) fn publish(&self, event: RunEvent) {
        let mut log = lock(&self.live.log);
        log.push(event);
        let count = log.count();
        drop(log);
        self.count.send_replace(count);
    }

    /// Watches the run from its start.
    pub(crate) fn watch(&self) -> RunWatch {
        RunWatch::new(self.run, self.live.clone())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        lock(&self.hub.live).remove(&self.run);
    }
}

/// Watches one run, from its first event to its end.
pub struct RunWatch {
    run: RunId,
    live: Live,
    /// How many events were seen; all there can be, once the end was.
    seen: usize,
}

impl RunWatch {
    fn new(run: RunId, live: Live) -> Self {
        Self { run, live, seen: 0 }
    }

    /// A watch on what is all there already.
    pub(crate) fn replay(run: RunId, events: Vec<RunEvent>) -> Self {
        let mut log = Events::default();
        events.into_iter().for_each(|event| log.push(event));
        let count = watch::Sender::new(log.count()).subscribe();
        Self::new(run, Live { log: Arc::new(Mutex::new(log)), count })
    }

    /// Which run is watched.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The next event, once it is there; `None` after the end.
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<RunEvent> {
        loop {
            let seen = self.seen;
            if let Some(event) = lock(&self.live.log).get(seen) {
                self.seen = if matches!(event, RunEvent::End(_)) { usize::MAX } else { seen + 1 };
                return Some(event);
            }
            if seen == usize::MAX {
                return None;
            }
            self.live.count.wait_for(|count| *count > seen).await.ok()?;
        }
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

impl fmt::Debug for RunWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunWatch({}, {} seen)", self.run, self.seen)
    }
}

/// A log stays usable after a panic elsewhere: each change of it is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(text: &str) -> RunEvent {
        RunEvent::Delta(text.into())
    }

    fn end() -> RunEvent {
        RunEvent::End(Arc::new(RunEnd { state: RunState::Completed, message: None, failure: None }))
    }

    async fn text(mut watch: RunWatch) -> String {
        let mut text = String::new();
        while let Some(event) = watch.next().await {
            if let RunEvent::Delta(delta) = event {
                text.push_str(&delta);
            }
        }
        text
    }

    #[test]
    fn packed_events_come_out_as_they_went_in() {
        let mut events = Events::default();
        let meta = RunEvent::Meta { source: "simulator".into(), reason: Some("why".into()) };
        let all = [meta, delta("a"), delta(""), delta("é🎉"), end()];

        all.iter().cloned().for_each(|event| events.push(event));

        let shown = |event: &RunEvent| format!("{event:?}");
        let unpacked: Vec<_> = (0..events.count()).filter_map(|at| events.get(at)).collect();
        assert_eq!(
            unpacked.iter().map(shown).collect::<Vec<_>>(),
            all.iter().map(shown).collect::<Vec<_>>()
        );
        assert!(events.get(all.len()).is_none());
    }

    #[tokio::test]
    async fn early_and_late_watchers_see_the_same() {
        let hub = Hub::default();
        let run = RunId::new();
        let publisher = hub.open(run);
        let early = tokio::spawn(text(publisher.watch()));

        publisher.publish(RunEvent::Meta { source: "simulator".into(), reason: None });
        publisher.publish(delta("a"));
        let late = tokio::spawn(text(hub.watch(run).unwrap()));
        publisher.publish(delta("b"));
        publisher.publish(end());

        assert_eq!(early.await.unwrap(), "ab");
        assert_eq!(late.await.unwrap(), "ab");
    }

    #[tokio::test]
    async fn a_closed_log_ends_its_watchers_and_is_forgotten() {
        let hub = Hub::default();
        let run = RunId::new();
        let publisher = hub.open(run);
        let watch = publisher.watch();

        assert_eq!(hub.carried(), [run]);
        drop(publisher);

        assert!(hub.watch(run).is_none());
        assert!(hub.carried().is_empty());
        let log = Arc::downgrade(&watch.live.log);
        let patience = std::time::Duration::from_secs(5);
        assert!(tokio::time::timeout(patience, watch.end()).await.unwrap().is_none());
        assert!(log.upgrade().is_none());
    }
}
