//! The task that watches for all readers of this server.

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};

use futures::FutureExt;
use tokio::time::Instant;
use tracing::warn;

use super::{
    Inner,
    apps::{AppEvent, WatchedApp},
};
use crate::{Heard, Hint, Hints, Result, Scope, ThreadId, Topic};

/// How long until the next look at the threads that are watched, if nothing is heard before.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The same for apps: a list may be a little older than a conversation.
const LOOK_AT_APPS_EVERY: Duration = Duration::from_secs(2);
/// How long after a look the next one is at the earliest, however much is heard.
const PAUSE: Duration = Duration::from_millis(20);
/// How many threads and runs of an app are looked at, from the top of its lists.
pub(super) const NEWEST: u32 = 50;
/// The most hints that are taken before a look.
const MAX_HINTS: usize = 1_024;

/// What was heard since the last look.
#[derive(Default)]
struct News {
    hints: Vec<Hint>,
    everything: bool,
}

impl News {
    fn add(&mut self, heard: Heard) {
        match heard {
            // More text is no change of a thread.
            Heard::Texts | Heard::Hint(Hint { topic: Topic::Text(_), .. }) => {}
            Heard::Hint(hint) => self.hints.push(hint),
            Heard::Everything => self.everything = true,
        }
    }
}

/// Watches until the feed is dropped.
pub(super) async fn attend(inner: Weak<Inner>, mut hints: Hints) {
    let (mut threads_at, mut apps_at) = (Instant::now(), Instant::now() + LOOK_AT_APPS_EVERY);
    loop {
        let news = listen(&mut hints, threads_at).await;
        let Some(inner) = inner.upgrade() else { return };
        let (all_threads, all_apps) = (Instant::now() >= threads_at, Instant::now() >= apps_at);
        if let Err(error) = inner.look(&news, all_threads).await {
            warn!(%error, "the store did not say what changed in threads");
        }
        // Where anything may have changed, watchers of apps are told to look themselves.
        if all_apps {
            if let Err(error) = inner.look_at_apps(&inner.apps.all()).await {
                warn!(%error, "the store did not say what changed in apps");
            }
            apps_at = Instant::now() + LOOK_AT_APPS_EVERY;
        }
        if all_threads {
            threads_at = Instant::now() + LOOK_EVERY;
        }
        drop(inner);
        tokio::time::sleep(PAUSE).await;
    }
}

/// What is heard at once, or nothing until then.
async fn listen(hints: &mut Hints, until: Instant) -> News {
    let mut news = News::default();
    match tokio::time::timeout_at(until, hints.next()).await {
        Ok(Some(heard)) => news.add(heard),
        Ok(None) => tokio::time::sleep_until(until).await,
        Err(_) => {}
    }
    while news.hints.len() < MAX_HINTS
        && let Some(Some(heard)) = hints.next().now_or_never()
    {
        news.add(heard);
    }
    news
}

impl Inner {
    /// Looks at the threads that there is news of, or at all that are watched, and passes the
    /// news on to those who watch apps.
    async fn look(&self, news: &News, all: bool) -> Result<()> {
        let mut threads: HashSet<ThreadId> = HashSet::new();
        if all || news.everything {
            threads.extend(self.threads.ids());
        }
        for hint in &news.hints {
            if self.threads.contains(hint.thread) || self.apps.find(hint.app).is_some() {
                threads.insert(hint.thread);
            }
        }
        let looked = self.look_at_threads(threads.into_iter().collect(), &news.hints).await;
        for hint in &news.hints {
            if let Some(app) = self.apps.find(hint.app) {
                app.tell(AppEvent::Changed(*hint));
            }
        }
        if news.everything {
            self.apps.all().iter().for_each(|app| app.tell(AppEvent::Resync));
        }
        looked
    }

    async fn look_at_threads(&self, threads: Vec<ThreadId>, hints: &[Hint]) -> Result<()> {
        if threads.is_empty() {
            return Ok(());
        }
        let versions = self.store.thread_versions(&Scope::Everything, &threads).await?;
        for thread in threads {
            self.threads.learn(thread, versions.get(&thread).copied());
        }
        for hint in hints {
            if let Some(app) = self.apps.find(hint.app) {
                app.note(hint.thread, versions.get(&hint.thread).copied());
            }
        }
        Ok(())
    }

    /// Looks at what stands first in the lists of apps, for changes that no hint told of.
    pub(super) async fn look_at_apps(&self, apps: &[Arc<WatchedApp>]) -> Result<()> {
        if apps.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = apps.iter().map(|app| app.id()).collect();
        let mut newest = self.store.newest_threads(&ids, NEWEST).await?;
        let mut missing = Vec::new();
        for app in apps {
            match newest.remove(&app.id()) {
                Some(newest) => {
                    missing.extend(app.compare(newest).into_iter().map(|thread| (app, thread)));
                }
                None => app.tell(AppEvent::Deleted),
            }
        }
        self.tell_of_deleted(&missing).await
    }

    /// Of threads that do not stand first in their lists any more, some are not there at all.
    async fn tell_of_deleted(&self, missing: &[(&Arc<WatchedApp>, ThreadId)]) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        let threads: Vec<ThreadId> = missing.iter().map(|(_, thread)| *thread).collect();
        let there = self.store.thread_versions(&Scope::Everything, &threads).await?;
        for (app, thread) in missing {
            if !there.contains_key(thread) {
                app.tell(app.changed(*thread));
            }
        }
        Ok(())
    }
}
