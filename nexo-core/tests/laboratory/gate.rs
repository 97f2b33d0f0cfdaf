//! What stands between a server and the store that all share.
//!
//! A server has no life of its own that could be ended from outside: it is what it does to the
//! store. So all troubles of servers are troubles at their gates. A killed server never gets
//! an answer any more, and one that stands still gets it much later.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nexo_core::{Error, Result, Store};
use tokio::{sync::Notify, time::Instant};

use crate::{chance::Chance, history::History};

/// How a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Alive,
    /// It stands still, and goes on later as if nothing had happened: a zombie.
    Frozen,
    /// It never does anything again.
    Dead,
}

/// The gate of one server.
pub(crate) struct Gate {
    server: usize,
    standing: Mutex<Standing>,
    /// Wakes in the order of waiting, which a watch channel would not.
    changed: Notify,
    /// How many calls in a hundred fail.
    flaky: AtomicU64,
    thawed: Mutex<Option<Instant>>,
    chance: Mutex<Chance>,
    history: Arc<History>,
}

/// How a call fails.
enum Fault {
    Before,
    After,
}

impl Gate {
    pub(crate) fn new(server: usize, chance: Chance, history: Arc<History>) -> Self {
        Self {
            server,
            standing: Mutex::new(Standing::Alive),
            changed: Notify::new(),
            flaky: AtomicU64::new(0),
            thawed: Mutex::default(),
            chance: Mutex::new(chance),
            history,
        }
    }

    pub(crate) fn set(&self, standing: Standing) {
        self.history.note(|| format!("s{} is {standing:?}", self.server));
        *self.thawed.lock().unwrap() = Some(Instant::now());
        let mut now = self.standing.lock().unwrap();
        // Nobody comes back from the dead.
        if *now != Standing::Dead {
            *now = standing;
        }
        self.changed.notify_waiters();
    }

    pub(crate) fn flake(&self, percent: u64) {
        self.history.note(|| format!("s{} fails {percent} %", self.server));
        self.flaky.store(percent, Ordering::SeqCst);
    }

    /// Whether the server stood still within this time: it may not know then what others know.
    pub(crate) fn was_still(&self, within: Duration) -> bool {
        self.thawed.lock().unwrap().is_some_and(|thawed| thawed.elapsed() <= within)
    }

    /// Waits until the server lives, for ever if it is dead.
    pub(crate) async fn pass(&self) {
        loop {
            let changed = self.changed.notified();
            if *self.standing.lock().unwrap() == Standing::Alive {
                return;
            }
            changed.await;
        }
    }

    /// Does something to the store, or not, and tells what came of it, or not.
    pub(crate) async fn call<T>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.way().await;
        let fault = self.fault(name);
        if matches!(fault, Some(Fault::Before)) {
            return Err(Error::Unavailable("the laboratory is between".into()));
        }
        let done = work.await;
        self.way().await;
        match (done, fault) {
            (Ok(_), Some(_)) => Err(Error::OutcomeUnknown("the laboratory is between".into())),
            (done, _) => done,
        }
    }

    /// The way to the store and the way back take a little time, or none: who comes first is
    /// chance.
    async fn way(&self) {
        let delay = {
            let mut chance = self.chance.lock().unwrap();
            chance.percent(30).then(|| chance.millis(1..8))
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        self.pass().await;
    }

    fn fault(&self, name: &str) -> Option<Fault> {
        let mut chance = self.chance.lock().unwrap();
        let fails = chance.percent(self.flaky.load(Ordering::SeqCst));
        // What only reads has no outcome that could be unknown.
        let after = chance.percent(50) && !is_reading(name);
        let fault = fails.then_some(if after { Fault::After } else { Fault::Before })?;
        let when = if after { "after" } else { "before" };
        self.history.note(|| format!("s{} {name} fails {when} it is done", self.server));
        Some(fault)
    }
}

fn is_reading(name: &str) -> bool {
    ["get_", "list_", "follow_", "valid_", "ping", "stopped_"]
        .iter()
        .any(|start| name.starts_with(start))
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate(s{}, {:?})", self.server, self.standing)
    }
}

/// What is done wrong on purpose, to see whether it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Whoever ends a run may do so, also if it is somebody else's by now.
    IgnoresFences,
    /// A message is answered well, and is not there.
    LosesMessages,
    /// A reply is stored without its last letter.
    CutsReplies,
    /// What runs say is told in other words.
    GarblesSegments,
}

/// The store behind a gate.
#[derive(Debug)]
pub(crate) struct GatedStore {
    pub(crate) gate: Arc<Gate>,
    pub(crate) behind: Arc<dyn Store>,
    pub(crate) lie: Option<Lie>,
}
