//! Replays.

use async_trait::async_trait;
use nexo_core::{
    AgentId, AppId, Cursor, CursorPage, Error, Replay, ReplayId, ReplayPosition, ReplayStore,
    Reply, Result, RunId, Scope, SubscriberId, position,
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{SqliteStore, Tx, apps, columns::Columns, error, runs};

/// The run may have been deleted meanwhile.
pub(crate) const INSERT: &str = "
    insert into nexo_replays (id, app_id, run_id, agent_id, content, content_json, failure_key,
        failure_detail, created_at, first_delta_at, finished_at)
    select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
    where exists (select 1 from nexo_runs where id = ?3)";

pub(crate) const GET: &str = "
    select p.*, a.owner, t.subscriber_id
    from nexo_replays p
    join nexo_runs r on r.id = p.run_id
    join nexo_threads t on t.id = r.thread_id
    join nexo_apps a on a.id = p.app_id
    where p.id = ?1 and p.app_id = ?2";

pub(crate) const LIST: &str =
    "select * from nexo_replays where run_id = ?1 and id < ?2 order by id desc limit ?3";

#[async_trait]
impl ReplayStore for SqliteStore {
    async fn record_replay(&self, replay: Replay) -> Result<()> {
        self.write(move |tx| Box::pin(record(tx, replay))).await
    }

    async fn get_replay(&self, scope: &Scope, app: AppId, replay: ReplayId) -> Result<Replay> {
        let mut reader = self.reader().await?;
        Ok(find(&mut reader, scope, app, replay).await?.ok_or(Error::ReplayNotFound)?)
    }

    async fn list_replays(
        &self,
        scope: &Scope,
        app: AppId,
        run: RunId,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<Replay>> {
        let after: Option<ReplayPosition> = position(cursor)?;
        let mut snapshot = self.snapshot().await?;
        let found = runs::find(&mut snapshot, scope, run).await?;
        found.filter(|found| found.app == app).ok_or(Error::RunNotFound)?;
        let replays = list(&mut snapshot, run, after, limit).await?;
        Ok(CursorPage::from_rows(replays, limit, |last| ReplayPosition::from(last)))
    }
}

async fn record(tx: Tx<'_>, replay: Replay) -> error::Result<()> {
    let (reply, failure) = (replay.reply.as_ref(), replay.failure.as_ref());
    sqlx::query(INSERT)
        .bind(replay.id.as_uuid())
        .bind(replay.app.as_uuid())
        .bind(replay.run.as_uuid())
        .bind(replay.agent.as_uuid())
        .bind(reply.map(|reply| reply.content.as_str()))
        .bind(reply.map(|reply| reply.content_json.as_str()))
        .bind(failure.map(|failure| failure.kind.key()))
        .bind(failure.map(|failure| failure.detail.as_str()))
        .bind(replay.created_at.as_micros())
        .bind(replay.first_delta_at.map(|at| at.as_micros()))
        .bind(replay.finished_at.as_micros())
        .execute(tx.connection)
        .await?;
    Ok(())
}

async fn find(
    connection: &mut SqliteConnection,
    scope: &Scope,
    app: AppId,
    replay: ReplayId,
) -> error::Result<Option<Replay>> {
    let query = sqlx::query(GET).bind(replay.as_uuid()).bind(app.as_uuid());
    let Some(row) = query.fetch_optional(connection).await? else { return Ok(None) };
    let subscriber = row.id_if_any("subscriber_id", SubscriberId::from_uuid)?;
    let visible = apps::sees(scope, app, &row)? && scope.sees_subscriber(subscriber);
    visible.then(|| read(&row)).transpose()
}

async fn list(
    connection: &mut SqliteConnection,
    run: RunId,
    after: Option<ReplayPosition>,
    limit: u32,
) -> error::Result<Vec<Replay>> {
    let rows = sqlx::query(LIST)
        .bind(run.as_uuid())
        .bind(after.map_or(Uuid::max(), |after| after.id.as_uuid()))
        .bind(i64::from(limit) + 1)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> error::Result<Replay> {
    Ok(Replay {
        id: row.id("id", ReplayId::from_uuid)?,
        app: row.id("app_id", AppId::from_uuid)?,
        run: row.id("run_id", RunId::from_uuid)?,
        agent: row.id("agent_id", AgentId::from_uuid)?,
        reply: read_reply(row)?,
        failure: runs::read_failure(row)?,
        created_at: row.instant("created_at")?,
        first_delta_at: row.instant_if_any("first_delta_at")?,
        finished_at: row.instant("finished_at")?,
    })
}

fn read_reply(row: &SqliteRow) -> error::Result<Option<Reply>> {
    let Some(content) = row.try_get("content")? else { return Ok(None) };
    Ok(Some(Reply { content, content_json: row.object("content_json")? }))
}
