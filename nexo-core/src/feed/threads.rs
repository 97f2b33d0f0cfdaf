//! Watching one thread, from now on or from a cursor.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::watch;
use tracing::debug;

use super::{Change, ChangeLimit, ChangePage, Feed, Inner, ThreadCursor};
use crate::{AppId, Error, Result, Scope, Store, ThreadId};

/// What is read of a thread at once.
const LIMIT: ChangeLimit = ChangeLimit { changes: 100, bytes: 256 * 1024 };
/// The most bytes of messages that are kept for the thread's other readers.
const MAX_KEPT_BYTES: usize = 16 * 1024;
/// How long until a reading that failed is tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What the watcher of a thread sees.
#[derive(Clone, Debug, PartialEq)]
pub enum ThreadEvent {
    /// Something changed.
    Changed(Change),
    /// The thread is gone: the last event.
    Deleted,
}

/// What is known of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// It has this version at least.
    Version(i64),
    /// It was deleted.
    Gone,
}

/// A thread that somebody watches on this server.
struct WatchedThread {
    app: AppId,
    id: ThreadId,
    known: watch::Sender<Known>,
    /// What was read last, if it is small: most readers have seen the same and want the same.
    kept: tokio::sync::Mutex<Option<Kept>>,
}

/// All that changed after a version.
struct Kept {
    after: i64,
    page: Arc<ChangePage>,
}

impl WatchedThread {
    fn new(app: AppId, id: ThreadId) -> Self {
        Self { app, id, known: watch::Sender::new(Known::Version(0)), kept: Default::default() }
    }

    fn learn(&self, version: Option<i64>) {
        self.known.send_if_modified(|known| match (*known, version) {
            (Known::Version(old), Some(version)) if version <= old => false,
            (Known::Gone, _) => false,
            (Known::Version(_), version) => {
                *known = version.map_or(Known::Gone, Known::Version);
                true
            }
        });
    }

    /// A page on which everything stands that changed next after `seen`, and maybe more before.
    /// Of several readers at once one asks the store.
    async fn page(&self, store: &dyn Store, seen: i64) -> Result<Arc<ChangePage>> {
        let mut kept = self.kept.lock().await;
        let fits = |kept: &&Kept| kept.after <= seen && seen < kept.page.seen();
        if let Some(kept) = kept.as_ref().filter(fits) {
            return Ok(Arc::clone(&kept.page));
        }
        let after = ThreadCursor::Version(seen);
        let page = store.list_changes(&Scope::Everything, self.app, self.id, after, LIMIT).await?;
        let page = Arc::new(page);
        let keep = || Kept { after: seen, page: Arc::clone(&page) };
        *kept = (page.bytes() <= MAX_KEPT_BYTES).then(keep);
        Ok(page)
    }
}

/// The threads that are watched on this server, as long as somebody does.
#[derive(Default)]
pub(super) struct Watched(Mutex<HashMap<ThreadId, Weak<WatchedThread>>>);

impl Watched {
    fn watch(&self, app: AppId, thread: ThreadId) -> Arc<WatchedThread> {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = threads.get(&thread).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let watched = Arc::new(WatchedThread::new(app, thread));
            threads.insert(thread, Arc::downgrade(&watched));
            watched
        })
    }

    /// Those that are watched, after those that are not any more were forgotten.
    pub(super) fn ids(&self) -> Vec<ThreadId> {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|_, thread| thread.strong_count() > 0);
        threads.keys().copied().collect()
    }

    pub(super) fn contains(&self, thread: ThreadId) -> bool {
        self.find(thread).is_some()
    }

    /// What the store says about a thread's version; that it is not there if nothing.
    pub(super) fn learn(&self, thread: ThreadId, version: Option<i64>) {
        if let Some(watched) = self.find(thread) {
            watched.learn(version);
        }
    }

    fn find(&self, thread: ThreadId) -> Option<Arc<WatchedThread>> {
        let threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.get(&thread).and_then(Weak::upgrade)
    }
}

/// Watches one thread. It holds no more than a page of what changed, however slowly it is read.
pub struct ThreadWatch {
    feed: Arc<Inner>,
    thread: Arc<WatchedThread>,
    known: watch::Receiver<Known>,
    seen: i64,
    page: Arc<ChangePage>,
    over: bool,
}

impl Feed {
    /// Watches a thread: from now on, or all that changed after a cursor.
    ///
    /// # Errors
    ///
    /// Those of [`FeedStore::list_changes`](crate::FeedStore::list_changes);
    /// [`Error::Unavailable`] while the server shuts down.
    pub async fn watch_thread(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        after: Option<ThreadCursor>,
    ) -> Result<ThreadWatch> {
        self.open()?;
        let inner = Arc::clone(&self.inner);
        let page = match after {
            Some(after) => inner.store.list_changes(scope, app, thread, after, LIMIT).await?,
            None => inner.now(scope, app, thread).await?,
        };
        let watched = inner.threads.watch(app, thread);
        watched.learn(Some(page.version));
        let known = watched.known.subscribe();
        // What is on the page comes all: a reader that shows none has seen as much as it says.
        let seen = page.changes.first().map_or(page.version, |first| first.version - 1);
        Ok(ThreadWatch {
            feed: inner,
            thread: watched,
            known,
            seen,
            page: page.into(),
            over: false,
        })
    }
}

impl Inner {
    /// The page of somebody who has seen everything.
    async fn now(&self, scope: &Scope, app: AppId, thread: ThreadId) -> Result<ChangePage> {
        self.store.get_app(scope, app).await?;
        let found = self.store.get_thread(scope, thread).await?.of(app)?;
        Ok(ChangePage { changes: Vec::new(), version: found.version })
    }
}

impl ThreadWatch {
    /// What was seen so far.
    #[must_use]
    pub fn cursor(&self) -> ThreadCursor {
        ThreadCursor::Version(self.seen)
    }

    /// What comes next, once it is there; `None` after the end, and when this server shuts
    /// down: the thread is to be watched on another one then.
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<ThreadEvent> {
        while !self.over && !self.feed.closing.is_cancelled() {
            if let Some(change) = self.take() {
                return Some(ThreadEvent::Changed(change));
            }
            let known = *self.known.borrow_and_update();
            match known {
                Known::Version(version) if version > self.seen => self.read().await,
                Known::Version(_) => self.wait().await,
                Known::Gone => {
                    self.over = true;
                    return Some(ThreadEvent::Deleted);
                }
            }
        }
        None
    }

    /// The next change on the page, after which as much is seen.
    fn take(&mut self) -> Option<Change> {
        let at = self.page.changes.partition_point(|change| change.version <= self.seen);
        let change = self.page.changes.get(at)?.clone();
        self.seen = change.version;
        Some(change)
    }

    async fn read(&mut self) {
        match self.thread.page(&*self.feed.store, self.seen).await {
            Ok(page) => {
                // Where nothing is left to show of what changed, it is seen all the same.
                if page.changes.is_empty() {
                    self.seen = self.seen.max(page.version);
                }
                self.page = page;
            }
            Err(Error::ThreadNotFound(_) | Error::AppNotFound(_)) => self.thread.learn(None),
            Err(error) => {
                debug!(%error, "changes of thread {} could not be read", self.thread.id);
                tokio::time::sleep(TRY_AGAIN_AFTER).await;
            }
        }
    }

    async fn wait(&mut self) {
        // It is not closed: the sender lives as long as this does.
        let _ = self.feed.closing.run_until_cancelled(self.known.changed()).await;
    }
}

impl fmt::Debug for ThreadWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadWatch({}, {})", self.thread.id, self.cursor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AppStore, MemoryStore, MessageStore, NewApp, NewMessage, NewThread, Role, ThreadStore,
    };

    #[tokio::test]
    async fn readers_that_have_seen_about_the_same_share_a_reading() {
        let (store, all) = (MemoryStore::new(), Scope::Everything);
        let app = store.create_app(NewApp::new("ann".parse().unwrap(), "Shop")).await.unwrap().id;
        let thread = store.create_thread(&all, app, NewThread::default()).await.unwrap().0.id;
        let watched = WatchedThread::new(app, thread);
        let say = async |text: String| {
            let message = NewMessage::new(Role::User, text);
            store.append_message(&all, app, thread, message).await.unwrap();
        };
        say("one".into()).await;
        say("two".into()).await;

        let first = watched.page(&store, 1).await.unwrap();
        for seen in [1, 2] {
            assert!(Arc::ptr_eq(&first, &watched.page(&store, seen).await.unwrap()));
        }
        for seen in [0, 3] {
            assert!(!Arc::ptr_eq(&first, &watched.page(&store, seen).await.unwrap()));
        }

        say("x".repeat(MAX_KEPT_BYTES)).await;
        let large = watched.page(&store, 3).await.unwrap();
        assert_eq!(large.seen(), 4);
        assert!(!Arc::ptr_eq(&large, &watched.page(&store, 3).await.unwrap()), "too much to keep");
    }
}
