//! Feeds: what changes in a thread or in an app, for whoever watches it.
//!
//! Every visible change of a thread raises its version, and what changed carries the version of
//! its last change. A reader goes on from the highest version it saw: whatever the thread's row
//! does at once, it does one after the other, so a change that is seen later has a higher one.
//!
//! One task watches for all readers of this server. Hints wake it; without any it looks at all
//! that is watched from time to time, in one query.

mod apps;
mod attend;
mod cursor;
mod store;
#[cfg(test)]
mod tests;
mod threads;

use std::{
    fmt,
    sync::{Arc, Once},
};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use apps::{AppEvent, AppWatch};
pub use cursor::{InvalidThreadCursor, ThreadCursor};
pub use store::{FeedStore, NewestThreads};
pub use threads::{ThreadEvent, ThreadWatch};

use crate::{Error, Message, Result, Run, Store, StreamHub, Thread};

/// One change of a thread: what it made, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The thread's version that came with it; no other change of the thread has the same.
    pub version: i64,
    /// What changed.
    pub what: Changed,
}

/// What changed in a thread.
#[derive(Clone, Debug, PartialEq)]
pub enum Changed {
    /// The thread itself: it was made, its title, label or subscriber changed. That something
    /// was said in it is no change of its own.
    Thread(Box<Thread>),
    /// A message was appended.
    Message(Box<Message>),
    /// A run was made, or stands elsewhere than before.
    Run(Box<Run>),
}

/// How much of what changed is listed at once. One change is, however large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeLimit {
    /// At most so many changes.
    pub changes: u32,
    /// No further change once the messages have so many bytes.
    pub bytes: u32,
}

/// Some of what changed in a thread, in the order of versions.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangePage {
    /// What changed.
    pub changes: Vec<Change>,
    /// The thread's version.
    pub version: i64,
}

impl Changed {
    /// How many bytes count towards [`ChangeLimit::bytes`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => {
                let content = message.content.as_deref().map_or(0, str::len);
                content + message.content_json.as_str().len()
            }
            Self::Thread(_) | Self::Run(_) => 0,
        }
    }
}

impl ChangePage {
    /// The page that starts with these changes of a thread of this version. A store may have
    /// read more than fits, of each kind as long as the limit wants more.
    #[must_use]
    pub fn cut(version: i64, mut changes: Vec<Change>, limit: ChangeLimit) -> Self {
        changes.sort_by_key(|change| change.version);
        changes.truncate(usize::try_from(limit.changes).unwrap_or(usize::MAX));
        let enough = usize::try_from(limit.bytes).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let last = changes.iter().position(|change| {
            bytes += change.what.bytes();
            bytes >= enough
        });
        changes.truncate(last.map_or(usize::MAX, |last| last + 1));
        Self { changes, version }
    }

    /// The version from which a reader of the page goes on.
    #[must_use]
    pub fn seen(&self) -> i64 {
        self.changes.last().map_or(self.version, |last| last.version)
    }

    /// Whether more has changed than is on the page.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.seen() < self.version
    }

    fn bytes(&self) -> usize {
        self.changes.iter().map(|change| change.what.bytes()).sum()
    }
}

/// Lets readers watch threads and apps. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    hub: Arc<dyn StreamHub>,
    threads: threads::Watched,
    apps: apps::Watched,
    handle: Handle,
    /// Whether the task that watches was started: it is with the first reader.
    attended: Once,
    /// The server shuts down, and readers go on elsewhere.
    closing: CancellationToken,
}

impl Feed {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        hub: Arc<dyn StreamHub>,
        handle: Handle,
        closing: CancellationToken,
    ) -> Self {
        let (threads, apps) = Default::default();
        let inner = Inner { store, hub, threads, apps, handle, attended: Once::new(), closing };
        Self { inner: Arc::new(inner) }
    }

    /// Has the task run that watches.
    fn open(&self) -> Result<()> {
        if self.inner.closing.is_cancelled() {
            return Err(Error::Unavailable("the server is shutting down".into()));
        }
        self.inner.attended.call_once(|| {
            let attending = attend::attend(Arc::downgrade(&self.inner), self.inner.hub.listen());
            self.inner.handle.spawn(attending);
        });
        Ok(())
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (threads, apps) = (self.inner.threads.ids().len(), self.inner.apps.all().len());
        write!(f, "Feed({threads} threads, {apps} apps)")
    }
}
