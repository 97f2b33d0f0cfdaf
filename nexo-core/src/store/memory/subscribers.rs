//! Subscribers.

use std::collections::{BTreeSet, btree_set};

use async_trait::async_trait;

use super::{
    MemoryStore, one_more,
    state::{State, SubscriberKey, SubscriberRow, ThreadRow, subscriber_key},
};
use crate::{
    AppId, Cursor, CursorPage, JsonObject, Message, Result, Scope, Subscriber, SubscriberId,
    SubscriberPosition, SubscriberStore, SubscriberSummary, ThreadPosition, ThreadSummary,
    Timestamp, position, preview, search_text,
};

impl State {
    /// Gets or creates the subscriber with this name, who is seen now.
    pub(super) fn resolve_subscriber(
        &mut self,
        app: AppId,
        customer_id: &str,
        now: Timestamp,
    ) -> SubscriberId {
        let known = self.owning_app(app).customers.get(customer_id).copied();
        let id = known.unwrap_or_else(|| self.insert_subscriber(app, customer_id, now));
        self.change_subscriber(id, |subscriber| {
            subscriber.last_seen_at = subscriber.last_seen_at.max(Some(now));
        });
        id
    }

    fn insert_subscriber(&mut self, app: AppId, customer_id: &str, now: Timestamp) -> SubscriberId {
        let subscriber = Subscriber {
            id: SubscriberId::new(),
            app,
            customer_id: customer_id.to_owned(),
            display_name: Some(customer_id.to_owned()),
            metadata: JsonObject::empty(),
            created_at: now,
            last_seen_at: None,
            last_message_at: None,
        };
        let id = subscriber.id;
        let row = self.owning_app(app);
        row.customers.insert(customer_id.to_owned(), id);
        row.subscribers.insert(subscriber_key(&subscriber));
        let search = search_text(customer_id, subscriber.display_name.as_deref());
        self.subscribers.insert(id, SubscriberRow { subscriber, search, threads: BTreeSet::new() });
        id
    }

    /// Removes a subscriber who has no thread left.
    pub(super) fn remove_orphaned_subscriber(&mut self, subscriber: SubscriberId) {
        let orphaned = |row: &SubscriberRow| row.threads.is_empty();
        if !self.subscribers.get(&subscriber).is_some_and(orphaned) {
            return;
        }
        let Some(row) = self.subscribers.remove(&subscriber) else { return };
        let app = self.owning_app(row.subscriber.app);
        app.customers.remove(&row.subscriber.customer_id);
        app.subscribers.remove(&subscriber_key(&row.subscriber));
    }

    fn threads_of<'a>(&'a self, row: &'a SubscriberRow) -> impl Iterator<Item = &'a ThreadRow> {
        row.threads.iter().filter_map(|(_, id)| self.threads.get(id))
    }

    fn summary(&self, row: &SubscriberRow) -> SubscriberSummary {
        let newest = self
            .threads_of(row)
            .filter_map(|thread| thread.messages.last())
            .max_by_key(|message| (message.created_at, message.id));
        SubscriberSummary {
            subscriber: row.subscriber.clone(),
            thread_count: row.threads.len() as u64,
            last_message_preview: newest.and_then(preview_of),
        }
    }
}

impl ThreadRow {
    fn summary(&self) -> ThreadSummary {
        let newest = self.messages.last();
        ThreadSummary {
            thread: self.thread.clone(),
            message_count: self.messages.len() as u64,
            last_message_at: newest.map(|message| message.created_at),
            last_message_preview: newest.and_then(preview_of),
        }
    }
}

fn preview_of(message: &Message) -> Option<String> {
    message.content.as_deref().map(|content| preview(content).to_owned())
}

/// The part of a list that comes after a position: the index is read backwards.
pub(super) fn after<K: Ord>(
    index: &BTreeSet<K>,
    position: Option<K>,
) -> std::iter::Rev<btree_set::Range<'_, K>> {
    match position {
        Some(position) => index.range(..position).rev(),
        None => index.range(..).rev(),
    }
}

fn key_of(position: SubscriberPosition) -> SubscriberKey {
    let SubscriberPosition { last_message_at, created_at, id } = position;
    (last_message_at.map(Timestamp::from_micros), Timestamp::from_micros(created_at), id)
}

#[async_trait]
impl SubscriberStore for MemoryStore {
    async fn get_subscriber(
        &self,
        scope: &Scope,
        app: AppId,
        subscriber: SubscriberId,
    ) -> Result<Subscriber> {
        self.step(|state, _| Ok(state.subscriber_in(scope, app, subscriber)?.subscriber.clone()))
    }

    async fn list_subscribers(
        &self,
        scope: &Scope,
        app: AppId,
        search: &str,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<SubscriberSummary>> {
        let search = search.to_lowercase();
        self.step(|state, _| {
            let index = &state.app(scope, app)?.subscribers;
            let rows = after(index, position(cursor)?.map(key_of))
                .filter(|(.., id)| scope.sees_subscriber(Some(*id)))
                .filter_map(|(.., id)| state.subscribers.get(id))
                .filter(|row| row.search.contains(&search))
                .take(one_more(limit))
                .map(|row| state.summary(row));
            let position = |row: &SubscriberSummary| SubscriberPosition::from(&row.subscriber);
            Ok(CursorPage::from_rows(rows.collect(), limit, position))
        })
    }

    async fn list_subscriber_threads(
        &self,
        scope: &Scope,
        app: AppId,
        subscriber: SubscriberId,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<ThreadSummary>> {
        self.step(|state, _| {
            let index = &state.subscriber_in(scope, app, subscriber)?.threads;
            let position = position::<ThreadPosition>(cursor)?;
            let rows = after(index, position.map(super::threads::key_of))
                .filter_map(|(_, id)| state.threads.get(id))
                .take(one_more(limit))
                .map(ThreadRow::summary);
            let position = |row: &ThreadSummary| ThreadPosition::from(&row.thread);
            Ok(CursorPage::from_rows(rows.collect(), limit, position))
        })
    }
}
