//! Threads: conversations.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    AgentId, AppId, Cursor, CursorPage, Error, Message, Result, Scope, SubscriberId, ThreadId,
    Timestamp,
};

/// One conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Thread {
    /// The thread's id.
    pub id: ThreadId,
    /// The app it belongs to.
    pub app: AppId,
    /// The customer it is held with.
    pub subscriber: Option<SubscriberId>,
    /// Its title.
    pub title: Option<String>,
    /// A label; it has no effect by itself.
    pub status: ThreadStatus,
    /// What the app called the customer when the thread was created.
    pub customer_id: Option<String>,
    /// Who answers now.
    pub holder: Holder,
    /// Rises whenever the holder changes; a reply made under an older one is not spoken.
    pub epoch: i64,
    /// Rises with every visible change.
    pub version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a message came or a label changed.
    pub updated_at: Timestamp,
}

impl Thread {
    /// The thread, if it is the app's.
    ///
    /// # Errors
    ///
    /// [`Error::ThreadNotFound`] if it is another one's.
    pub fn of(self, app: AppId) -> Result<Self> {
        if self.app == app { Ok(self) } else { Err(Error::ThreadNotFound(self.id)) }
    }

    /// Whether a person answers in it, so that agents are paused.
    #[must_use]
    pub const fn is_held_by_a_person(&self) -> bool {
        matches!(self.holder, Holder::Human(_))
    }
}

/// Who answers in a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The app's default agent, whichever that is at the time.
    Default,
    /// This agent.
    Agent(AgentId),
    /// A person; agents are paused.
    Human(String),
}

/// A label on a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThreadStatus {
    /// In use.
    Active,
    /// Put away.
    Archived,
    /// Marked as deleted.
    Deleted,
}

impl ThreadStatus {
    /// Every status there is.
    pub const ALL: [Self; 3] = [Self::Active, Self::Archived, Self::Deleted];

    /// The status as it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Archived => "archived",
            Self::Deleted => "deleted",
        }
    }

    /// The status of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// What a new thread is made of.
#[derive(Clone, Debug, Default)]
pub struct NewThread {
    /// Its title.
    pub title: Option<String>,
    /// What the app calls the customer.
    pub customer_id: Option<String>,
    /// What the assistant says first, stored as `seq` 1 with `content_json.source` = `system`.
    pub greeting: Option<String>,
}

/// What to change about a thread: `None` leaves it, `Some(None)` clears it.
#[derive(Clone, Debug, Default)]
pub struct ThreadChanges {
    /// A new title.
    pub title: Option<Option<String>>,
    /// A new label.
    pub status: Option<ThreadStatus>,
}

/// Which threads of an app to list; every set field narrows.
#[derive(Clone, Debug, Default)]
pub struct ThreadFilter {
    /// Only those created for exactly this customer.
    pub customer_id: Option<String>,
    /// Only those with one of these labels; an empty list finds nothing.
    pub statuses: Option<Vec<ThreadStatus>>,
}

/// The sort key of a list of threads: the latest change comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadPosition {
    /// When it last changed, in microseconds.
    pub updated_at: i64,
    /// Which it is.
    pub id: ThreadId,
}

impl From<&Thread> for ThreadPosition {
    fn from(thread: &Thread) -> Self {
        Self { updated_at: thread.updated_at.as_micros(), id: thread.id }
    }
}

/// Where threads are kept.
///
/// Every method is one atomic step, done whole or not at all.
#[async_trait]
pub trait ThreadStore: fmt::Debug + Send + Sync + 'static {
    /// Creates a thread, with its greeting if there is one.
    ///
    /// A non-empty `customer_id` gets or creates the subscriber of that app and sets its
    /// `last_seen_at`; many at once with one new `customer_id` make one subscriber. Empty or
    /// absent: no subscriber.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] if there is no such app in the scope.
    async fn create_thread(
        &self,
        scope: &Scope,
        app: AppId,
        thread: NewThread,
    ) -> Result<(Thread, Option<Message>)>;

    /// Gets a thread.
    ///
    /// # Errors
    ///
    /// [`crate::Error::ThreadNotFound`] if there is none, or it lies outside the scope.
    async fn get_thread(&self, scope: &Scope, thread: ThreadId) -> Result<Thread>;

    /// Lists the threads of an app, `updated_at` falling, then `id` falling. Rows that do not
    /// move are neither skipped nor repeated from page to page.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] if there is no such app in the scope,
    /// [`crate::Error::InvalidCursor`] if the cursor holds no [`ThreadPosition`].
    async fn list_threads(
        &self,
        scope: &Scope,
        app: AppId,
        filter: &ThreadFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<Thread>>;

    /// Changes a thread; `updated_at` becomes now and `version` rises, also when nothing else
    /// changes.
    ///
    /// # Errors
    ///
    /// [`crate::Error::ThreadNotFound`] as for [`ThreadStore::get_thread`].
    async fn update_thread(
        &self,
        scope: &Scope,
        thread: ThreadId,
        changes: ThreadChanges,
    ) -> Result<Thread>;

    /// Deletes a thread with its messages and runs, and its subscriber if that has no other
    /// thread left.
    ///
    /// # Errors
    ///
    /// [`crate::Error::ThreadNotFound`] as for [`ThreadStore::get_thread`].
    async fn delete_thread(&self, scope: &Scope, thread: ThreadId) -> Result<()>;
}
