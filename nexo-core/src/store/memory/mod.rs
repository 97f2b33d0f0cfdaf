//! The store in memory: for tests, examples and first steps. What it keeps ends with it.

mod accounts;
mod apps;
mod deliveries;
mod events;
mod feed;
mod idempotency;
mod messages;
mod replays;
mod runs;
mod servers;
mod state;
mod subscribers;
mod threads;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use state::State;

use crate::{Clock, SystemClock, Timestamp};

/// Keeps everything in memory, and keeps every promise that a database does but one: nothing
/// outlives the process.
///
/// Clones are the same store, so that several engines can work on it as several servers do on
/// one database.
///
/// ```
/// use nexo_core::{AppStore, MemoryStore, NewApp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> nexo_core::Result<()> {
/// let store = MemoryStore::new();
/// let app = store.create_app(NewApp::new("ann".parse().unwrap(), "Shop")).await?;
/// assert_eq!(app.name, "Shop");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store that goes by the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store that goes by this clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { inner: Arc::new(Inner { clock, state: Mutex::default() }) }
    }

    /// Does one step, alone. The time is read under the lock, so that it rises from step to
    /// step as far as the clock does.
    ///
    /// A step that panicked must not take the others down with it, so a poisoned lock is
    /// used all the same.
    fn step<T>(&self, step: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        step(&mut state, self.inner.clock.now())
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows nothing of what is kept: there are secrets among it, and other people's words.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("clock", &self.inner.clock).finish_non_exhaustive()
    }
}

/// A page's rows and one more, which tells that there are more.
fn one_more(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AppStore, NewApp, ServerStore};

    #[tokio::test]
    async fn a_step_that_panicked_takes_no_other_down() {
        let store = MemoryStore::new();
        let clone = store.clone();

        let broken = std::thread::spawn(move || clone.step(|_, _| panic!("on purpose"))).join();

        assert!(broken.is_err());
        store.ping().await.unwrap();
    }

    #[tokio::test]
    async fn clones_are_the_same_store() {
        let store = MemoryStore::new();

        let app = store.create_app(NewApp::new("ann".parse().unwrap(), "Shop")).await.unwrap();

        let found = store.clone().get_app(&crate::Scope::Everything, app.id).await.unwrap();
        assert_eq!(found, app);
    }

    #[tokio::test]
    async fn nothing_that_is_kept_is_printed() {
        let store = MemoryStore::new();
        store.create_app(NewApp::new("ann".parse().unwrap(), "Secret shop")).await.unwrap();

        assert!(!format!("{store:?}").contains("shop"));
    }
}
