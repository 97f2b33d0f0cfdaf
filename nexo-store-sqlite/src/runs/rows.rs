//! Rows of runs: written whole, so that what the core made of a run is what is stored.

use nexo_core::{
    AgentId, AppId, Failure, FailureKind, MessageId, Run, RunId, RunState, ServerId, Stop, Thread,
    ThreadId, Timestamp,
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    columns::{Columns, corrupt},
    error, threads,
};

/// Each half has an index without the runs that have ended, of which a thread may have many.
pub(crate) const STANDING: &str = "
    select * from nexo_runs where thread_id = ?1 and state in ('running', 'waiting')
    union all
    select * from nexo_runs where thread_id = ?1 and state = 'queued'";

const INSERT: &str = "
    insert into nexo_runs (id, agent_id, message_id, message_seq, state, attempt, handbacks,
        fence, epoch, server_id, stop, reply_id, failure_key, failure_detail, available_at,
        first_delta_at, finished_at, deadline_at, started_at, version, handler, app_id, thread_id,
        created_at)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
        ?20, ?21, ?22, ?23, ?24)";

/// What never changes is not set again: its indexes would be written for nothing. An attempt
/// begins with its fence.
const UPDATE: &str = "
    update nexo_runs
    set agent_id = ?2, message_id = ?3, message_seq = ?4, state = ?5, attempt = ?6,
        handbacks = ?7, fence = ?8, epoch = ?9, server_id = ?10, stop = ?11, reply_id = ?12,
        failure_key = ?13, failure_detail = ?14, available_at = ?15, first_delta_at = ?16,
        finished_at = ?17, deadline_at = ?18,
        started_at = case fence when ?8 then started_at else coalesce(?19, started_at) end,
        version = ?20, handler = ?21
    where id = ?1";

/// The runs of a thread that have not ended, the oldest first.
pub(super) async fn standing(
    connection: &mut SqliteConnection,
    thread: ThreadId,
) -> error::Result<Vec<Run>> {
    let rows = sqlx::query(STANDING).bind(thread.as_uuid()).fetch_all(connection).await?;
    let mut runs = rows.iter().map(read).collect::<error::Result<Vec<_>>>()?;
    runs.sort_unstable_by_key(|run| run.id);
    Ok(runs)
}

/// Stores a new run.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    run: &Run,
    now: Timestamp,
) -> error::Result<Thread> {
    write(connection, INSERT, run, now).await
}

/// Stores what became of a run that is there.
pub(super) async fn keep(
    connection: &mut SqliteConnection,
    run: &Run,
    now: Timestamp,
) -> error::Result<Thread> {
    write(connection, UPDATE, run, now).await
}

/// Writes a run, and gives its thread, whose readers see that something changed.
async fn write(
    connection: &mut SqliteConnection,
    statement: &'static str,
    run: &Run,
    now: Timestamp,
) -> error::Result<Thread> {
    let thread = threads::touch(connection, run.thread).await?;
    sqlx::query(statement)
        .bind(run.id.as_uuid())
        .bind(run.agent.as_uuid())
        .bind(run.message.as_uuid())
        .bind(run.message_seq)
        .bind(run.state.as_str())
        .bind(run.attempt)
        .bind(run.handbacks)
        .bind(run.fence)
        .bind(run.epoch)
        .bind(run.server.map(|server| server.as_uuid()))
        .bind(run.stop.map(Stop::as_str))
        .bind(run.reply.map(|reply| reply.as_uuid()))
        .bind(run.failure.as_ref().map(|failure| failure.kind.key()))
        .bind(run.failure.as_ref().map(|failure| failure.detail.as_str()))
        .bind(run.available_at.map(Timestamp::as_micros))
        .bind(run.first_delta_at.map(Timestamp::as_micros))
        .bind(run.finished_at.map(Timestamp::as_micros))
        .bind(run.deadline_at.as_micros())
        .bind((run.state == RunState::Running).then(|| now.as_micros()))
        .bind(thread.version)
        .bind(run.handler.as_deref())
        .bind(run.app.as_uuid())
        .bind(run.thread.as_uuid())
        .bind(run.created_at.as_micros())
        .execute(connection)
        .await?;
    Ok(thread)
}

pub(crate) fn read_failure(row: &SqliteRow) -> error::Result<Option<Failure>> {
    let Some(key) = row.try_get::<Option<&str>, _>("failure_key")? else { return Ok(None) };
    let detail: Option<String> = row.try_get("failure_detail")?;
    Ok(Some(Failure::new(FailureKind::from_stored(key), detail.unwrap_or_default())))
}

fn read_stop(row: &SqliteRow) -> error::Result<Option<Stop>> {
    let Some(name) = row.try_get::<Option<&str>, _>("stop")? else { return Ok(None) };
    Ok(Some(Stop::find(name).ok_or_else(|| corrupt("stop"))?))
}

pub(crate) fn read(row: &SqliteRow) -> error::Result<Run> {
    Ok(Run {
        id: row.id("id", RunId::from_uuid)?,
        app: row.id("app_id", AppId::from_uuid)?,
        thread: row.id("thread_id", ThreadId::from_uuid)?,
        agent: row.id("agent_id", AgentId::from_uuid)?,
        handler: row.try_get("handler")?,
        message: row.id("message_id", MessageId::from_uuid)?,
        message_seq: row.try_get("message_seq")?,
        state: row.name("state", RunState::find)?,
        attempt: row.try_get("attempt")?,
        handbacks: row.try_get("handbacks")?,
        fence: row.try_get("fence")?,
        epoch: row.try_get("epoch")?,
        server: row.id_if_any("server_id", ServerId::from_uuid)?,
        stop: read_stop(row)?,
        reply: row.id_if_any("reply_id", MessageId::from_uuid)?,
        failure: read_failure(row)?,
        available_at: row.instant_if_any("available_at")?,
        created_at: row.instant("created_at")?,
        first_delta_at: row.instant_if_any("first_delta_at")?,
        finished_at: row.instant_if_any("finished_at")?,
        deadline_at: row.instant("deadline_at")?,
    })
}
