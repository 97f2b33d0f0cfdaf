//! Watching one app: word of what changes in its threads, for lists that stay up to date.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::Instant,
};

use super::{Feed, Inner, NewestThreads, attend::NEWEST};
use crate::{AppId, Hint, Result, Scope, ThreadId, Topic};

/// How much waits for a watcher that is busy. One that misses more is told to look everywhere.
const MAX_WAITING: usize = 256;
/// The most hints that a watcher is told at once: where there are more it looks everywhere.
const MAX_AT_ONCE: usize = 64;
/// How long a watcher is left alone after it was told something.
const PAUSE: Duration = Duration::from_millis(500);
/// The same after it was told to look everywhere, which costs it more.
const PAUSE_AFTER_RESYNC: Duration = Duration::from_secs(2);
/// The most threads whose versions are remembered, of one app or by one watcher.
const MAX_KNOWN: usize = 1_000;

/// What the watcher of an app sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppEvent {
    /// Something changed here. Where the topic is the thread, anything of it may have.
    Changed(Hint),
    /// Word of changes may have been missed: anything may have changed.
    Resync,
    /// The app is gone: the last event.
    Deleted,
}

/// An app that somebody watches on this server.
pub(super) struct WatchedApp {
    id: AppId,
    tell: broadcast::Sender<AppEvent>,
    /// The versions of threads that its watchers know of; nothing before the first look.
    known: Mutex<Option<NewestThreads>>,
}

impl WatchedApp {
    fn new(id: AppId) -> Self {
        Self { id, tell: broadcast::Sender::new(MAX_WAITING), known: Mutex::default() }
    }

    pub(super) fn id(&self) -> AppId {
        self.id
    }

    /// Has all watchers hear something.
    pub(super) fn tell(&self, event: AppEvent) {
        // Where nobody listens any more there is nobody to tell.
        let _ = self.tell.send(event);
    }

    fn is_looked_at(&self) -> bool {
        self.known().is_some()
    }

    /// Keeps in mind that watchers were told of this version, or that the thread is gone.
    pub(super) fn note(&self, thread: ThreadId, version: Option<i64>) {
        let mut known = self.known();
        let Some(known) = known.as_mut() else { return };
        match version {
            Some(version) if known.len() < MAX_KNOWN || known.contains_key(&thread) => {
                known.insert(thread, version);
            }
            Some(_) => {}
            None => drop(known.remove(&thread)),
        }
    }

    /// Tells watchers where a look found another version than the one before, and gives the
    /// threads that it did not find any more: they were deleted, or others came before them.
    pub(super) fn compare(&self, newest: NewestThreads) -> Vec<ThreadId> {
        let mut known = self.known();
        let Some(before) = known.replace(newest) else { return Vec::new() };
        let Some(now) = known.as_mut() else { return Vec::new() };
        let mut changed = Vec::new();
        for (thread, version) in now.iter_mut() {
            let told = before.get(thread).copied().unwrap_or_default();
            if *version > told {
                changed.push(*thread);
            }
            // A look may have begun before something was told.
            *version = told.max(*version);
        }
        // Where as many have changed as are looked at, others may have that were not.
        if changed.len() >= NEWEST as usize {
            self.tell(AppEvent::Resync);
        } else {
            changed.into_iter().for_each(|thread| self.tell(self.changed(thread)));
        }
        before.into_keys().filter(|thread| !now.contains_key(thread)).collect()
    }

    pub(super) fn changed(&self, thread: ThreadId) -> AppEvent {
        AppEvent::Changed(Hint { app: self.id, thread, topic: Topic::Thread })
    }

    fn known(&self) -> MutexGuard<'_, Option<NewestThreads>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The apps that are watched on this server, as long as somebody does.
#[derive(Default)]
pub(super) struct Watched(Mutex<HashMap<AppId, Weak<WatchedApp>>>);

impl Watched {
    fn watch(&self, app: AppId) -> Arc<WatchedApp> {
        let mut apps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = apps.get(&app).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let watched = Arc::new(WatchedApp::new(app));
            apps.insert(app, Arc::downgrade(&watched));
            watched
        })
    }

    pub(super) fn find(&self, app: AppId) -> Option<Arc<WatchedApp>> {
        let apps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        apps.get(&app).and_then(Weak::upgrade)
    }

    /// Those that are watched, after those that are not any more were forgotten.
    pub(super) fn all(&self) -> Vec<Arc<WatchedApp>> {
        let mut apps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        apps.retain(|_, app| app.strong_count() > 0);
        apps.values().filter_map(Weak::upgrade).collect()
    }
}

/// Watches one app. It is told of each change at least once, a little later where much changes,
/// and holds a bounded number of hints.
pub struct AppWatch {
    feed: Arc<Inner>,
    app: Arc<WatchedApp>,
    scope: Scope,
    heard: broadcast::Receiver<AppEvent>,
    /// What was heard and not told yet.
    gathered: Gathered,
    /// What is told next.
    ready: std::vec::IntoIter<AppEvent>,
    /// Until when to wait before more is told.
    quiet_until: Instant,
    /// Threads that somebody who sees only some was told of: of those, that they are gone.
    own: HashSet<ThreadId>,
    over: bool,
}

/// What a watcher has to be told.
#[derive(Default)]
struct Gathered {
    hints: Vec<Hint>,
    resync: bool,
    deleted: bool,
}

impl Gathered {
    fn add(&mut self, event: AppEvent) {
        match event {
            AppEvent::Changed(hint) if self.resync || self.hints.contains(&hint) => {}
            AppEvent::Changed(hint) if self.hints.len() < MAX_AT_ONCE => self.hints.push(hint),
            AppEvent::Changed(_) | AppEvent::Resync => {
                *self = Self { resync: true, deleted: self.deleted, ..Self::default() }
            }
            AppEvent::Deleted => self.deleted = true,
        }
    }

    fn is_empty(&self) -> bool {
        self.hints.is_empty() && !self.resync && !self.deleted
    }
}

impl Feed {
    /// Watches an app from now on.
    ///
    /// # Errors
    ///
    /// [`Error::AppNotFound`](crate::Error::AppNotFound) if there is no such app in the scope,
    /// [`Error::Unavailable`](crate::Error::Unavailable) while the server shuts down.
    pub async fn watch_app(&self, scope: &Scope, app: AppId) -> Result<AppWatch> {
        self.open()?;
        let inner = Arc::clone(&self.inner);
        inner.store.get_app(scope, app).await?;
        let watched = inner.apps.watch(app);
        let heard = watched.tell.subscribe();
        if !watched.is_looked_at() {
            inner.look_at_apps(std::slice::from_ref(&watched)).await?;
        }
        Ok(AppWatch {
            feed: inner,
            app: watched,
            scope: scope.clone(),
            heard,
            gathered: Gathered::default(),
            ready: Vec::new().into_iter(),
            quiet_until: Instant::now(),
            own: HashSet::new(),
            over: false,
        })
    }
}

impl AppWatch {
    /// What comes next, once it is there; `None` after the end, and when this server shuts
    /// down: the app is to be watched on another one then.
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<AppEvent> {
        let closing = self.feed.closing.clone();
        while !self.over && !closing.is_cancelled() {
            if let Some(event) = self.ready.next() {
                self.over = event == AppEvent::Deleted;
                return Some(event);
            }
            closing.run_until_cancelled(self.gather()).await?;
            self.ready = self.told().await.into_iter();
        }
        None
    }

    /// Waits until there is something to tell, and until it may be told.
    async fn gather(&mut self) {
        if self.gathered.is_empty() {
            let heard = self.heard.recv().await;
            self.add(heard);
        }
        tokio::time::sleep_until(self.quiet_until).await;
        while !self.heard.is_empty() {
            let heard = self.heard.recv().await;
            self.add(heard);
        }
    }

    fn add(&mut self, heard: Result<AppEvent, RecvError>) {
        // It is not closed: the sender lives as long as this does.
        self.gathered.add(heard.unwrap_or(AppEvent::Resync));
    }

    /// What was gathered, as far as it may be seen.
    async fn told(&mut self) -> Vec<AppEvent> {
        if !self.gathered.hints.is_empty() && self.scope.subscriber().is_some() {
            self.narrow().await;
        }
        let Gathered { hints, resync, deleted } = std::mem::take(&mut self.gathered);
        let pause = if resync { PAUSE_AFTER_RESYNC } else { PAUSE };
        self.quiet_until = Instant::now() + pause;
        let mut told: Vec<AppEvent> = hints.into_iter().map(AppEvent::Changed).collect();
        told.extend(resync.then_some(AppEvent::Resync));
        told.extend(deleted.then_some(AppEvent::Deleted));
        told
    }

    /// Keeps the hints about threads that the watcher sees, or saw before they were deleted.
    async fn narrow(&mut self) {
        let threads: Vec<ThreadId> = self.gathered.hints.iter().map(|hint| hint.thread).collect();
        match self.feed.store.thread_versions(&self.scope, &threads).await {
            Ok(seen) => {
                if self.own.len() + seen.len() > MAX_KNOWN {
                    self.own.clear();
                }
                self.own.extend(seen.into_keys());
                self.gathered.hints.retain(|hint| self.own.contains(&hint.thread));
            }
            Err(_) => self.gathered.add(AppEvent::Resync),
        }
    }
}

impl fmt::Debug for AppWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppWatch({})", self.app.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_that_missed_something_is_told_the_end_all_the_same() {
        let mut gathered = Gathered::default();

        gathered.add(AppEvent::Deleted);
        gathered.add(AppEvent::Resync);

        assert!(gathered.resync && gathered.deleted);
    }
}
