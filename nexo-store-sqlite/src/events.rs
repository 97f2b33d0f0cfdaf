//! Events.

use std::time::Duration;

use async_trait::async_trait;
use nexo_core::{
    AppId, EventStore, FollowRun, FollowedRun, Result, Run, RunId, Said, Scope, Segment,
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    SqliteStore, Tx,
    columns::{Columns, corrupt},
    error, runs,
};

/// The run may have been deleted since this was said.
pub(crate) const INSERT: &str = "
    insert into nexo_events (run_id, attempt, position, app_id, data, created_at)
    select ?1, ?2, ?3, ?4, ?5, ?6 where exists (select 1 from nexo_runs where id = ?1)
    on conflict (run_id, attempt, position) do nothing";

pub(crate) const AFTER: &str = "
    select * from nexo_events where run_id = ?1 and attempt = ?2 and position >= ?3
    order by position limit 1";

/// What was said longer ago than that goes if its run has ended as long ago.
pub(crate) const PRUNE: &str = "
    delete from nexo_events where rowid in (
        select e.rowid
        from nexo_events e join nexo_runs r on r.id = e.run_id
        where e.created_at < ?1 and r.finished_at < ?1
        order by e.created_at limit ?2
    )";

#[async_trait]
impl EventStore for SqliteStore {
    async fn append_segments(&self, segments: &[Segment]) -> Result<()> {
        let segments = segments.to_vec();
        self.write(move |tx| Box::pin(append(tx, segments))).await
    }

    async fn follow_runs(&self, runs: &[FollowRun], max_bytes: u32) -> Result<Vec<FollowedRun>> {
        Ok(follow(self, runs, max_bytes).await?)
    }

    async fn prune_segments(&self, age: Duration, limit: u32) -> Result<u64> {
        self.write(move |tx| Box::pin(prune(tx, age, limit))).await
    }
}

async fn append(tx: Tx<'_>, segments: Vec<Segment>) -> error::Result<()> {
    for segment in &segments {
        sqlx::query(INSERT)
            .bind(segment.run.as_uuid())
            .bind(segment.attempt)
            .bind(segment.position)
            .bind(segment.app.as_uuid())
            .bind(segment.data())
            .bind(tx.now.as_micros())
            .execute(&mut *tx.connection)
            .await?;
    }
    Ok(())
}

async fn follow(
    store: &SqliteStore,
    known: &[FollowRun],
    max_bytes: u32,
) -> error::Result<Vec<FollowedRun>> {
    let mut snapshot = store.snapshot().await?;
    let mut followed = Vec::with_capacity(known.len());
    for known in known {
        let Some(run) = runs::find(&mut snapshot, &Scope::Everything, known.run).await? else {
            continue;
        };
        let segments = segments_after(&mut snapshot, &run, known, max_bytes).await?;
        followed.push(FollowedRun { run, segments });
    }
    followed.sort_unstable_by_key(|followed| followed.run.id);
    Ok(followed)
}

/// What a follower does not know yet, as much of it as may come at once.
async fn segments_after(
    connection: &mut SqliteConnection,
    run: &Run,
    known: &FollowRun,
    max_bytes: u32,
) -> error::Result<Vec<Segment>> {
    if run.state.is_terminal() {
        return Ok(Vec::new());
    }
    let (mut segments, mut bytes) = (Vec::new(), 0);
    let mut from = if known.attempt == run.attempt { known.bytes } else { 0 };
    // One by one: they are few, and nobody knows how long the next one is.
    while let Some(segment) = next_segment(connection, run, from).await? {
        bytes += segment.said.text.len();
        if bytes > usize::try_from(max_bytes).unwrap_or(usize::MAX) && !segments.is_empty() {
            break;
        }
        from = segment.position + 1;
        segments.push(segment);
    }
    Ok(segments)
}

async fn next_segment(
    connection: &mut SqliteConnection,
    run: &Run,
    from: u32,
) -> error::Result<Option<Segment>> {
    let query = sqlx::query(AFTER).bind(run.id.as_uuid()).bind(run.attempt).bind(from);
    query.fetch_optional(connection).await?.as_ref().map(read).transpose()
}

async fn prune(tx: Tx<'_>, age: Duration, limit: u32) -> error::Result<u64> {
    let prune = sqlx::query(PRUNE).bind(tx.now.minus(age).as_micros()).bind(limit);
    Ok(prune.execute(tx.connection).await?.rows_affected())
}

fn read(row: &SqliteRow) -> error::Result<Segment> {
    let said: Said =
        serde_json::from_str(row.try_get("data")?).map_err(|_| corrupt("segment of a run"))?;
    Ok(Segment {
        run: row.id("run_id", RunId::from_uuid)?,
        app: row.id("app_id", AppId::from_uuid)?,
        attempt: row.try_get("attempt")?,
        position: row.try_get("position")?,
        said,
    })
}
