//! Messages.

mod append;

use async_trait::async_trait;
use nexo_core::{
    AppId, Error, MAX_LISTED_BYTES, Message, MessageId, MessageRange, MessageStore, NewMessage,
    Result, Role, Scope, ThreadId,
};
use sqlx::postgres::PgRow;

pub(crate) use self::append::Append;
use crate::{PostgresStore, row::Columns, scoped};

/// What read_message() reads, in its order.
macro_rules! message_columns {
    ($table:literal) => {
        columns!(
            $table: "id", "thread_id", "seq", "role", "content", "content_json", "created_at"
        )
    };
}
pub(crate) use message_columns;

/// How many these are.
pub(crate) const MESSAGE_COLUMNS: usize = 7;

macro_rules! list {
    ($range:literal, $order:literal) => {
        concat!(
            "select ",
            message_columns!("m"),
            " from nexo_threads t
            join nexo_apps a on a.id = t.app_id
            left join lateral (
                select *, sum(content_bytes) over (order by seq) - content_bytes as bytes_before
                from (
                    select *,
                        coalesce(octet_length(content), 0)
                        + octet_length(content_json::text) as content_bytes
                    from nexo_messages m where m.thread_id = t.id ",
            $range,
            " order by m.seq ",
            $order,
            " limit $6
                ) m
            ) m on m.bytes_before < $8
            where t.id = $5 and t.app_id = $4 and ",
            sees_app!("a"),
            " and ",
            sees_subscriber!("t.subscriber_id"),
            " order by m.seq"
        )
    };
}

/// [`MAX_LISTED_BYTES`], as the statements take it.
const MAX_LISTED: i64 = MAX_LISTED_BYTES as i64;

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
        self.append(Append { scope, app, thread, id: MessageId::new(), message }).await
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
            .bind(bound)
            .bind(MAX_LISTED);
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
