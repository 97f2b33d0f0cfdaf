//! Messages: what was said in a thread, in order.
//!
//! A message is never changed after it is stored. Corrections are new messages.

use std::{borrow::Cow, fmt};

use async_trait::async_trait;

use crate::{AppId, JsonObject, MessageId, Result, Scope, ThreadId, Timestamp};

/// The most content that one listing gives, in bytes, but for the message that exceeds it. Pages
/// are counted in messages, and each of these may be long: who wants more asks for the rest.
pub const MAX_LISTED_BYTES: usize = 256 * 1024;

/// Text as every store can keep it: U+0000, which PostgreSQL has no place for, becomes U+FFFD.
///
/// ```
/// assert_eq!(nexo_core::storable("a\0b"), "a\u{fffd}b");
/// ```
#[must_use]
pub fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// One utterance in a thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The message's id.
    pub id: MessageId,
    /// The thread it was said in.
    pub thread: ThreadId,
    /// Its number in the thread: 1, 2, 3, … without gaps.
    pub seq: i64,
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub content: Option<String>,
    /// Structured data beside the text.
    pub content_json: JsonObject,
    /// When it was stored.
    pub created_at: Timestamp,
}

impl Message {
    /// How long its content is, in bytes, the text and the structured data together.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        self.content.as_ref().map_or(0, String::len) + self.content_json.as_str().len()
    }
}

/// Who said a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The customer.
    User,
    /// An agent, or a person answering for it.
    Assistant,
    /// Nexo itself, such as about a handoff.
    System,
    /// A tool that an agent called.
    Tool,
}

impl Role {
    /// Every role there is.
    pub const ALL: [Self; 4] = [Self::User, Self::Assistant, Self::System, Self::Tool];

    /// The role as it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
            Self::Tool => "tool",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// What a new message is made of.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: Option<String>,
    /// Structured data beside the text.
    pub content_json: JsonObject,
    /// Whether it may go to a thread that is labelled deleted.
    pub to_deleted: bool,
}

impl NewMessage {
    /// A message with this role and text.
    #[must_use]
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: Some(content.into()),
            content_json: JsonObject::empty(),
            to_deleted: true,
        }
    }
}

/// Which messages of a thread to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageRange {
    /// The newest ones; with a number, the newest of those with a smaller `seq`.
    Newest {
        /// The `seq` that all of them are below.
        before: Option<i64>,
    },
    /// The oldest of those with a greater `seq`.
    After(i64),
}

/// Where the messages of a thread are kept.
///
/// Every method is one atomic step, done whole or not at all.
#[async_trait]
pub trait MessageStore: fmt::Debug + Send + Sync + 'static {
    /// Appends a message to a thread and gives it the next `seq`: from 1, without gaps, also
    /// when several callers append at once. Touches the thread's `updated_at`.
    ///
    /// A message of role `user` touches the subscriber's `last_seen_at` and
    /// `last_message_at`; where the thread has a non-empty `customer_id` and no subscriber, it
    /// gets or creates that subscriber and attaches it to the thread.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] if there is no such app in the scope,
    /// [`crate::Error::ThreadNotFound`] if the app has no such thread in the scope,
    /// [`crate::Error::Conflict`] if the thread is labelled deleted and `to_deleted` is off.
    async fn append_message(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        message: NewMessage,
    ) -> Result<Message>;

    /// Lists up to `limit` messages of a range, always in rising order of `seq`. Where these
    /// have too much content, the list ends early: with the message whose content makes it
    /// [`MAX_LISTED_BYTES`] or more.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] and [`crate::Error::ThreadNotFound`] as for
    /// [`MessageStore::append_message`].
    async fn list_messages(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        range: MessageRange,
        limit: u32,
    ) -> Result<Vec<Message>>;

    /// Gets a message.
    ///
    /// # Errors
    ///
    /// [`crate::Error::MessageNotFound`] if there is none, or it lies outside the scope.
    async fn get_message(&self, scope: &Scope, message: MessageId) -> Result<Message>;
}
