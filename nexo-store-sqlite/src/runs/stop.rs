//! Stops: a run that somebody wants to end is ended here, or by the server that carries it.

use nexo_core::{AppId, Error, Run, RunId, RunState, Scope, ServerId, Stop};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{find, queue, rows};
use crate::{Tx, columns::Columns, error};

/// Servers ask all the time, so this is read from an index of its own.
pub(crate) const TOLD: &str = "
    select id, stop from nexo_runs
    where server_id = ?1 and state = 'running' and stop is not null";

pub(super) async fn stop(
    mut tx: Tx<'_>,
    scope: Scope,
    app: AppId,
    run: RunId,
    stop: Stop,
) -> error::Result<Run> {
    let found = find(tx.connection, &scope, run).await?.filter(|found| found.app == app);
    let run = found.ok_or(Error::RunNotFound)?;
    match run.state {
        state if state.is_terminal() => Err(Error::RunEnded(run.id).into()),
        RunState::Running => mark(&mut tx, run, stop).await,
        _ => {
            let ended = run.stopped(stop, tx.now);
            queue::end(&mut tx, &ended).await?;
            Ok(ended)
        }
    }
}

/// Marks a run, for its server to see, or for a sweep if none carries it. The first reason
/// stands.
pub(super) async fn mark(tx: &mut Tx<'_>, run: Run, stop: Stop) -> error::Result<Run> {
    let marked = Run { stop: run.stop.or(Some(stop)), ..run };
    rows::keep(tx.connection, &marked, tx.now).await?;
    Ok(marked)
}

/// The running runs of a server that have to stop.
pub(super) async fn told(
    connection: &mut SqliteConnection,
    server: ServerId,
) -> error::Result<Vec<(RunId, Stop)>> {
    let read =
        |row: &SqliteRow| Ok((row.id("id", RunId::from_uuid)?, row.name("stop", Stop::find)?));
    let rows = sqlx::query(TOLD).bind(server.as_uuid()).fetch_all(connection).await?;
    rows.iter().map(read).collect()
}
