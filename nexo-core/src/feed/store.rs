//! Where it is found out what has changed.

use std::{collections::HashMap, fmt};

use async_trait::async_trait;

use super::{ChangeLimit, ChangePage, ThreadCursor};
use crate::{AppId, Result, Scope, ThreadId};

/// The threads that stand first in an app's lists, each with its version.
pub type NewestThreads = HashMap<ThreadId, i64>;

/// Where it is found out what has changed.
///
/// A thread's version is 1 when it was made. Every method that changes a thread, or a message
/// or run of it, raises it in the same step: by one for each of them that changes, which carries
/// the version that came with it. What takes place at once in one thread is done one after the
/// other, so that whoever sees a version sees all that came with lower ones.
#[async_trait]
pub trait FeedStore: fmt::Debug + Send + Sync + 'static {
    /// Lists what changed in a thread after a cursor: each message, run and the thread itself
    /// once, as it is now, in the order in which they changed last. All of it is seen at one
    /// moment. A `seq` stands for the version that came with its message, 0 for none.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] if there is no such app in the scope,
    /// [`crate::Error::ThreadNotFound`] if the app has no such thread in the scope,
    /// [`crate::Error::InvalidCursor`] if nobody can have seen so much of it. In this order.
    async fn list_changes(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        after: ThreadCursor,
        limit: ChangeLimit,
    ) -> Result<ChangePage>;

    /// The versions of those of the threads that are there and in the scope.
    async fn thread_versions(
        &self,
        scope: &Scope,
        threads: &[ThreadId],
    ) -> Result<HashMap<ThreadId, i64>>;

    /// The versions of the threads that stand first in the lists of those of the apps that are
    /// there: of the `limit` threads whose `updated_at` is the latest, and of the `limit` newest
    /// runs.
    async fn newest_threads(
        &self,
        apps: &[AppId],
        limit: u32,
    ) -> Result<HashMap<AppId, NewestThreads>>;
}
