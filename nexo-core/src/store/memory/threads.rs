//! Threads.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{
    MemoryStore, one_more,
    state::{State, ThreadKey, ThreadRow, thread_key},
    subscribers::after,
};
use crate::{
    AppId, Cursor, CursorPage, Holder, JsonObject, Message, NewMessage, NewThread, Result, Role,
    Scope, SubscriberId, Thread, ThreadChanges, ThreadFilter, ThreadId, ThreadPosition,
    ThreadStatus, ThreadStore, Timestamp, position,
};

impl Thread {
    fn make(app: AppId, new: NewThread, now: Timestamp) -> Self {
        Self {
            id: ThreadId::new(),
            app,
            subscriber: None,
            title: new.title,
            status: ThreadStatus::Active,
            customer_id: new.customer_id,
            holder: Holder::Default,
            epoch: 0,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }

    fn apply(&mut self, changes: ThreadChanges, now: Timestamp) {
        if let Some(title) = changes.title {
            self.title = title;
        }
        self.status = changes.status.unwrap_or(self.status);
        self.touch(now);
    }

    pub(super) fn touch(&mut self, now: Timestamp) {
        self.updated_at = self.updated_at.max(now);
    }

    /// The customer that the thread is held with, or ought to be.
    pub(super) fn customer(&self) -> Option<String> {
        self.customer_id.clone().filter(|customer| !customer.is_empty())
    }
}

impl ThreadFilter {
    fn finds(&self, thread: &Thread) -> bool {
        self.statuses.as_ref().is_none_or(|statuses| statuses.contains(&thread.status))
            && (self.customer_id.is_none() || self.customer_id == thread.customer_id)
    }
}

pub(super) fn key_of(position: ThreadPosition) -> ThreadKey {
    (Timestamp::from_micros(position.updated_at), position.id)
}

fn greeting(text: String) -> NewMessage {
    let content_json = JsonObject::empty().with("source", "system");
    NewMessage { content_json, ..NewMessage::new(Role::Assistant, text) }
}

impl State {
    pub(super) fn create_thread(
        &mut self,
        scope: &Scope,
        app: AppId,
        new: NewThread,
        now: Timestamp,
    ) -> Result<(Thread, Option<Message>)> {
        self.app(scope, app)?;
        let text = new.greeting.clone();
        let thread = Thread::make(app, new, now);
        let id = thread.id;
        self.insert_thread(thread, now);
        let message = text.map(|text| self.append(id, greeting(text), now));
        Ok((self.found_thread(id).thread.clone(), message))
    }

    fn insert_thread(&mut self, thread: Thread, now: Timestamp) {
        let (id, app, customer) = (thread.id, thread.app, thread.customer());
        self.owning_app(app).threads.insert(thread_key(&thread));
        let row = ThreadRow {
            own_version: thread.version,
            thread,
            messages: Vec::new(),
            versions: Vec::new(),
            runs: Vec::new(),
            standing: BTreeSet::new(),
        };
        self.threads.insert(id, row);
        if let Some(customer) = customer {
            self.attach_subscriber(id, app, &customer, now);
        }
    }

    /// Gets or creates the thread's subscriber.
    pub(super) fn attach_subscriber(
        &mut self,
        thread: ThreadId,
        app: AppId,
        customer: &str,
        now: Timestamp,
    ) -> SubscriberId {
        let subscriber = self.resolve_subscriber(app, customer, now);
        let row = self.found_thread(thread);
        row.thread.subscriber = Some(subscriber);
        let key = thread_key(&row.thread);
        if let Some(row) = self.subscribers.get_mut(&subscriber) {
            row.threads.insert(key);
        }
        subscriber
    }

    /// Removes a thread and all that was said and run in it.
    pub(super) fn remove_thread(&mut self, thread: ThreadId) {
        let Some(row) = self.threads.remove(&thread) else { return };
        for message in &row.messages {
            self.messages.remove(&message.id);
        }
        for run in &row.runs {
            self.runs.remove(run);
            self.standing.remove(run);
        }
        let key = thread_key(&row.thread);
        self.owning_app(row.thread.app).threads.remove(&key);
        if let Some(subscriber) = row.thread.subscriber {
            if let Some(row) = self.subscribers.get_mut(&subscriber) {
                row.threads.remove(&key);
            }
            self.remove_orphaned_subscriber(subscriber);
        }
    }
}

#[async_trait]
impl ThreadStore for MemoryStore {
    async fn create_thread(
        &self,
        scope: &Scope,
        app: AppId,
        thread: NewThread,
    ) -> Result<(Thread, Option<Message>)> {
        self.step(|state, now| state.create_thread(scope, app, thread, now))
    }

    async fn get_thread(&self, scope: &Scope, thread: ThreadId) -> Result<Thread> {
        self.step(|state, _| Ok(state.thread(scope, thread)?.thread.clone()))
    }

    async fn list_threads(
        &self,
        scope: &Scope,
        app: AppId,
        filter: &ThreadFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<Thread>> {
        self.step(|state, _| {
            let index = &state.app(scope, app)?.threads;
            let rows = after(index, position(cursor)?.map(key_of))
                .filter_map(|(_, id)| state.threads.get(id))
                .map(|row| &row.thread)
                .filter(|thread| scope.sees_subscriber(thread.subscriber) && filter.finds(thread))
                .take(one_more(limit))
                .cloned();
            Ok(CursorPage::from_rows(rows.collect(), limit, |row| ThreadPosition::from(row)))
        })
    }

    async fn update_thread(
        &self,
        scope: &Scope,
        thread: ThreadId,
        changes: ThreadChanges,
    ) -> Result<Thread> {
        self.step(|state, now| {
            state.thread(scope, thread)?;
            state.change_thread(thread, |thread| thread.apply(changes, now));
            state.show_thread(thread);
            Ok(state.found_thread(thread).thread.clone())
        })
    }

    async fn delete_thread(&self, scope: &Scope, thread: ThreadId) -> Result<()> {
        self.step(|state, _| {
            state.thread(scope, thread)?;
            state.remove_thread(thread);
            Ok(())
        })
    }
}
