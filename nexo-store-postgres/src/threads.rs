//! Threads.

use async_trait::async_trait;
use nexo_core::{
    AgentId, AppId, Cursor, CursorPage, Error, Holder, Message, MessageId, NewThread, Result, Role,
    Scope, SubscriberId, Thread, ThreadChanges, ThreadFilter, ThreadId, ThreadPosition,
    ThreadStatus, ThreadStore, position, preview, search_text, storable,
};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::{
    Connection, PostgresStore, SqlQuery,
    apps::rows_of_app,
    error::commit,
    find,
    messages::{message_columns, read_message},
    row::{Columns, cursor_time},
    run, scoped,
};

/// What read_thread() reads, in its order.
macro_rules! thread_columns {
    ($table:literal) => {
        columns!(
            $table: "id", "app_id", "subscriber_id", "title", "status", "customer_id",
            "holder_agent_id", "holder_human", "epoch", "version", "created_at", "updated_at"
        )
    };
}
pub(crate) use thread_columns;

/// The app is locked first, in the weakest way, so that nobody creates a thread in an app that
/// is being deleted. `on conflict` makes one subscriber of many at once with one name.
const CREATE: &str = concat!(
    "with a as (
        select a.id from nexo_apps a where a.id = $4 and ",
    sees_app!("a"),
    " for key share of a
    ), s as (
        insert into nexo_subscribers as s
            (id, app_id, customer_id, display_name, metadata, created_at, last_seen_at)
        select $8, a.id, $7, $7, '{}', now(), now() from a where $7 <> ''
        on conflict on constraint nexo_subscribers_customer
            do update set last_seen_at = greatest(s.last_seen_at, now())
        returning s.id, s.app_id
    ), named as (
        insert into nexo_subscriber_names (subscriber_id, app_id, search)
        select s.id, s.app_id, $9 from s
        on conflict (subscriber_id) do nothing
    ), t as (
        insert into nexo_threads (id, app_id, subscriber_id, title, status, customer_id, next_seq,
            version, own_version, last_message_at, last_message_preview, created_at, updated_at)
        select $5, a.id, (select s.id from s), $6, 'active', $7,
            case when $11::text is null then 1 else 2 end,
            case when $11::text is null then 1 else 2 end,
            1,
            case when $11::text is not null then now() end, $12, now(), now()
        from a
        returning *
    ), m as (
        insert into nexo_messages
            (id, app_id, thread_id, seq, role, content, content_json, version, created_at)
        select $10, t.app_id, t.id, 1, $13, $11, '{\"source\":\"system\"}', t.version, t.created_at
        from t where $11::text is not null
        returning *
    )
    select ",
    thread_columns!("t"),
    ", ",
    message_columns!("m"),
    " from t left join m on true"
);

const GET: &str = concat!(
    "select ",
    thread_columns!("t"),
    " from nexo_threads t join nexo_apps a on a.id = t.app_id where t.id = $4 and ",
    sees_app!("a"),
    " and ",
    sees_subscriber!("t.subscriber_id")
);

/// A list is cut by the index of its `$which` before anything else. The first page starts
/// before the latest time there is.
macro_rules! list {
    ($which:literal) => {
        concat!(
            "select ",
            thread_columns!("t"),
            " from nexo_apps a
            left join lateral (
                select * from nexo_threads t
                where ",
            $which,
            " and (t.updated_at, t.id) < (coalesce($5, 'infinity'::timestamptz), $6)
                    and ($7::text[] is null or t.status = any($7))
                    and ($8::text is null or t.customer_id = $8)
                    and ",
            sees_subscriber!("t.subscriber_id"),
            " order by t.updated_at desc, t.id desc
                limit $9
            ) t on true
            where a.id = $4 and ",
            sees_app!("a"),
            " order by t.updated_at desc, t.id desc"
        )
    };
}

const LIST_ALL: &str = list!("t.app_id = $4");
const LIST_OF_CUSTOMER: &str = list!("t.app_id = $4 and t.customer_id = $8");
/// For a subscriber's own scope.
const LIST_OF_SUBSCRIBER: &str = list!("t.app_id = $4 and t.subscriber_id = $3");

const UPDATE: &str = concat!(
    "update nexo_threads t
    set title = case when $5 then $6 else t.title end,
        status = coalesce($7, t.status),
        version = t.version + 1,
        own_version = t.version + 1,
        updated_at = greatest(t.updated_at, now())
    from nexo_apps a
    where t.id = $4 and a.id = t.app_id and ",
    sees_app!("a"),
    " and ",
    sees_subscriber!("t.subscriber_id"),
    " returning ",
    thread_columns!("t")
);

const LOCK: &str = concat!(
    "select t.subscriber_id from nexo_threads t join nexo_apps a on a.id = t.app_id
    where t.id = $4 and ",
    sees_app!("a"),
    " and ",
    sees_subscriber!("t.subscriber_id"),
    " for update of t"
);

const DELETE: &str = "delete from nexo_threads where id = $1";

/// A statement of its own, so that DELETE_SUBSCRIBER, which looks anew, sees every thread of
/// theirs: whoever creates one locks the subscriber first.
const LOCK_SUBSCRIBER: &str = "select 1 from nexo_subscribers where id = $1 for update";

const DELETE_SUBSCRIBER: &str = "
    delete from nexo_subscribers s
    where s.id = $1 and not exists (select 1 from nexo_threads t where t.subscriber_id = s.id)";

#[async_trait]
impl ThreadStore for PostgresStore {
    async fn create_thread(
        &self,
        scope: &Scope,
        app: AppId,
        thread: NewThread,
    ) -> Result<(Thread, Option<Message>)> {
        let query = create_query(scope, app, &thread);
        read_created(&self.write_optional(query).await?.ok_or(Error::AppNotFound(app))?)
    }

    async fn get_thread(&self, scope: &Scope, thread: ThreadId) -> Result<Thread> {
        let row = self.read_optional(scoped(GET, scope).bind(thread.as_uuid())).await?;
        read_thread(&mut Columns::of(&row.ok_or(Error::ThreadNotFound(thread))?))
    }

    async fn list_threads(
        &self,
        scope: &Scope,
        app: AppId,
        filter: &ThreadFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<Thread>> {
        let after: Option<ThreadPosition> = position(cursor)?;
        let statuses = filter
            .statuses
            .as_ref()
            .map(|statuses| statuses.iter().map(|status| status.as_str()).collect::<Vec<_>>());
        let query = scoped(list_sql(scope, filter), scope)
            .bind(app.as_uuid())
            .bind(after.map(|after| cursor_time(after.updated_at)).transpose()?)
            .bind(after.map_or(Uuid::max(), |after| after.id.as_uuid()))
            .bind(statuses)
            .bind(filter.customer_id.as_deref())
            .bind(i64::from(limit) + 1);
        let rows = self.read_all(query).await?;
        let mut threads = Vec::with_capacity(rows.len());
        for row in rows_of_app(app, &rows)? {
            let mut columns = Columns::of(row);
            if !columns.is_absent()? {
                threads.push(read_thread(&mut columns)?);
            }
        }
        Ok(CursorPage::from_rows(threads, limit, |thread| ThreadPosition::from(thread)))
    }

    async fn update_thread(
        &self,
        scope: &Scope,
        thread: ThreadId,
        changes: ThreadChanges,
    ) -> Result<Thread> {
        let query = scoped(UPDATE, scope)
            .bind(thread.as_uuid())
            .bind(changes.title.is_some())
            .bind(changes.title.flatten())
            .bind(changes.status.map(ThreadStatus::as_str));
        let row = self.write_optional(query).await?.ok_or(Error::ThreadNotFound(thread))?;
        read_thread(&mut Columns::of(&row))
    }

    async fn delete_thread(&self, scope: &Scope, thread: ThreadId) -> Result<()> {
        let mut transaction = self.begin().await?;
        let lock = scoped(LOCK, scope).bind(thread.as_uuid());
        let row = find(&mut transaction, lock).await?.ok_or(Error::ThreadNotFound(thread))?;
        let subscriber: Option<Uuid> = Columns::of(&row).take()?;
        run(&mut transaction, sqlx::query(DELETE).bind(thread.as_uuid())).await?;
        for statement in [LOCK_SUBSCRIBER, DELETE_SUBSCRIBER] {
            run(&mut transaction, sqlx::query(statement).bind(subscriber)).await?;
        }
        commit(transaction).await
    }
}

/// Creates a thread within a transaction of the caller's.
pub(crate) async fn create_within(
    connection: &mut Connection,
    scope: &Scope,
    app: AppId,
    thread: &NewThread,
) -> Result<(Thread, Option<Message>)> {
    let query = create_query(scope, app, thread);
    read_created(&find(connection, query).await?.ok_or(Error::AppNotFound(app))?)
}

fn read_created(row: &PgRow) -> Result<(Thread, Option<Message>)> {
    let mut columns = Columns::of(row);
    let thread = read_thread(&mut columns)?;
    let greeting = if columns.is_absent()? { None } else { Some(read_message(&mut columns)?) };
    Ok((thread, greeting))
}

fn create_query(scope: &Scope, app: AppId, thread: &NewThread) -> SqlQuery<'static> {
    let customer = thread.customer_id.as_deref();
    let greeting = thread.greeting.as_deref().map(storable);
    scoped(CREATE, scope)
        .bind(app.as_uuid())
        .bind(ThreadId::new().as_uuid())
        .bind(thread.title.as_deref())
        .bind(customer)
        .bind(SubscriberId::new().as_uuid())
        .bind(customer.map(|customer| search_text(customer, Some(customer))))
        .bind(MessageId::new().as_uuid())
        .bind(greeting.as_deref())
        .bind(greeting.as_deref().map(preview))
        .bind(Role::Assistant.as_str())
}

/// Which index cuts the list.
fn list_sql(scope: &Scope, filter: &ThreadFilter) -> &'static str {
    if scope.subscriber().is_some() {
        LIST_OF_SUBSCRIBER
    } else if filter.customer_id.is_some() {
        LIST_OF_CUSTOMER
    } else {
        LIST_ALL
    }
}

pub(crate) fn read_thread(columns: &mut Columns<'_>) -> Result<Thread> {
    Ok(Thread {
        id: ThreadId::from_uuid(columns.take()?),
        app: AppId::from_uuid(columns.take()?),
        subscriber: columns.take::<Option<Uuid>>()?.map(SubscriberId::from_uuid),
        title: columns.take()?,
        status: read_status(columns.take()?)?,
        customer_id: columns.take()?,
        holder: read_holder(columns.take()?, columns.take()?),
        epoch: columns.take()?,
        version: columns.take()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
    })
}

fn read_status(name: &str) -> Result<ThreadStatus> {
    ThreadStatus::find(name).ok_or(Error::Corrupt("thread status"))
}

fn read_holder(agent: Option<Uuid>, human: Option<String>) -> Holder {
    match (human, agent) {
        (Some(human), _) => Holder::Human(human),
        (None, Some(agent)) => Holder::Agent(AgentId::from_uuid(agent)),
        (None, None) => Holder::Default,
    }
}
