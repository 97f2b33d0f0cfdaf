//! Replays.

use async_trait::async_trait;
use nexo_core::{
    AgentId, AppId, Cursor, CursorPage, Error, JsonObject, Replay, ReplayId, ReplayPosition,
    ReplayStore, Reply, Result, RunId, Scope, position, storable,
};
use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    PostgresStore, SqlQuery,
    error::{at_commit, is_orphan},
    row::Columns,
    runs::read_failure,
    scoped,
};

const RECORD: &str = "
    insert into nexo_replays (id, app_id, run_id, agent_id, content, content_json, failure_key,
        failure_detail, created_at, first_delta_at, finished_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/// What read_replay() reads, in its order.
macro_rules! replay_columns {
    ($table:literal) => {
        columns!(
            $table: "id", "app_id", "run_id", "agent_id", "content", "content_json", "failure_key",
            "failure_detail", "created_at", "first_delta_at", "finished_at"
        )
    };
}

/// A run of the app in `$4`, as far as it lies in the scope.
macro_rules! of_visible_run {
    () => {
        concat!(
            "from nexo_runs r
            join nexo_threads t on t.id = r.thread_id
            join nexo_apps a on a.id = t.app_id and a.id = $4 and ",
            sees_app!("a"),
            " and ",
            sees_subscriber!("t.subscriber_id")
        )
    };
}

const GET: &str = concat!(
    "select ",
    replay_columns!("p"),
    " ",
    of_visible_run!(),
    " join nexo_replays p on p.run_id = r.id where p.id = $5"
);

const LIST: &str = concat!(
    "select ",
    replay_columns!("p"),
    " ",
    of_visible_run!(),
    " left join lateral (
        select p.* from nexo_replays p where p.run_id = r.id and p.id < $6
        order by p.id desc limit $7
    ) p on true
    where r.id = $5 order by p.id desc"
);

#[async_trait]
impl ReplayStore for PostgresStore {
    async fn record_replay(&self, replay: Replay) -> Result<()> {
        let mut connection = self.connection().await?;
        match connection.answer(|it| record_query(&replay).execute(it)).await {
            Ok(_) => Ok(()),
            // Its run is gone: nothing is left that it could belong to.
            Err(error) if is_orphan(&error) => Ok(()),
            Err(error) => Err(at_commit(error)),
        }
    }

    async fn get_replay(&self, scope: &Scope, app: AppId, replay: ReplayId) -> Result<Replay> {
        let query = scoped(GET, scope).bind(app.as_uuid()).bind(replay.as_uuid());
        let row = self.read_optional(query).await?.ok_or(Error::ReplayNotFound)?;
        read_replay(&mut Columns::of(&row))
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
        let query = scoped(LIST, scope)
            .bind(app.as_uuid())
            .bind(run.as_uuid())
            .bind(after.map_or(Uuid::max(), |after| after.id.as_uuid()))
            .bind(i64::from(limit) + 1);
        let rows = self.read_all(query).await?;
        if rows.is_empty() {
            return Err(Error::RunNotFound);
        }
        let mut replays = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut columns = Columns::of(row);
            if !columns.is_absent()? {
                replays.push(read_replay(&mut columns)?);
            }
        }
        Ok(CursorPage::from_rows(replays, limit, |last| ReplayPosition::from(last)))
    }
}

fn record_query(replay: &Replay) -> SqlQuery<'_> {
    let (reply, failure) = (replay.reply.as_ref(), replay.failure.as_ref());
    sqlx::query(RECORD)
        .bind(replay.id.as_uuid())
        .bind(replay.app.as_uuid())
        .bind(replay.run.as_uuid())
        .bind(replay.agent.as_uuid())
        .bind(reply.map(|reply| storable(&reply.content)))
        .bind(reply.map(|reply| Json(&reply.content_json)))
        .bind(failure.map(|failure| failure.kind.key()))
        .bind(failure.map(|failure| storable(&failure.detail)))
        .bind(replay.created_at.as_datetime())
        .bind(replay.first_delta_at.map(|at| at.as_datetime()))
        .bind(replay.finished_at.as_datetime())
}

fn read_replay(columns: &mut Columns<'_>) -> Result<Replay> {
    Ok(Replay {
        id: ReplayId::from_uuid(columns.take()?),
        app: AppId::from_uuid(columns.take()?),
        run: RunId::from_uuid(columns.take()?),
        agent: AgentId::from_uuid(columns.take()?),
        reply: read_reply(columns.take()?, columns.take()?),
        failure: read_failure(columns.take()?, columns.take()?),
        created_at: columns.time()?,
        first_delta_at: columns.optional_time()?,
        finished_at: columns.time()?,
    })
}

fn read_reply(content: Option<String>, content_json: Option<Json<JsonObject>>) -> Option<Reply> {
    let Json(content_json) = content_json?;
    Some(Reply { content: content?, content_json })
}
