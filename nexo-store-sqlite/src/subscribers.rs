//! Subscribers: found by a keyset in the order of the list, never by counting rows.

use async_trait::async_trait;
use nexo_core::{
    AppId, Cursor, CursorPage, Error, Result, Scope, Subscriber, SubscriberId, SubscriberPosition,
    SubscriberStore, SubscriberSummary, ThreadPosition, ThreadSummary, Timestamp, position,
    search_text,
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{SqliteStore, apps, columns::Columns, error, threads};

/// Of many at once with one new `customer_id`, all get the row of the first.
const RESOLVE: &str = "
    insert into nexo_subscribers
        (id, app_id, customer_id, display_name, search, metadata, created_at, last_seen_at)
    values (?1, ?2, ?3, ?3, ?4, '{}', ?5, ?5)
    on conflict (app_id, customer_id) do update
        set last_seen_at = max(coalesce(last_seen_at, 0), excluded.last_seen_at)
    returning id";

const SPOKE: &str = "
    update nexo_subscribers
    set last_seen_at = max(coalesce(last_seen_at, 0), ?2),
        last_message_at = max(coalesce(last_message_at, 0), ?2)
    where id = ?1";

const GET: &str = "select * from nexo_subscribers where app_id = ?1 and id = ?2";

/// The rows of a page are next to each other in `nexo_subscribers_list`; what is shown beside
/// each takes one look into an index of its threads.
pub(crate) const LIST: &str = "
    select s.*,
        (select count(*) from nexo_threads t where t.subscriber_id = s.id) as thread_count,
        (select t.last_message_preview from nexo_threads t
            where t.subscriber_id = s.id and t.last_message_at is not null
            order by t.last_message_at desc, t.id desc limit 1) as last_message_preview
    from nexo_subscribers s
    where s.app_id = ?1
        and (s.spoke_at, s.created_at, s.id) < (?2, ?3, ?4)
        and (?5 is null or s.id = ?5)
        and instr(s.search, ?6) > 0
    order by s.spoke_at desc, s.created_at desc, s.id desc
    limit ?7";

const REMOVE_WITHOUT_THREADS: &str = "
    delete from nexo_subscribers
    where id = ?1 and not exists (select 1 from nexo_threads where subscriber_id = ?1)";

/// What the generated column `spoke_at` has for who never spoke.
const NEVER_SPOKE: i64 = -1;

#[async_trait]
impl SubscriberStore for SqliteStore {
    async fn get_subscriber(
        &self,
        scope: &Scope,
        app: AppId,
        subscriber: SubscriberId,
    ) -> Result<Subscriber> {
        let mut snapshot = self.snapshot().await?;
        Ok(get(&mut snapshot, scope, app, subscriber).await?)
    }

    async fn list_subscribers(
        &self,
        scope: &Scope,
        app: AppId,
        search: &str,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<SubscriberSummary>> {
        let mut snapshot = self.snapshot().await?;
        apps::require(&mut snapshot, scope, app).await?;
        let rows = list(&mut snapshot, scope, app, search, position(cursor)?, limit).await?;
        Ok(CursorPage::from_rows(rows, limit, |last| SubscriberPosition::from(&last.subscriber)))
    }

    async fn list_subscriber_threads(
        &self,
        scope: &Scope,
        app: AppId,
        subscriber: SubscriberId,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<ThreadSummary>> {
        let mut snapshot = self.snapshot().await?;
        get(&mut snapshot, scope, app, subscriber).await?;
        let after = position::<ThreadPosition>(cursor)?;
        let rows = threads::of_subscriber(&mut snapshot, subscriber, after, limit).await?;
        Ok(CursorPage::from_rows(rows, limit, |last| ThreadPosition::from(&last.thread)))
    }
}

/// Gets or creates the subscriber with this `customer_id`, who is seen now.
pub(crate) async fn resolve(
    connection: &mut SqliteConnection,
    app: AppId,
    customer_id: &str,
    now: Timestamp,
) -> error::Result<SubscriberId> {
    let row = sqlx::query(RESOLVE)
        .bind(SubscriberId::new().as_uuid())
        .bind(app.as_uuid())
        .bind(customer_id)
        .bind(search_text(customer_id, Some(customer_id)))
        .bind(now.as_micros())
        .fetch_one(connection)
        .await?;
    row.id("id", SubscriberId::from_uuid)
}

/// Notes that the subscriber says something now.
pub(crate) async fn spoke(
    connection: &mut SqliteConnection,
    subscriber: SubscriberId,
    now: Timestamp,
) -> error::Result<()> {
    let spoke = sqlx::query(SPOKE).bind(subscriber.as_uuid()).bind(now.as_micros());
    spoke.execute(connection).await?;
    Ok(())
}

/// Removes the subscriber if no thread of theirs is left.
pub(crate) async fn remove_without_threads(
    connection: &mut SqliteConnection,
    subscriber: SubscriberId,
) -> error::Result<()> {
    sqlx::query(REMOVE_WITHOUT_THREADS).bind(subscriber.as_uuid()).execute(connection).await?;
    Ok(())
}

async fn get(
    connection: &mut SqliteConnection,
    scope: &Scope,
    app: AppId,
    subscriber: SubscriberId,
) -> error::Result<Subscriber> {
    apps::require(connection, scope, app).await?;
    let query = sqlx::query(GET).bind(app.as_uuid()).bind(subscriber.as_uuid());
    let row = query.fetch_optional(connection).await?;
    let visible = row.filter(|_| scope.sees_subscriber(Some(subscriber)));
    read(&visible.ok_or(Error::SubscriberNotFound)?)
}

async fn list(
    connection: &mut SqliteConnection,
    scope: &Scope,
    app: AppId,
    search: &str,
    after: Option<SubscriberPosition>,
    limit: u32,
) -> error::Result<Vec<SubscriberSummary>> {
    let (spoke_at, created_at, id) = match after {
        Some(after) => {
            (after.last_message_at.unwrap_or(NEVER_SPOKE), after.created_at, after.id.as_uuid())
        }
        None => (i64::MAX, i64::MAX, Uuid::max()),
    };
    let rows = sqlx::query(LIST)
        .bind(app.as_uuid())
        .bind(spoke_at)
        .bind(created_at)
        .bind(id)
        .bind(scope.subscriber().map(|own| own.as_uuid()))
        .bind(search.to_lowercase())
        .bind(i64::from(limit) + 1)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_summary).collect()
}

fn read_summary(row: &SqliteRow) -> error::Result<SubscriberSummary> {
    Ok(SubscriberSummary {
        subscriber: read(row)?,
        thread_count: row.try_get::<i64, _>("thread_count")?.unsigned_abs(),
        last_message_preview: row.try_get("last_message_preview")?,
    })
}

fn read(row: &SqliteRow) -> error::Result<Subscriber> {
    Ok(Subscriber {
        id: row.id("id", SubscriberId::from_uuid)?,
        app: row.id("app_id", AppId::from_uuid)?,
        customer_id: row.try_get("customer_id")?,
        display_name: row.try_get("display_name")?,
        metadata: row.object("metadata")?,
        created_at: row.instant("created_at")?,
        last_seen_at: row.instant_if_any("last_seen_at")?,
        last_message_at: row.instant_if_any("last_message_at")?,
    })
}
