//! What changed in threads.

use std::collections::HashMap;

use async_trait::async_trait;
use nexo_core::{
    AppId, Change, ChangeLimit, ChangePage, Changed, Error, FeedStore, NewestThreads, Result,
    Scope, ThreadCursor, ThreadId,
};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, sqlite::SqliteRow};

use crate::{SqliteStore, columns::Columns, error, messages, runs, threads};

pub(crate) const OWN_VERSION: &str = "select own_version from nexo_threads where id = ?1";

pub(crate) const VERSION_OF_SEQ: &str = "
    select version from nexo_messages where thread_id = ?1 and seq = ?2";

/// How large they are is summed up first, so that no more are fetched than may be needed.
pub(crate) const MESSAGES: &str = "
    with sized as (
        select id, version,
            coalesce(length(cast(content as blob)), 0) + length(cast(content_json as blob)) as bytes
        from nexo_messages where thread_id = ?1 and version > ?2 and version > 0
        order by version limit ?3
    ), summed as (
        select id, sum(bytes) over (order by version) - bytes as bytes_before from sized
    )
    select m.* from summed s join nexo_messages m on m.id = s.id where s.bytes_before < ?4";

pub(crate) const RUNS: &str = "
    select * from nexo_runs
    where thread_id = ?1 and version > ?2 and version > 0 order by version limit ?3";

const APP: &str = "select 1 from nexo_apps where id = ?1";

/// First the threads, then those of runs.
pub(crate) const NEWEST: [&str; 2] = [
    "select id, version from nexo_threads
    where app_id = ?1 order by updated_at desc, id desc limit ?2",
    "select t.id, t.version from (
        select thread_id from nexo_runs where app_id = ?1 order by id desc limit ?2
    ) r join nexo_threads t on t.id = r.thread_id",
];

/// A statement takes no more than a few ten thousand values.
const MAX_AT_ONCE: usize = 1_000;

#[async_trait]
impl FeedStore for SqliteStore {
    async fn list_changes(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        after: ThreadCursor,
        limit: ChangeLimit,
    ) -> Result<ChangePage> {
        let mut snapshot = self.snapshot().await?;
        let thread = threads::get_in(&mut snapshot, scope, app, thread).await?;
        let seen = seen(&mut snapshot, thread.id, after).await?;
        let seen = seen.filter(|seen| (0..=thread.version).contains(seen));
        let seen = seen.ok_or(Error::InvalidCursor)?;
        let mut changes = changes(&mut snapshot, thread.id, seen, limit).await?;
        let own_version = own_version(&mut snapshot, thread.id).await?;
        let now = thread.version;
        if own_version > seen {
            let what = Changed::Thread(Box::new(thread));
            changes.insert(0, Change { version: own_version, what });
        }
        Ok(ChangePage::cut(now, changes, limit))
    }

    async fn thread_versions(
        &self,
        scope: &Scope,
        threads: &[ThreadId],
    ) -> Result<HashMap<ThreadId, i64>> {
        let mut reader = self.reader().await?;
        let mut versions = HashMap::with_capacity(threads.len());
        for threads in threads.chunks(MAX_AT_ONCE) {
            versions.extend(visible_versions(&mut reader, scope, threads).await?);
        }
        Ok(versions)
    }

    async fn newest_threads(
        &self,
        apps: &[AppId],
        limit: u32,
    ) -> Result<HashMap<AppId, NewestThreads>> {
        let mut snapshot = self.snapshot().await?;
        let mut newest = HashMap::with_capacity(apps.len());
        for app in apps {
            if is_there(&mut snapshot, *app).await? {
                newest.insert(*app, newest_of(&mut snapshot, *app, limit).await?);
            }
        }
        Ok(newest)
    }
}

/// The version up to which a reader with this cursor has seen everything.
async fn seen(
    connection: &mut SqliteConnection,
    thread: ThreadId,
    cursor: ThreadCursor,
) -> error::Result<Option<i64>> {
    let seq = match cursor {
        ThreadCursor::Version(version) => return Ok(Some(version)),
        ThreadCursor::Seq(0) => return Ok(Some(0)),
        ThreadCursor::Seq(seq) => seq,
    };
    let query = sqlx::query_scalar(VERSION_OF_SEQ).bind(thread.as_uuid()).bind(seq);
    Ok(query.fetch_optional(connection).await?)
}

/// The messages and runs that changed.
async fn changes(
    connection: &mut SqliteConnection,
    thread: ThreadId,
    seen: i64,
    limit: ChangeLimit,
) -> error::Result<Vec<Change>> {
    let said = sqlx::query(MESSAGES)
        .bind(thread.as_uuid())
        .bind(seen)
        .bind(limit.changes)
        // One is taken whatever its size.
        .bind(limit.bytes.max(1))
        .fetch_all(&mut *connection)
        .await?;
    let runs = sqlx::query(RUNS).bind(thread.as_uuid()).bind(seen).bind(limit.changes);
    let runs = runs.fetch_all(connection).await?;
    let said = said.iter().map(|row| {
        let what = Changed::Message(Box::new(messages::read(row)?));
        Ok(Change { version: row.try_get("version")?, what })
    });
    let runs = runs.iter().map(|row| {
        let what = Changed::Run(Box::new(runs::read(row)?));
        Ok(Change { version: row.try_get("version")?, what })
    });
    said.chain(runs).collect()
}

async fn own_version(connection: &mut SqliteConnection, thread: ThreadId) -> error::Result<i64> {
    let query = sqlx::query_scalar(OWN_VERSION).bind(thread.as_uuid());
    Ok(query.fetch_one(connection).await?)
}

async fn visible_versions(
    connection: &mut SqliteConnection,
    scope: &Scope,
    threads: &[ThreadId],
) -> error::Result<Vec<(ThreadId, i64)>> {
    let rows = versions(threads).build().fetch_all(connection).await?;
    let mut visible = Vec::with_capacity(rows.len());
    for row in &rows {
        if threads::sees(scope, row)? {
            visible.push(read_version(row)?);
        }
    }
    Ok(visible)
}

pub(crate) fn versions(threads: &[ThreadId]) -> QueryBuilder<Sqlite> {
    let mut versions = QueryBuilder::new(
        "select t.id, t.version, t.app_id, t.subscriber_id, a.owner
        from nexo_threads t join nexo_apps a on a.id = t.app_id where t.id in (",
    );
    let mut ids = versions.separated(", ");
    for thread in threads {
        ids.push_bind(thread.as_uuid());
    }
    versions.push(")");
    versions
}

async fn is_there(connection: &mut SqliteConnection, app: AppId) -> error::Result<bool> {
    let query = sqlx::query(APP).bind(app.as_uuid());
    Ok(query.fetch_optional(connection).await?.is_some())
}

async fn newest_of(
    connection: &mut SqliteConnection,
    app: AppId,
    limit: u32,
) -> error::Result<NewestThreads> {
    let mut newest = NewestThreads::new();
    for statement in NEWEST {
        let query = sqlx::query(statement).bind(app.as_uuid()).bind(limit);
        for row in &query.fetch_all(&mut *connection).await? {
            newest.extend([read_version(row)?]);
        }
    }
    Ok(newest)
}

fn read_version(row: &SqliteRow) -> error::Result<(ThreadId, i64)> {
    Ok((row.id("id", ThreadId::from_uuid)?, row.try_get("version")?))
}
