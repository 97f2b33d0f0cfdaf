//! The ways in which a run leaves its server: finished, handed back, or parked.

use std::time::Duration;

use nexo_core::{Error, FinishRun, FinishedRun, Message, Reply, Role, Run, RunId, RunState};
use sqlx::SqliteConnection;

use super::{queue, rows};
use crate::{
    Tx, error,
    messages::{self, Utterance},
};

/// Whoever was overtaken finds no row here: the fence guards against another server, the
/// epoch against another holder of the thread.
pub(crate) const HELD: &str = "
    select r.* from nexo_runs r
    join nexo_threads t on t.id = r.thread_id and t.epoch = r.epoch
    where r.id = ?1 and r.fence = ?2 and r.state in ('running', 'waiting')";

/// A server that shuts down gives back what it carries, whoever holds the thread by now.
pub(crate) const RUNNING: &str = "
    select * from nexo_runs where id = ?1 and fence = ?2 and state = 'running'";

pub(super) async fn finish(mut tx: Tx<'_>, finish: FinishRun) -> error::Result<FinishedRun> {
    let run = get(tx.connection, HELD, finish.run, finish.fence).await?;
    let reply = match &finish.reply {
        Some(reply) => Some(speak(&mut tx, &run, reply).await?),
        None => None,
    };
    let ended = Run {
        state: finish.state,
        reply: reply.as_ref().map(|message| message.id),
        failure: finish.failure,
        first_delta_at: finish.first_delta_at,
        finished_at: Some(tx.now.max(run.created_at)),
        ..run
    };
    let released = queue::end(&mut tx, &ended).await?.is_some();
    Ok(FinishedRun { reply, released })
}

pub(super) async fn hand_back(tx: Tx<'_>, run: RunId, fence: i64) -> error::Result<()> {
    let run = get(tx.connection, RUNNING, run, fence).await?;
    let handbacks = run.handbacks + 1;
    let run = Run { handbacks, ..run.requeued(tx.now) };
    rows::keep(tx.connection, &run, tx.now).await?;
    Ok(())
}

pub(super) async fn park(
    tx: Tx<'_>,
    run: RunId,
    fence: i64,
    patience: Duration,
) -> error::Result<()> {
    let run = get(tx.connection, HELD, run, fence).await?;
    if run.state != RunState::Running {
        return Err(Error::Fenced.into());
    }
    let deadline_at = tx.now.plus(patience);
    let run = Run { state: RunState::Waiting, server: None, deadline_at, ..run };
    rows::keep(tx.connection, &run, tx.now).await?;
    Ok(())
}

async fn get(
    connection: &mut SqliteConnection,
    statement: &'static str,
    run: RunId,
    fence: i64,
) -> error::Result<Run> {
    let query = sqlx::query(statement).bind(run.as_uuid()).bind(fence);
    rows::read(&query.fetch_optional(connection).await?.ok_or(Error::Fenced)?)
}

async fn speak(tx: &mut Tx<'_>, run: &Run, reply: &Reply) -> error::Result<Message> {
    let said = Utterance {
        role: Role::Assistant,
        content: Some(&reply.content),
        content_json: &reply.content_json,
        run: Some(run.id),
    };
    messages::say(tx.connection, run.thread, said, tx.now).await
}
