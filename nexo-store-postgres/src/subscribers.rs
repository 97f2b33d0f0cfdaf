//! Subscribers.

use async_trait::async_trait;
use nexo_core::{
    AppId, Cursor, CursorPage, Error, Result, Scope, Subscriber, SubscriberId, SubscriberPosition,
    SubscriberStore, SubscriberSummary, ThreadPosition, ThreadSummary, position, storable,
};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::{
    PostgresStore,
    apps::rows_of_app,
    row::{Columns, cursor_time},
    scoped,
    threads::{read_thread, thread_columns},
};

/// What read_subscriber() reads, in its order.
macro_rules! subscriber_columns {
    ($table:literal) => {
        columns!(
            $table: "id", "app_id", "customer_id", "display_name", "metadata", "created_at",
            "last_seen_at", "last_message_at"
        )
    };
}

/// Without a row there is no such app, with an empty one no such subscriber.
const GET: &str = concat!(
    "select ",
    subscriber_columns!("s"),
    " from nexo_apps a left join nexo_subscribers s
        on s.app_id = a.id and s.id = $5 and ",
    sees_subscriber!("s.id"),
    " where a.id = $4 and ",
    sees_app!("a")
);

/// The order of the list, which is that of its index.
macro_rules! order {
    () => {
        " order by s.last_message_at desc nulls last, s.created_at desc, s.id desc "
    };
}

/// What narrows the list beside its position: a search, which an index is used for where the
/// database has one for it, and the scope.
macro_rules! narrowed {
    (none) => {
        concat!("s.app_id = $4 and ", sees_subscriber!("s.id"))
    };
    (search) => {
        concat!(
            "s.app_id = $4 and ",
            sees_subscriber!("s.id"),
            " and s.id in (
                select n.subscriber_id from nexo_subscriber_names n
                where n.app_id = $4 and n.search like $6
            )"
        )
    };
}

/// Those who never said anything come after all others.
macro_rules! silent {
    ($narrowed:ident, $after:literal) => {
        concat!(
            "(select s.* from nexo_subscribers s where ",
            narrowed!($narrowed),
            " and s.last_message_at is null ",
            $after,
            order!(),
            "limit $5)"
        )
    };
}

/// A comparison with nothing is never true, so this has only those who said something. The
/// first page starts before the latest time there is.
macro_rules! spoken {
    ($narrowed:ident) => {
        concat!(
            "(select s.* from nexo_subscribers s where ",
            narrowed!($narrowed),
            " and (s.last_message_at, s.created_at, s.id)
                < (coalesce($9, 'infinity'::timestamptz), $7, $8)",
            order!(),
            "limit $5)"
        )
    };
}

/// The page is cut before anything is counted or looked up for its rows.
macro_rules! list {
    ($($rows:expr),+ $(,)?) => {
        concat!(
            "select ",
            subscriber_columns!("s"),
            ", threads.count, threads.preview
            from nexo_apps a
            left join lateral (select * from (",
            $($rows),+,
            ") s ",
            order!(),
            " limit $5) s on true
            left join lateral (
                select count(*) over () as count, t.last_message_preview as preview
                from nexo_threads t where t.subscriber_id = s.id
                order by t.last_message_at desc nulls last limit 1
            ) threads on true
            where a.id = $4 and ",
            sees_app!("a"),
            order!()
        )
    };
}

const LIST: &str = list!(spoken!(none), " union all ", silent!(none, ""));
const LIST_SILENT: &str = list!(silent!(none, "and (s.created_at, s.id) < ($7, $8)"));
const SEARCH: &str = list!(spoken!(search), " union all ", silent!(search, ""));
const SEARCH_SILENT: &str = list!(silent!(search, "and (s.created_at, s.id) < ($7, $8)"));

/// Without a row there is no such app, without an `s` no such subscriber, without a `t` no
/// thread.
const LIST_THREADS: &str = concat!(
    "select s.id, t.next_seq - 1, t.last_message_at, t.last_message_preview, ",
    thread_columns!("t"),
    " from nexo_apps a
    left join nexo_subscribers s on s.app_id = a.id and s.id = $5 and ",
    sees_subscriber!("s.id"),
    " left join lateral (
        select * from nexo_threads t
        where t.subscriber_id = s.id
            and (t.updated_at, t.id) < (coalesce($6, 'infinity'::timestamptz), $7)
        order by t.updated_at desc, t.id desc
        limit $8
    ) t on true
    where a.id = $4 and ",
    sees_app!("a"),
    " order by t.updated_at desc, t.id desc"
);

#[async_trait]
impl SubscriberStore for PostgresStore {
    async fn get_subscriber(
        &self,
        scope: &Scope,
        app: AppId,
        subscriber: SubscriberId,
    ) -> Result<Subscriber> {
        let query = scoped(GET, scope).bind(app.as_uuid()).bind(subscriber.as_uuid());
        let row = self.read_optional(query).await?.ok_or(Error::AppNotFound(app))?;
        let mut columns = Columns::of(&row);
        if columns.is_absent()? {
            return Err(Error::SubscriberNotFound);
        }
        read_subscriber(&mut columns)
    }

    async fn list_subscribers(
        &self,
        scope: &Scope,
        app: AppId,
        search: &str,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<SubscriberSummary>> {
        let after: Option<SubscriberPosition> = position(cursor)?;
        let spoke_at = after.and_then(|after| after.last_message_at);
        let pattern = (!search.is_empty()).then(|| pattern(search));
        let query = scoped(list_sql(pattern.is_some(), after.as_ref()), scope)
            .bind(app.as_uuid())
            .bind(i64::from(limit) + 1)
            .bind(&pattern)
            .bind(after.map(|after| cursor_time(after.created_at)).transpose()?)
            .bind(after.map(|after| after.id.as_uuid()))
            .bind(spoke_at.map(cursor_time).transpose()?)
            // How rare the names are decides which index is best: planned anew each time.
            .persistent(pattern.is_none());
        let rows = self.read_all(query).await?;
        let summaries =
            rows_of_app(app, &rows)?.iter().filter_map(|row| read_summary(row).transpose());
        let summaries = summaries.collect::<Result<Vec<_>>>()?;
        Ok(CursorPage::from_rows(summaries, limit, |it| SubscriberPosition::from(&it.subscriber)))
    }

    async fn list_subscriber_threads(
        &self,
        scope: &Scope,
        app: AppId,
        subscriber: SubscriberId,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<ThreadSummary>> {
        let after: Option<ThreadPosition> = position(cursor)?;
        let query = scoped(LIST_THREADS, scope)
            .bind(app.as_uuid())
            .bind(subscriber.as_uuid())
            .bind(after.map(|after| cursor_time(after.updated_at)).transpose()?)
            .bind(after.map_or(Uuid::max(), |after| after.id.as_uuid()))
            .bind(i64::from(limit) + 1);
        let rows = self.read_all(query).await?;
        let threads =
            rows_of_app(app, &rows)?.iter().filter_map(|row| read_thread_summary(row).transpose());
        let threads = threads.collect::<Result<Vec<_>>>()?;
        Ok(CursorPage::from_rows(threads, limit, |it| ThreadPosition::from(&it.thread)))
    }
}

fn list_sql(search: bool, after: Option<&SubscriberPosition>) -> &'static str {
    let silent = after.is_some_and(|after| after.last_message_at.is_none());
    match (search, silent) {
        (false, false) => LIST,
        (false, true) => LIST_SILENT,
        (true, false) => SEARCH,
        (true, true) => SEARCH_SILENT,
    }
}

/// A pattern for `like` that finds the text anywhere; its own wildcards are taken literally.
fn pattern(search: &str) -> String {
    let mut pattern = String::from("%");
    for character in storable(&search.to_lowercase()).chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

fn read_subscriber(columns: &mut Columns<'_>) -> Result<Subscriber> {
    Ok(Subscriber {
        id: SubscriberId::from_uuid(columns.take()?),
        app: AppId::from_uuid(columns.take()?),
        customer_id: columns.take()?,
        display_name: columns.take()?,
        metadata: columns.object()?,
        created_at: columns.time()?,
        last_seen_at: columns.optional_time()?,
        last_message_at: columns.optional_time()?,
    })
}

fn read_summary(row: &PgRow) -> Result<Option<SubscriberSummary>> {
    let mut columns = Columns::of(row);
    if columns.is_absent()? {
        return Ok(None);
    }
    Ok(Some(SubscriberSummary {
        subscriber: read_subscriber(&mut columns)?,
        thread_count: columns.take::<Option<i64>>()?.unwrap_or(0).unsigned_abs(),
        last_message_preview: columns.take()?,
    }))
}

fn read_thread_summary(row: &PgRow) -> Result<Option<ThreadSummary>> {
    let mut columns = Columns::of(row);
    let _subscriber: Uuid = columns.take::<Option<Uuid>>()?.ok_or(Error::SubscriberNotFound)?;
    if columns.is_absent()? {
        return Ok(None);
    }
    let message_count = columns.take::<i64>()?.unsigned_abs();
    Ok(Some(ThreadSummary {
        message_count,
        last_message_at: columns.optional_time()?,
        last_message_preview: columns.take()?,
        thread: read_thread(&mut columns)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wildcards_of_like_are_characters_like_any_other() {
        assert_eq!(pattern(r"50%_\É"), r"%50\%\_\\é%");
    }
}
