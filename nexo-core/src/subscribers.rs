//! Subscribers: the end customers of an app.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    AppId, Cursor, CursorPage, JsonObject, Result, Scope, SubscriberId, Thread, Timestamp,
};

/// How many characters of a message a list shows.
pub const PREVIEW_CHARS: usize = 280;

/// An end customer of one app, unique there by `customer_id`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscriber {
    /// The subscriber's id.
    pub id: SubscriberId,
    /// The app they are a customer of.
    pub app: AppId,
    /// What the app calls them.
    pub customer_id: String,
    /// What people call them; at first the `customer_id`.
    pub display_name: Option<String>,
    /// Free-form data about them.
    pub metadata: JsonObject,
    /// When they first appeared.
    pub created_at: Timestamp,
    /// When they last created a thread or said something.
    pub last_seen_at: Option<Timestamp>,
    /// When they last said something.
    pub last_message_at: Option<Timestamp>,
}

/// A subscriber in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriberSummary {
    /// The subscriber.
    pub subscriber: Subscriber,
    /// How many threads they have, of any status.
    pub thread_count: u64,
    /// The start of the newest message in any of their threads; see [`preview`].
    pub last_message_preview: Option<String>,
}

/// A subscriber's thread in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadSummary {
    /// The thread.
    pub thread: Thread,
    /// How many messages it has.
    pub message_count: u64,
    /// When its newest message was stored.
    pub last_message_at: Option<Timestamp>,
    /// The start of its newest message; see [`preview`].
    pub last_message_preview: Option<String>,
}

/// Cuts a text for a list: at most [`PREVIEW_CHARS`] characters, never half a character.
#[must_use]
pub fn preview(content: &str) -> &str {
    match content.char_indices().nth(PREVIEW_CHARS) {
        Some((end, _)) => &content[..end],
        None => content,
    }
}

/// What the search for subscribers looks into: both names in lower case.
///
/// Stores keep it in a column of its own, since the databases disagree about lower case
/// beyond ASCII.
#[must_use]
pub fn search_text(customer_id: &str, display_name: Option<&str>) -> String {
    format!("{customer_id}\n{}", display_name.unwrap_or_default()).to_lowercase()
}

/// The sort key of the list of subscribers: who spoke last comes first, who never did last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriberPosition {
    /// When they last said something, in microseconds.
    pub last_message_at: Option<i64>,
    /// When they first appeared, in microseconds.
    pub created_at: i64,
    /// Who it is.
    pub id: SubscriberId,
}

impl From<&Subscriber> for SubscriberPosition {
    fn from(subscriber: &Subscriber) -> Self {
        Self {
            last_message_at: subscriber.last_message_at.map(Timestamp::as_micros),
            created_at: subscriber.created_at.as_micros(),
            id: subscriber.id,
        }
    }
}

/// Where subscribers are kept. They come into being with their first thread.
///
/// Every method is one atomic step, done whole or not at all.
#[async_trait]
pub trait SubscriberStore: fmt::Debug + Send + Sync + 'static {
    /// Gets a subscriber of an app.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] if there is no such app in the scope,
    /// [`crate::Error::SubscriberNotFound`] if the app has no such subscriber in the scope.
    async fn get_subscriber(
        &self,
        scope: &Scope,
        app: AppId,
        subscriber: SubscriberId,
    ) -> Result<Subscriber>;

    /// Lists the subscribers of an app whose names contain `search` (not regarding case; empty
    /// finds all; `%`, `_` and `\` are characters like any other). Order: `last_message_at`
    /// falling with never-messaged last, then `created_at` falling, then `id` falling.
    /// Rows that do not move are neither skipped nor repeated from page to page.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] if there is no such app in the scope,
    /// [`crate::Error::InvalidCursor`] if the cursor holds no [`SubscriberPosition`].
    async fn list_subscribers(
        &self,
        scope: &Scope,
        app: AppId,
        search: &str,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<SubscriberSummary>>;

    /// Lists a subscriber's threads, in the order of
    /// [`ThreadStore::list_threads`](crate::ThreadStore::list_threads).
    ///
    /// # Errors
    ///
    /// As [`SubscriberStore::get_subscriber`], and [`crate::Error::InvalidCursor`] if the
    /// cursor holds no [`ThreadPosition`](crate::ThreadPosition).
    async fn list_subscriber_threads(
        &self,
        scope: &Scope,
        app: AppId,
        subscriber: SubscriberId,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<ThreadSummary>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_cut_between_characters() {
        let long = "é".repeat(PREVIEW_CHARS + 1);

        assert_eq!(preview(&long).chars().count(), PREVIEW_CHARS);
        assert_eq!(preview("short"), "short");
    }
}
