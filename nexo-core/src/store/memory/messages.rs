//! Messages.

use async_trait::async_trait;

use super::{
    MemoryStore,
    state::{State, ThreadRow},
};
use crate::{
    AppId, Error, MAX_LISTED_BYTES, Message, MessageId, MessageRange, MessageStore, NewMessage,
    Result, Role, Scope, ThreadId, ThreadStatus, Timestamp,
};

impl State {
    /// Appends a message to a thread that was found in this step, and touches the thread.
    /// Where the clock was put back, the times stay in the order of `seq`.
    pub(super) fn append(&mut self, thread: ThreadId, new: NewMessage, now: Timestamp) -> Message {
        let row = self.found_thread(thread);
        let now = now.max(row.thread.updated_at);
        let message = Message {
            id: MessageId::new(),
            thread,
            seq: row.next_seq(),
            role: new.role,
            content: new.content,
            content_json: new.content_json,
            created_at: now,
        };
        row.messages.push(message.clone());
        row.thread.version += 1;
        row.versions.push(row.thread.version);
        self.messages.insert(message.id, (thread, message.seq));
        self.change_thread(thread, |thread| thread.touch(now));
        message
    }

    /// Appends a message to a thread that may not be there, or not be written to.
    pub(super) fn say(
        &mut self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        message: NewMessage,
        now: Timestamp,
    ) -> Result<Message> {
        let row = self.thread_in(scope, app, thread)?;
        row.takes(&message)?;
        let now = now.max(row.thread.updated_at);
        if message.role == Role::User {
            self.hear_customer(thread, now);
        }
        Ok(self.append(thread, message, now))
    }

    /// A message that lies in the scope.
    pub(super) fn message(&self, scope: &Scope, message: MessageId) -> Result<Message> {
        let (thread, seq) = *self.messages.get(&message).ok_or(Error::MessageNotFound)?;
        let row = self.thread(scope, thread).map_err(|_| Error::MessageNotFound)?;
        row.message(seq).cloned().ok_or(Error::MessageNotFound)
    }

    /// The customer has said something. A thread that was made before there were subscribers
    /// gets its own now.
    fn hear_customer(&mut self, thread: ThreadId, now: Timestamp) {
        let row = &self.found_thread(thread).thread;
        let (app, known, customer) = (row.app, row.subscriber, row.customer());
        let subscriber = known.or_else(|| {
            let attached = self.attach_subscriber(thread, app, &customer?, now);
            self.show_thread(thread);
            Some(attached)
        });
        if let Some(subscriber) = subscriber {
            self.change_subscriber(subscriber, |subscriber| {
                subscriber.last_seen_at = subscriber.last_seen_at.max(Some(now));
                subscriber.last_message_at = subscriber.last_message_at.max(Some(now));
            });
        }
    }
}

impl ThreadRow {
    /// The number of the next message.
    pub(super) fn next_seq(&self) -> i64 {
        i64::try_from(self.messages.len()).unwrap_or(i64::MAX).saturating_add(1)
    }

    /// Whether the message may go to this thread.
    pub(super) fn takes(&self, message: &NewMessage) -> Result<()> {
        if self.thread.status == ThreadStatus::Deleted && !message.to_deleted {
            return Err(Error::Conflict("the thread is deleted"));
        }
        Ok(())
    }

    /// Up to `limit` of the newest messages with a `seq` below `before`.
    pub(super) fn newest(&self, before: Option<i64>, limit: u32) -> &[Message] {
        let end = before.map_or(self.messages.len(), |before| self.index(before.saturating_sub(1)));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        &self.messages[end.saturating_sub(limit)..end]
    }

    fn oldest(&self, after: i64, limit: u32) -> &[Message] {
        let start = self.index(after);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        &self.messages[start..start.saturating_add(limit).min(self.messages.len())]
    }

    /// How many messages have a `seq` of at most `seq`: they are numbered without gaps.
    fn index(&self, seq: i64) -> usize {
        usize::try_from(seq.max(0)).unwrap_or(usize::MAX).min(self.messages.len())
    }

    fn message(&self, seq: i64) -> Option<&Message> {
        self.messages.get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }
}

/// As many of the first messages as one listing may give.
fn bounded(messages: &[Message]) -> &[Message] {
    let mut before = 0;
    let fits = |message: &&Message| {
        let fits = before < MAX_LISTED_BYTES;
        before += message.content_bytes();
        fits
    };
    &messages[..messages.iter().take_while(fits).count()]
}

#[async_trait]
impl MessageStore for MemoryStore {
    async fn append_message(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        message: NewMessage,
    ) -> Result<Message> {
        self.step(|state, now| state.say(scope, app, thread, message, now))
    }

    async fn list_messages(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        range: MessageRange,
        limit: u32,
    ) -> Result<Vec<Message>> {
        self.step(|state, _| {
            let row = state.thread_in(scope, app, thread)?;
            let listed = match range {
                MessageRange::Newest { before } => row.newest(before, limit),
                MessageRange::After(seq) => row.oldest(seq, limit),
            };
            Ok(bounded(listed).to_vec())
        })
    }

    async fn get_message(&self, scope: &Scope, message: MessageId) -> Result<Message> {
        self.step(|state, _| state.message(scope, message))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicI64, Ordering},
        },
        time::Duration,
    };

    use super::*;
    use crate::{
        AppStore, Change, ChangeLimit, Changed, Clock, FeedStore, FinishRun, JsonObject, NewApp,
        NewThread, Reply, RunId, RunState, RunStore, ServerId, StartRun, SubscriberStore,
        ThreadChanges, ThreadCursor, ThreadStore,
    };

    #[tokio::test]
    async fn a_thread_from_before_subscribers_gets_its_own_when_the_customer_speaks() {
        let store = MemoryStore::new();
        let all = Scope::Everything;
        let app = store.create_app(NewApp::new("ann".parse().unwrap(), "Shop")).await.unwrap().id;
        let thread = store.create_thread(&all, app, NewThread::default()).await.unwrap().0.id;
        store.step(|state, _| {
            state.found_thread(thread).thread.customer_id = Some("carl".into());
        });

        let hello = |role| NewMessage::new(role, "Hello");
        store.append_message(&all, app, thread, hello(Role::Assistant)).await.unwrap();
        assert_eq!(store.get_thread(&all, thread).await.unwrap().subscriber, None);
        let said = store.append_message(&all, app, thread, hello(Role::User)).await.unwrap();

        let healed = store.get_thread(&all, thread).await.unwrap().subscriber.unwrap();
        let subscriber = store.get_subscriber(&all, app, healed).await.unwrap();
        assert_eq!(subscriber.customer_id, "carl");
        assert_eq!(subscriber.last_message_at, Some(said.created_at));
        let threads =
            store.list_subscriber_threads(&all, app, healed, None, 10).await.unwrap().items;
        assert_eq!(threads.len(), 1);
        let limit = ChangeLimit { changes: 10, bytes: 1_000 };
        let seen = ThreadCursor::Version(2);
        let page = store.list_changes(&all, app, thread, seen, limit).await.unwrap();
        let [attached, appended] = &page.changes[..] else { panic!("{page:?}") };
        assert!(matches!(attached, Change { version: 3, what: Changed::Thread(_) }));
        assert!(matches!(appended, Change { version: 4, what: Changed::Message(_) }));
    }

    /// A clock that somebody puts back by a second each time it is asked.
    #[derive(Debug)]
    struct PutBack(AtomicI64);

    impl Clock for PutBack {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.fetch_sub(1_000_000, Ordering::SeqCst))
        }
    }

    #[tokio::test]
    async fn times_in_a_thread_do_not_run_backwards() {
        let clock = Arc::new(PutBack(AtomicI64::new(1_767_225_600_000_000)));
        let store = MemoryStore::with_clock(clock);
        let all = Scope::Everything;
        let app = store.create_app(NewApp::new("ann".parse().unwrap(), "Shop")).await.unwrap().id;
        let carl = NewThread { customer_id: Some("carl".into()), ..NewThread::default() };
        let made = store.create_thread(&all, app, carl).await.unwrap().0;
        let start = StartRun {
            run: RunId::new(),
            app,
            thread: made.id,
            server: ServerId::new(),
            handlers: crate::Handlers::default(),
            history: 10,
            deadline: Duration::from_secs(60),
            overlap: None,
            debounce: None,
            message_seq: None,
        };

        let hello = NewMessage::new(Role::User, "Hello");
        let said = store.append_message(&all, app, made.id, hello).await.unwrap();
        let run = start.run;
        store.start_run(&all, start).await.unwrap();
        let reply = Reply { content: "Hi".into(), content_json: JsonObject::empty() };
        let finish = FinishRun {
            run,
            fence: 1,
            state: RunState::Completed,
            reply: Some(reply),
            failure: None,
            first_delta_at: None,
        };
        let replied = store.finish_run(finish).await.unwrap().reply.unwrap();
        let rename = ThreadChanges { title: Some(Some("New".into())), ..ThreadChanges::default() };
        let renamed = store.update_thread(&all, made.id, rename).await.unwrap();

        let times = [made.updated_at, said.created_at, replied.created_at, renamed.updated_at];
        assert!(times.is_sorted(), "{times:?}");
        let carl = store.get_subscriber(&all, app, made.subscriber.unwrap()).await.unwrap();
        assert_eq!(carl.last_message_at, Some(said.created_at));
        let run = store.get_run(&all, run).await.unwrap();
        assert!(run.finished_at >= Some(run.created_at));
    }
}
