//! Appending a message.

use nexo_core::{
    AppId, Error, Message, MessageId, NewMessage, Result, Scope, SubscriberId, ThreadId, preview,
    search_text, storable,
};

use super::{message_columns, read_message};
use crate::{Connection, PostgresStore, SqlQuery, error::commit, find, row::Columns, run, scoped};

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
    update nexo_threads t
    set subscriber_id = s.id, version = t.version + 1, own_version = t.version + 1
    from s where t.id = $2";

/// A message on its way into a thread.
pub(crate) struct Append<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) app: AppId,
    pub(crate) thread: ThreadId,
    pub(crate) id: MessageId,
    pub(crate) message: NewMessage,
}

impl Append<'_> {
    /// Appends within a transaction of the caller's.
    pub(crate) async fn within(&self, connection: &mut Connection) -> Result<Message> {
        if let Some(row) = find(connection, self.query()).await? {
            return read_message(&mut Columns::of(&row));
        }
        self.after_a_look(connection).await
    }

    /// The rare case: the thread is not there or may not be written to, which is the answer
    /// then, or its subscriber has to be attached first.
    async fn after_a_look(&self, connection: &mut Connection) -> Result<Message> {
        if let Some(customer) = self.look(connection).await? {
            self.attach(&customer, connection).await?;
        }
        let row =
            find(connection, self.query()).await?.ok_or(Error::ThreadNotFound(self.thread))?;
        read_message(&mut Columns::of(&row))
    }

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

    /// Whom the thread lacks as its subscriber, if it does.
    async fn look(&self, connection: &mut Connection) -> Result<Option<String>> {
        let query = scoped(LOOK, self.scope).bind(self.app.as_uuid()).bind(self.thread.as_uuid());
        let row = find(connection, query).await?.ok_or(Error::ThreadNotFound(self.thread))?;
        let mut columns = Columns::of(&row);
        let (deleted, lacks_subscriber): (bool, bool) = (columns.take()?, columns.take()?);
        if deleted && !self.message.to_deleted {
            return Err(Error::Conflict("thread is deleted"));
        }
        let customer: String = columns.take()?;
        Ok((lacks_subscriber && !customer.is_empty()).then_some(customer))
    }

    async fn attach(&self, customer: &str, connection: &mut Connection) -> Result<()> {
        let query = sqlx::query(ATTACH)
            .bind(self.app.as_uuid())
            .bind(self.thread.as_uuid())
            .bind(SubscriberId::new().as_uuid())
            .bind(customer)
            .bind(search_text(customer, Some(customer)));
        run(connection, query).await
    }
}

impl PostgresStore {
    pub(super) async fn append(&self, append: Append<'_>) -> Result<Message> {
        if let Some(row) = self.write_optional(append.query()).await? {
            return read_message(&mut Columns::of(&row));
        }
        match self.append_after_a_look(&append).await {
            Err(error @ Error::ThreadNotFound(_)) => {
                Err(self.missing(append.scope, append.app, error).await)
            }
            outcome => outcome,
        }
    }

    async fn append_after_a_look(&self, append: &Append<'_>) -> Result<Message> {
        let mut transaction = self.begin().await?;
        let message = append.after_a_look(&mut transaction).await?;
        commit(transaction).await?;
        Ok(message)
    }
}
