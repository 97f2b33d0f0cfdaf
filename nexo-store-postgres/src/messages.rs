//! Messages.

use async_trait::async_trait;
use nexo_core::{
    AppId, Error, Message, MessageId, MessageRange, MessageStore, NewMessage, Result, Role, Scope,
    SubscriberId, ThreadId, preview, search_text,
};
use sqlx::postgres::PgRow;

use crate::{
    PostgresStore, SqlQuery,
    error::{before_commit, commit},
    row::{Columns, storable},
    scoped,
};

/// What read_message() reads, in its order.
macro_rules! message_columns {
    ($table:literal) => {
        columns!(
            $table: "id", "thread_id", "seq", "role", "content", "content_json", "created_at"
        )
    };
}
pub(crate) use message_columns;

/// One statement, so one round trip and one commit.
///
/// The `update` locks the thread's row until the end, and whoever waited for it reads the row
/// anew: two appends can't take one `seq`, and an append that waited for the thread's deletion
/// finds nothing. Nothing else is read that another append could have changed. `greatest`
/// keeps the times in the order of `seq`, since `now()` is from before the wait.
///
/// The lock on the subscriber comes after the one on its thread, as everywhere.
///
/// A user's message to a thread that should have a subscriber and has none is left to ATTACH.
const APPEND: &str = concat!(
    "with t as (
        update nexo_threads t
        set next_seq = t.next_seq + 1,
            version = t.version + 1,
            updated_at = greatest(t.updated_at, now()),
            last_message_at = greatest(t.updated_at, now()),
            last_message_preview = $10
        from nexo_apps a
        where t.id = $5 and t.app_id = $4 and a.id = t.app_id
            and ($11 or t.status <> 'deleted')
            and ($7 <> 'user' or t.subscriber_id is not null or coalesce(t.customer_id, '') = '')
            and ",
    sees_app!("a"),
    " and ",
    sees_subscriber!("t.subscriber_id"),
    "
        returning t.id, t.app_id, t.subscriber_id, t.next_seq - 1 as seq, t.version, t.updated_at
    ), touched as (
        update nexo_subscribers s
        set last_seen_at = greatest(s.last_seen_at, t.updated_at),
            last_message_at = greatest(s.last_message_at, t.updated_at)
        from t
        where s.id = t.subscriber_id and $7 = 'user'
    )
    insert into nexo_messages as m
        (id, app_id, thread_id, seq, role, content, content_json, version, created_at)
    select $6, t.app_id, t.id, t.seq, $7, $8, $9::json, t.version, t.updated_at from t
    returning ",
    message_columns!("m")
);

/// Why APPEND wrote nothing, and what ATTACH needs. The app is locked before the thread, as
/// by whoever deletes the app: a new subscriber's foreign key would lock it afterwards.
const LOOK: &str = concat!(
    "select t.status = 'deleted', t.subscriber_id is null, coalesce(t.customer_id, '')
    from nexo_threads t join nexo_apps a on a.id = t.app_id
    where t.id = $5 and t.app_id = $4 and ",
    sees_app!("a"),
    " and ",
    sees_subscriber!("t.subscriber_id"),
    " for key share of a for no key update of t"
);

/// Gets or creates the subscriber of a thread that has none; APPEND then touches it.
const ATTACH: &str = "
    with s as (
        insert into nexo_subscribers
            (id, app_id, customer_id, display_name, metadata, created_at)
        values ($3, $1, $4, $4, '{}', now())
        on conflict on constraint nexo_subscribers_customer
            do update set customer_id = excluded.customer_id
        returning id, app_id
    ), named as (
        insert into nexo_subscriber_names (subscriber_id, app_id, search)
        select s.id, s.app_id, $5 from s
        on conflict (subscriber_id) do nothing
    )
    update nexo_threads set subscriber_id = s.id from s where nexo_threads.id = $2";

macro_rules! list {
    ($range:literal, $order:literal) => {
        concat!(
            "select ",
            message_columns!("m"),
            " from nexo_threads t
            join nexo_apps a on a.id = t.app_id
            left join lateral (
                select * from nexo_messages m where m.thread_id = t.id ",
            $range,
            " order by m.seq ",
            $order,
            " limit $6
            ) m on true
            where t.id = $5 and t.app_id = $4 and ",
            sees_app!("a"),
            " and ",
            sees_subscriber!("t.subscriber_id"),
            " order by m.seq"
        )
    };
}

/// Without a row there is no such thread, with an empty one no such message.
const LIST_NEWEST: &str = list!("and m.seq < $7", "desc");
const LIST_AFTER: &str = list!("and m.seq > $7", "asc");

const GET: &str = concat!(
    "select ",
    message_columns!("m"),
    " from nexo_messages m
    join nexo_threads t on t.id = m.thread_id
    join nexo_apps a on a.id = t.app_id
    where m.id = $4 and ",
    sees_app!("a"),
    " and ",
    sees_subscriber!("t.subscriber_id")
);

#[async_trait]
impl MessageStore for PostgresStore {
    async fn append_message(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        message: NewMessage,
    ) -> Result<Message> {
        let message = Append { scope, app, thread, id: MessageId::new(), message };
        match self.write_optional(message.query()).await? {
            Some(row) => read_message(&mut Columns::of(&row)),
            None => self.append_after_a_look(message).await,
        }
    }

    async fn list_messages(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        range: MessageRange,
        limit: u32,
    ) -> Result<Vec<Message>> {
        let (sql, bound) = match range {
            MessageRange::Newest { before } => (LIST_NEWEST, before.unwrap_or(i64::MAX)),
            MessageRange::After(seq) => (LIST_AFTER, seq),
        };
        let query = scoped(sql, scope)
            .bind(app.as_uuid())
            .bind(thread.as_uuid())
            .bind(i64::from(limit))
            .bind(bound);
        let rows = self.read_all(query).await?;
        if rows.is_empty() {
            return Err(self.missing(scope, app, Error::ThreadNotFound(thread)).await);
        }
        read_messages(&rows)
    }

    async fn get_message(&self, scope: &Scope, message: MessageId) -> Result<Message> {
        let row = self.read_optional(scoped(GET, scope).bind(message.as_uuid())).await?;
        read_message(&mut Columns::of(&row.ok_or(Error::MessageNotFound)?))
    }
}

/// A message on its way into a thread.
struct Append<'a> {
    scope: &'a Scope,
    app: AppId,
    thread: ThreadId,
    id: MessageId,
    message: NewMessage,
}

impl Append<'_> {
    fn query(&self) -> SqlQuery<'static> {
        let content = self.message.content.as_deref().map(storable);
        let preview = content.as_deref().map(preview);
        scoped(APPEND, self.scope)
            .bind(self.app.as_uuid())
            .bind(self.thread.as_uuid())
            .bind(self.id.as_uuid())
            .bind(self.message.role.as_str())
            .bind(content.as_deref())
            .bind(self.message.content_json.as_str())
            .bind(preview)
            .bind(self.message.to_deleted)
    }
}

impl PostgresStore {
    /// The rare case: the thread is not there or may not be written to, which is the answer
    /// then, or its subscriber has to be attached first.
    async fn append_after_a_look(&self, append: Append<'_>) -> Result<Message> {
        let Append { scope, app, thread, .. } = append;
        let mut transaction = self.begin().await?;
        let row = scoped(LOOK, scope)
            .bind(app.as_uuid())
            .bind(thread.as_uuid())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(before_commit)?;
        let Some(row) = row else {
            drop(transaction);
            return Err(self.missing(scope, app, Error::ThreadNotFound(thread)).await);
        };
        let mut columns = Columns::of(&row);
        let (deleted, lacks_subscriber): (bool, bool) = (columns.take()?, columns.take()?);
        if deleted && !append.message.to_deleted {
            return Err(Error::Conflict("thread is deleted"));
        }
        let customer: String = columns.take()?;
        if lacks_subscriber && !customer.is_empty() {
            sqlx::query(ATTACH)
                .bind(app.as_uuid())
                .bind(thread.as_uuid())
                .bind(SubscriberId::new().as_uuid())
                .bind(&customer)
                .bind(search_text(&customer, Some(&customer)))
                .execute(&mut *transaction)
                .await
                .map_err(before_commit)?;
        }
        let row = append.query().fetch_one(&mut *transaction).await.map_err(before_commit)?;
        commit(transaction).await?;
        read_message(&mut Columns::of(&row))
    }
}

pub(crate) fn read_message(columns: &mut Columns<'_>) -> Result<Message> {
    Ok(Message {
        id: MessageId::from_uuid(columns.take()?),
        thread: ThreadId::from_uuid(columns.take()?),
        seq: columns.take()?,
        role: read_role(columns.take()?)?,
        content: columns.take()?,
        content_json: columns.object()?,
        created_at: columns.time()?,
    })
}

pub(crate) fn read_role(name: &str) -> Result<Role> {
    Role::find(name).ok_or(Error::Corrupt("role"))
}

fn read_messages(rows: &[PgRow]) -> Result<Vec<Message>> {
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        let mut columns = Columns::of(row);
        if !columns.is_absent()? {
            messages.push(read_message(&mut columns)?);
        }
    }
    Ok(messages)
}
