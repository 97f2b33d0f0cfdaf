//! What changed in threads.

use std::collections::HashMap;

use async_trait::async_trait;
use nexo_core::{
    AppId, Change, ChangeLimit, ChangePage, Changed, Error, FeedStore, NewestThreads, Result,
    Scope, Thread, ThreadCursor, ThreadId,
};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::{
    PostgresStore,
    messages::{MESSAGE_COLUMNS, message_columns, read_message},
    row::Columns,
    runs::{read_run, run_columns},
    scoped,
    threads::{read_thread, thread_columns},
};

/// One statement, so that all of it is seen at one moment: since a thread's changes are
/// committed in the order of their versions, none is missing below the version that the
/// thread has there.
///
/// Of each kind as many are read as may be needed; how large they are is summed up before they
/// are fetched. A cursor that is a `seq` stands for the version of its message.
const LIST: &str = concat!(
    "with t as (
        select t.* from nexo_threads t join nexo_apps a on a.id = t.app_id
        where t.id = $5 and t.app_id = $4 and ",
    sees_app!("a"),
    " and ",
    sees_subscriber!("t.subscriber_id"),
    "
    ), seen as (
        select coalesce($6, (
            select m.version from nexo_messages m where m.thread_id = $5 and m.seq = $7
        )) as version
    ), c as (
        select c.*, sum(c.bytes) over (order by c.version) - c.bytes as bytes_before
        from (
            (select t.own_version as version, null::uuid as message_id, null::uuid as run_id,
                0 as bytes
            from t where t.own_version > (select version from seen))
            union all
            (select m.version, m.id, null,
                coalesce(octet_length(m.content), 0) + octet_length(m.content_json::text)
            from nexo_messages m
            where m.thread_id = $5 and m.version > (select version from seen) and m.version > 0
            order by m.version limit $8)
            union all
            (select r.version, null, r.id, 0
            from nexo_runs r
            where r.thread_id = $5 and r.version > (select version from seen) and r.version > 0
            order by r.version limit $8)
            order by 1 limit $8
        ) c
    )
    select (select version from seen), c.version, ",
    thread_columns!("t"),
    ", ",
    message_columns!("m"),
    ", ",
    run_columns!("r"),
    " from t
    left join c on c.bytes_before < $9
    left join nexo_messages m on m.id = c.message_id
    left join nexo_runs r on r.id = c.run_id
    order by c.version"
);

const VERSIONS: &str = concat!(
    "select t.id, t.version from nexo_threads t join nexo_apps a on a.id = t.app_id
    where t.id = any($4) and ",
    sees_app!("a"),
    " and ",
    sees_subscriber!("t.subscriber_id")
);

/// An app without any thread has one row all the same.
const NEWEST: &str = "
    select a.id, t.id, t.version
    from nexo_apps a
    left join lateral (
        (select t.id, t.version from nexo_threads t where t.app_id = a.id
            order by t.updated_at desc, t.id desc limit $2)
        union
        (select t.id, t.version from (
            select r.thread_id from nexo_runs r where r.app_id = a.id order by r.id desc limit $2
        ) r join nexo_threads t on t.id = r.thread_id)
    ) t on true
    where a.id = any($1)";

#[async_trait]
impl FeedStore for PostgresStore {
    async fn list_changes(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        after: ThreadCursor,
        limit: ChangeLimit,
    ) -> Result<ChangePage> {
        let (version, seq) = match after {
            ThreadCursor::Version(version) => (Some(version), None),
            ThreadCursor::Seq(0) => (Some(0), None),
            ThreadCursor::Seq(seq) => (None, Some(seq)),
        };
        let query = scoped(LIST, scope)
            .bind(app.as_uuid())
            .bind(thread.as_uuid())
            .bind(version)
            .bind(seq)
            .bind(i64::from(limit.changes))
            // One is taken whatever its size.
            .bind(i64::from(limit.bytes.max(1)));
        let rows = self.read_all(query).await?;
        if rows.is_empty() {
            return Err(self.missing(scope, app, Error::ThreadNotFound(thread)).await);
        }
        read_page(&rows, limit)
    }

    async fn thread_versions(
        &self,
        scope: &Scope,
        threads: &[ThreadId],
    ) -> Result<HashMap<ThreadId, i64>> {
        let threads: Vec<Uuid> = threads.iter().map(|thread| thread.as_uuid()).collect();
        let rows = self.read_all(scoped(VERSIONS, scope).bind(threads)).await?;
        rows.iter().map(|row| read_version(&mut Columns::of(row))).collect()
    }

    async fn newest_threads(
        &self,
        apps: &[AppId],
        limit: u32,
    ) -> Result<HashMap<AppId, NewestThreads>> {
        let apps: Vec<Uuid> = apps.iter().map(|app| app.as_uuid()).collect();
        let query = sqlx::query(NEWEST).bind(apps).bind(i64::from(limit));
        let mut newest: HashMap<AppId, NewestThreads> = HashMap::new();
        for row in &self.read_all(query).await? {
            let mut columns = Columns::of(row);
            let threads = newest.entry(AppId::from_uuid(columns.take()?)).or_default();
            if !columns.is_absent()? {
                threads.extend([read_version(&mut columns)?]);
            }
        }
        Ok(newest)
    }
}

fn read_version(columns: &mut Columns<'_>) -> Result<(ThreadId, i64)> {
    Ok((ThreadId::from_uuid(columns.take()?), columns.take()?))
}

fn read_page(rows: &[PgRow], limit: ChangeLimit) -> Result<ChangePage> {
    let (mut now, mut changes) = (0, Vec::with_capacity(rows.len()));
    for row in rows {
        let mut columns = Columns::of(row);
        let (seen, version): (Option<i64>, Option<i64>) = (columns.take()?, columns.take()?);
        let thread = read_thread(&mut columns)?;
        now = thread.version;
        if !seen.is_some_and(|seen| (0..=now).contains(&seen)) {
            return Err(Error::InvalidCursor);
        }
        let Some(version) = version else { continue };
        changes.push(Change { version, what: read_changed(thread, &mut columns)? });
    }
    Ok(ChangePage::cut(now, changes, limit))
}

/// The message or the run that comes next; where there is neither, the thread itself changed.
fn read_changed(thread: Thread, columns: &mut Columns<'_>) -> Result<Changed> {
    if !columns.is_absent()? {
        return Ok(Changed::Message(Box::new(read_message(columns)?)));
    }
    columns.skip(MESSAGE_COLUMNS);
    if !columns.is_absent()? {
        return Ok(Changed::Run(Box::new(read_run(columns)?)));
    }
    Ok(Changed::Thread(Box::new(thread)))
}
