//! Messages.

use async_trait::async_trait;
use futures::TryStreamExt;
use nexo_core::{
    AppId, Error, JsonObject, MAX_LISTED_BYTES, Message, MessageId, MessageRange, MessageStore,
    NewMessage, Result, Role, RunId, Scope, SubscriberId, Thread, ThreadId, Timestamp, preview,
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{SqliteStore, Tx, apps, columns::Columns, error, subscribers, threads};

/// The thread carries what lists show of its newest message, so that they never look for it.
/// There is one writer, so two messages can't take one number. Where the clock was put back,
/// `max` keeps the times in the order of `seq`.
const NUMBER: &str = "
    update nexo_threads
    set next_seq = next_seq + 1, version = version + 1, updated_at = max(updated_at, ?2),
        last_message_at = max(updated_at, ?2), last_message_preview = ?3
    where id = ?1
    returning app_id, next_seq - 1 as seq, version, updated_at";

const INSERT: &str = "
    insert into nexo_messages
        (id, app_id, thread_id, seq, role, content, content_json, run_id, version, created_at)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
    returning *";

const GET: &str = "
    select m.*, a.owner, t.subscriber_id
    from nexo_messages m
    join nexo_threads t on t.id = m.thread_id
    join nexo_apps a on a.id = m.app_id
    where m.id = ?1";

pub(crate) const NEWEST: &str = "
    select * from nexo_messages where thread_id = ?1 order by seq desc limit ?2";

pub(crate) const AFTER: &str = "
    select * from nexo_messages where thread_id = ?1 and seq > ?2 order by seq limit ?3";

pub(crate) const LAST_BEFORE: &str = "
    select max(seq) from nexo_messages where thread_id = ?1 and seq < ?2";

pub(crate) const NEWEST_OF_USER: &str = "
    select * from nexo_messages where thread_id = ?1 and role = 'user' order by seq desc limit 1";

#[async_trait]
impl MessageStore for SqliteStore {
    async fn append_message(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        message: NewMessage,
    ) -> Result<Message> {
        let scope = scope.clone();
        self.write(move |tx| Box::pin(append(tx, scope, app, thread, message))).await
    }

    async fn list_messages(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        range: MessageRange,
        limit: u32,
    ) -> Result<Vec<Message>> {
        let mut snapshot = self.snapshot().await?;
        threads::get_in(&mut snapshot, scope, app, thread).await?;
        Ok(list(&mut snapshot, thread, range, limit).await?)
    }

    async fn get_message(&self, scope: &Scope, message: MessageId) -> Result<Message> {
        let mut reader = self.reader().await?;
        Ok(get(&mut reader, scope, message).await?)
    }
}

/// Something that is about to be said.
pub(crate) struct Utterance<'a> {
    pub(crate) role: Role,
    pub(crate) content: Option<&'a str>,
    pub(crate) content_json: &'a JsonObject,
    /// The run whose reply it is.
    pub(crate) run: Option<RunId>,
}

/// Stores the next message of a thread that is there.
pub(crate) async fn say(
    connection: &mut SqliteConnection,
    thread: ThreadId,
    said: Utterance<'_>,
    now: Timestamp,
) -> error::Result<Message> {
    let numbered = sqlx::query(NUMBER)
        .bind(thread.as_uuid())
        .bind(now.as_micros())
        .bind(said.content.map(preview))
        .fetch_one(&mut *connection)
        .await?;
    let row = sqlx::query(INSERT)
        .bind(MessageId::new().as_uuid())
        .bind(numbered.id("app_id", AppId::from_uuid)?.as_uuid())
        .bind(thread.as_uuid())
        .bind(numbered.try_get::<i64, _>("seq")?)
        .bind(said.role.as_str())
        .bind(said.content)
        .bind(said.content_json.as_str())
        .bind(said.run.map(|run| run.as_uuid()))
        .bind(numbered.try_get::<i64, _>("version")?)
        .bind(numbered.try_get::<i64, _>("updated_at")?)
        .fetch_one(connection)
        .await?;
    read(&row)
}

/// Says first what the app says to every customer.
pub(crate) async fn greet(
    connection: &mut SqliteConnection,
    thread: ThreadId,
    greeting: String,
    now: Timestamp,
) -> error::Result<Message> {
    let said = Utterance {
        role: Role::Assistant,
        content: Some(&greeting),
        content_json: &JsonObject::empty().with("source", "system"),
        run: None,
    };
    say(connection, thread, said, now).await
}

/// The newest message of role `user`, if a user has said anything.
pub(crate) async fn newest_of_user(
    connection: &mut SqliteConnection,
    thread: ThreadId,
) -> error::Result<Option<Message>> {
    let query = sqlx::query(NEWEST_OF_USER).bind(thread.as_uuid());
    query.fetch_optional(connection).await?.as_ref().map(read).transpose()
}

/// Lists messages of a thread in rising order of `seq`. Reading ends where the list is long
/// enough: the rows behind are never looked at.
async fn list(
    connection: &mut SqliteConnection,
    thread: ThreadId,
    range: MessageRange,
    limit: u32,
) -> error::Result<Vec<Message>> {
    let limit = i64::from(limit);
    let (after, limit) = match range {
        MessageRange::Newest { before } => {
            let last = last_before(connection, thread, before.unwrap_or(i64::MAX)).await?;
            ((last - limit).max(0), limit.min(last))
        }
        MessageRange::After(seq) => (seq, limit),
    };
    let query = sqlx::query(AFTER).bind(thread.as_uuid()).bind(after).bind(limit);
    let mut rows = query.fetch(connection);
    let (mut messages, mut bytes) = (Vec::new(), 0);
    while bytes < MAX_LISTED_BYTES
        && let Some(row) = rows.try_next().await?
    {
        let message = read(&row)?;
        bytes += message.content_bytes();
        messages.push(message);
    }
    Ok(messages)
}

/// The last number of a thread below this one: as there are no gaps, it also tells where a
/// page that ends there begins.
async fn last_before(
    connection: &mut SqliteConnection,
    thread: ThreadId,
    before: i64,
) -> error::Result<i64> {
    let query = sqlx::query_scalar(LAST_BEFORE).bind(thread.as_uuid()).bind(before);
    let last: Option<i64> = query.fetch_one(connection).await?;
    Ok(last.unwrap_or_default())
}

/// The newest messages of a thread in rising order of `seq`, all of them however long.
pub(crate) async fn newest(
    connection: &mut SqliteConnection,
    thread: ThreadId,
    limit: u32,
) -> error::Result<Vec<Message>> {
    let query = sqlx::query(NEWEST).bind(thread.as_uuid()).bind(limit);
    let rows = query.fetch_all(connection).await?;
    rows.iter().rev().map(read).collect()
}

/// Appends a message to a thread that may not be there, or not be written to.
pub(crate) async fn append(
    tx: Tx<'_>,
    scope: Scope,
    app: AppId,
    thread: ThreadId,
    message: NewMessage,
) -> error::Result<Message> {
    let thread = threads::get_in(tx.connection, &scope, app, thread).await?;
    if thread.status == nexo_core::ThreadStatus::Deleted && !message.to_deleted {
        return Err(Error::Conflict("the thread is deleted").into());
    }
    let now = tx.now.max(thread.updated_at);
    if message.role == Role::User {
        hear(tx.connection, &thread, now).await?;
    }
    let said = Utterance {
        role: message.role,
        content: message.content.as_deref(),
        content_json: &message.content_json,
        run: None,
    };
    say(tx.connection, thread.id, said, now).await
}

/// Notes that the thread's customer speaks, who becomes its subscriber if they were not yet.
async fn hear(
    connection: &mut SqliteConnection,
    thread: &Thread,
    now: Timestamp,
) -> error::Result<()> {
    let customer_id = thread.customer_id.as_deref().filter(|customer_id| !customer_id.is_empty());
    let subscriber = match (thread.subscriber, customer_id) {
        (Some(subscriber), _) => subscriber,
        (None, Some(customer_id)) => {
            let found = subscribers::resolve(connection, thread.app, customer_id, now).await?;
            threads::attach(connection, thread.id, found).await?;
            found
        }
        (None, None) => return Ok(()),
    };
    subscribers::spoke(connection, subscriber, now).await
}

/// Gets a message through a scope.
pub(crate) async fn get(
    connection: &mut SqliteConnection,
    scope: &Scope,
    message: MessageId,
) -> error::Result<Message> {
    let row = sqlx::query(GET).bind(message.as_uuid()).fetch_optional(connection).await?;
    let row = row.ok_or(Error::MessageNotFound)?;
    let app = row.id("app_id", AppId::from_uuid)?;
    let subscriber = row.id_if_any("subscriber_id", SubscriberId::from_uuid)?;
    if !apps::sees(scope, app, &row)? || !scope.sees_subscriber(subscriber) {
        return Err(Error::MessageNotFound.into());
    }
    read(&row)
}

pub(crate) fn read(row: &SqliteRow) -> error::Result<Message> {
    Ok(Message {
        id: row.id("id", MessageId::from_uuid)?,
        thread: row.id("thread_id", ThreadId::from_uuid)?,
        seq: row.try_get("seq")?,
        role: row.name("role", Role::find)?,
        content: row.try_get("content")?,
        content_json: row.object("content_json")?,
        created_at: row.instant("created_at")?,
    })
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

    use nexo_core::{
        AppStore, Change, ChangeLimit, Changed, Clock, FeedStore, FinishRun, NewApp, NewThread,
        Reply, RunState, RunStore, ServerId, StartRun, SubscriberStore, ThreadChanges,
        ThreadCursor, ThreadStore,
    };

    use super::*;
    use crate::testing::{execute, fresh_store};

    #[tokio::test]
    async fn a_thread_from_before_subscribers_gets_its_own_when_the_customer_speaks() {
        let (store, _directory) = fresh_store().await;
        let everything = Scope::Everything;
        let app = store.create_app(NewApp::new("o".parse().unwrap(), "app")).await.unwrap().id;
        let new = NewThread { customer_id: Some("carl".into()), ..NewThread::default() };
        let thread = store.create_thread(&everything, app, new).await.unwrap().0.id;
        execute(&store, "delete from nexo_subscribers").await;

        let hello = NewMessage::new(Role::User, "hello");
        let said = store.append_message(&everything, app, thread, hello).await.unwrap();

        let healed = store.get_thread(&everything, thread).await.unwrap().subscriber.unwrap();
        let carl = store.get_subscriber(&everything, app, healed).await.unwrap();
        assert_eq!(carl.customer_id, "carl");
        assert_eq!(carl.last_message_at, Some(said.created_at));
        let limit = ChangeLimit { changes: 10, bytes: 1_000 };
        let seen = ThreadCursor::Version(1);
        let page = store.list_changes(&everything, app, thread, seen, limit).await.unwrap();
        let [attached, appended] = &page.changes[..] else { panic!("{page:?}") };
        assert!(matches!(attached, Change { version: 2, what: Changed::Thread(_) }));
        assert!(matches!(appended, Change { version: 3, what: Changed::Message(_) }));
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
        let (store, _directory) = fresh_store().await;
        let store = store.with_clock(clock);
        let all = Scope::Everything;
        let app = store.create_app(NewApp::new("ann".parse().unwrap(), "Shop")).await.unwrap().id;
        let carl = NewThread { customer_id: Some("carl".into()), ..NewThread::default() };
        let made = store.create_thread(&all, app, carl).await.unwrap().0;
        let start = StartRun {
            run: RunId::new(),
            app,
            thread: made.id,
            server: ServerId::new(),
            handlers: nexo_core::Handlers::default(),
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
