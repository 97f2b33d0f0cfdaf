//! Threads.

use async_trait::async_trait;
use nexo_core::{
    AgentId, AppId, Cursor, CursorPage, Error, Holder, Message, NewThread, Result, Scope,
    SubscriberId, Thread, ThreadChanges, ThreadFilter, ThreadId, ThreadPosition, ThreadStatus,
    ThreadStore, ThreadSummary, position,
};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{SqliteStore, Tx, apps, columns::Columns, error, messages, subscribers};

const INSERT: &str = "
    insert into nexo_threads (id, app_id, subscriber_id, title, status, customer_id,
        created_at, updated_at, version, own_version)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 1, 1)
    returning *";

pub(crate) const GET: &str = "
    select t.*, a.owner from nexo_threads t join nexo_apps a on a.id = t.app_id where t.id = ?1";

const ATTACH: &str = "
    update nexo_threads
    set subscriber_id = ?2, version = version + 1, own_version = version + 1
    where id = ?1";

const UPDATE: &str = "
    update nexo_threads
    set title = ?2, status = ?3, updated_at = max(updated_at, ?4), version = version + 1,
        own_version = version + 1
    where id = ?1
    returning *";

const TOUCH: &str = "
    update nexo_threads set version = version + 1 where id = ?1 returning *";

const DELETE: &str = "delete from nexo_threads where id = ?1";

pub(crate) const OF_SUBSCRIBER: &str = "
    select * from nexo_threads
    where subscriber_id = ?1 and (updated_at, id) < (?2, ?3)
    order by updated_at desc, id desc
    limit ?4";

#[async_trait]
impl ThreadStore for SqliteStore {
    async fn create_thread(
        &self,
        scope: &Scope,
        app: AppId,
        thread: NewThread,
    ) -> Result<(Thread, Option<Message>)> {
        let scope = scope.clone();
        self.write(move |tx| Box::pin(create(tx, scope, app, thread))).await
    }

    async fn get_thread(&self, scope: &Scope, thread: ThreadId) -> Result<Thread> {
        let mut reader = self.reader().await?;
        Ok(get(&mut reader, scope, thread).await?)
    }

    async fn list_threads(
        &self,
        scope: &Scope,
        app: AppId,
        filter: &ThreadFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<Thread>> {
        let mut snapshot = self.snapshot().await?;
        apps::require(&mut snapshot, scope, app).await?;
        let page = page(scope, app, filter, position(cursor)?, limit);
        let rows = list(&mut snapshot, page).await?;
        Ok(CursorPage::from_rows(rows, limit, |last| ThreadPosition::from(last)))
    }

    async fn update_thread(
        &self,
        scope: &Scope,
        thread: ThreadId,
        changes: ThreadChanges,
    ) -> Result<Thread> {
        let scope = scope.clone();
        self.write(move |tx| Box::pin(update(tx, scope, thread, changes))).await
    }

    async fn delete_thread(&self, scope: &Scope, thread: ThreadId) -> Result<()> {
        let scope = scope.clone();
        self.write(move |tx| Box::pin(delete(tx, scope, thread))).await
    }
}

/// Gets a thread through a scope.
pub(crate) async fn get(
    connection: &mut SqliteConnection,
    scope: &Scope,
    thread: ThreadId,
) -> error::Result<Thread> {
    find(connection, scope, thread).await?.ok_or_else(|| Error::ThreadNotFound(thread).into())
}

/// Gets a thread of an app through a scope, telling which of the two is missing.
pub(crate) async fn get_in(
    connection: &mut SqliteConnection,
    scope: &Scope,
    app: AppId,
    thread: ThreadId,
) -> error::Result<Thread> {
    match find(connection, scope, thread).await? {
        Some(found) if found.app == app => Ok(found),
        _ => {
            apps::require(connection, scope, app).await?;
            Err(Error::ThreadNotFound(thread).into())
        }
    }
}

/// Lets everybody see that something about the thread changed.
pub(crate) async fn touch(
    connection: &mut SqliteConnection,
    thread: ThreadId,
) -> error::Result<Thread> {
    read(&sqlx::query(TOUCH).bind(thread.as_uuid()).fetch_one(connection).await?)
}

/// Makes a thread that has no subscriber one of its `customer_id`'s.
pub(crate) async fn attach(
    connection: &mut SqliteConnection,
    thread: ThreadId,
    subscriber: SubscriberId,
) -> error::Result<()> {
    let attach = sqlx::query(ATTACH).bind(thread.as_uuid()).bind(subscriber.as_uuid());
    attach.execute(connection).await?;
    Ok(())
}

/// Up to `limit + 1` threads of a subscriber that come after a position.
pub(crate) async fn of_subscriber(
    connection: &mut SqliteConnection,
    subscriber: SubscriberId,
    after: Option<ThreadPosition>,
    limit: u32,
) -> error::Result<Vec<ThreadSummary>> {
    let (updated_at, id) = bound(after);
    let rows = sqlx::query(OF_SUBSCRIBER)
        .bind(subscriber.as_uuid())
        .bind(updated_at)
        .bind(id)
        .bind(i64::from(limit) + 1)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_summary).collect()
}

async fn find(
    connection: &mut SqliteConnection,
    scope: &Scope,
    thread: ThreadId,
) -> error::Result<Option<Thread>> {
    let row = sqlx::query(GET).bind(thread.as_uuid()).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(if sees(scope, &row)? { Some(read(&row)?) } else { None })
}

/// Whether a thread, in a row with its app's owner, lies within a scope.
pub(crate) fn sees(scope: &Scope, row: &SqliteRow) -> error::Result<bool> {
    let subscriber = row.id_if_any("subscriber_id", SubscriberId::from_uuid)?;
    let app = row.id("app_id", AppId::from_uuid)?;
    Ok(apps::sees(scope, app, row)? && scope.sees_subscriber(subscriber))
}

/// Creates a thread, with its greeting if there is one.
pub(crate) async fn create(
    tx: Tx<'_>,
    scope: Scope,
    app: AppId,
    new: NewThread,
) -> error::Result<(Thread, Option<Message>)> {
    apps::require(tx.connection, &scope, app).await?;
    let customer_id = new.customer_id.as_deref().filter(|customer_id| !customer_id.is_empty());
    let subscriber = match customer_id {
        Some(customer_id) => {
            Some(subscribers::resolve(tx.connection, app, customer_id, tx.now).await?)
        }
        None => None,
    };
    let row = sqlx::query(INSERT)
        .bind(ThreadId::new().as_uuid())
        .bind(app.as_uuid())
        .bind(subscriber.map(|subscriber| subscriber.as_uuid()))
        .bind(&new.title)
        .bind(ThreadStatus::Active.as_str())
        .bind(&new.customer_id)
        .bind(tx.now.as_micros())
        .fetch_one(&mut *tx.connection)
        .await?;
    let thread = read(&row)?;
    let Some(greeting) = new.greeting else { return Ok((thread, None)) };
    let greeting = messages::greet(tx.connection, thread.id, greeting, tx.now).await?;
    Ok((get(tx.connection, &Scope::Everything, thread.id).await?, Some(greeting)))
}

/// Up to `limit + 1` threads of an app that come after a position. Only the conditions that
/// are asked for, so that each combination finds the index it needs.
pub(crate) fn page(
    scope: &Scope,
    app: AppId,
    filter: &ThreadFilter,
    after: Option<ThreadPosition>,
    limit: u32,
) -> QueryBuilder<Sqlite> {
    let mut page = QueryBuilder::new("select * from nexo_threads where app_id = ");
    page.push_bind(app.as_uuid());
    if let Some(own) = scope.subscriber() {
        page.push(" and subscriber_id = ").push_bind(own.as_uuid());
    }
    if let Some(customer_id) = &filter.customer_id {
        page.push(" and customer_id = ").push_bind(customer_id.clone());
    }
    if let Some(statuses) = &filter.statuses {
        page.push(" and status in (");
        let mut names = page.separated(", ");
        for status in statuses {
            names.push_bind(status.as_str());
        }
        page.push(")");
    }
    let (updated_at, id) = bound(after);
    page.push(" and (updated_at, id) < (").push_bind(updated_at).push(", ").push_bind(id);
    page.push(") order by updated_at desc, id desc limit ").push_bind(i64::from(limit) + 1);
    page
}

async fn list(
    connection: &mut SqliteConnection,
    mut page: QueryBuilder<Sqlite>,
) -> error::Result<Vec<Thread>> {
    page.build().fetch_all(connection).await?.iter().map(read).collect()
}

/// What the rows of a page are below: everything is below the bound of the first page.
fn bound(after: Option<ThreadPosition>) -> (i64, Uuid) {
    after.map_or((i64::MAX, Uuid::max()), |after| (after.updated_at, after.id.as_uuid()))
}

async fn update(
    tx: Tx<'_>,
    scope: Scope,
    thread: ThreadId,
    changes: ThreadChanges,
) -> error::Result<Thread> {
    let before = get(tx.connection, &scope, thread).await?;
    let row = sqlx::query(UPDATE)
        .bind(thread.as_uuid())
        .bind(changes.title.unwrap_or(before.title))
        .bind(changes.status.unwrap_or(before.status).as_str())
        .bind(tx.now.as_micros())
        .fetch_one(tx.connection)
        .await?;
    read(&row)
}

async fn delete(tx: Tx<'_>, scope: Scope, thread: ThreadId) -> error::Result<()> {
    let thread = get(tx.connection, &scope, thread).await?;
    sqlx::query(DELETE).bind(thread.id.as_uuid()).execute(&mut *tx.connection).await?;
    if let Some(subscriber) = thread.subscriber {
        subscribers::remove_without_threads(tx.connection, subscriber).await?;
    }
    Ok(())
}

fn read_summary(row: &SqliteRow) -> error::Result<ThreadSummary> {
    Ok(ThreadSummary {
        thread: read(row)?,
        message_count: (row.try_get::<i64, _>("next_seq")? - 1).unsigned_abs(),
        last_message_at: row.instant_if_any("last_message_at")?,
        last_message_preview: row.try_get("last_message_preview")?,
    })
}

fn read_holder(row: &SqliteRow) -> error::Result<Holder> {
    if let Some(human) = row.try_get("holder_human")? {
        return Ok(Holder::Human(human));
    }
    let agent = row.id_if_any("holder_agent_id", AgentId::from_uuid)?;
    Ok(agent.map_or(Holder::Default, Holder::Agent))
}

fn read(row: &SqliteRow) -> error::Result<Thread> {
    Ok(Thread {
        id: row.id("id", ThreadId::from_uuid)?,
        app: row.id("app_id", AppId::from_uuid)?,
        subscriber: row.id_if_any("subscriber_id", SubscriberId::from_uuid)?,
        title: row.try_get("title")?,
        status: row.name("status", ThreadStatus::find)?,
        customer_id: row.try_get("customer_id")?,
        holder: read_holder(row)?,
        epoch: row.try_get("epoch")?,
        version: row.try_get("version")?,
        created_at: row.instant("created_at")?,
        updated_at: row.instant("updated_at")?,
    })
}
