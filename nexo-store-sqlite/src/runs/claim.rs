//! Claims: a server takes the runs that are due, and learns all that their agents have to know.

use nexo_core::{
    App, ClaimRuns, Handlers, Message, Run, RunStart, RunState, Scope, Thread, ThreadId, Timestamp,
};
use sqlx::SqliteConnection;

use super::{holder, queue, rows};
use crate::{
    SqliteStore, Tx, agents, apps,
    error::{self, Problem},
    messages,
    servers::names,
    threads,
};

/// One at a time: what becomes of it may make another due, or take one away.
pub(crate) const DUE: &str = "
    select * from nexo_runs where state = 'queued' and available_at <= ?1
        and (handler is null or handler in (select value from json_each(?2)))
    order by available_at, id limit 1";

/// The index on active runs would refuse a second one; it is looked for before, because then
/// the run has to wait.
pub(crate) const ACTIVE: &str = "
    select 1 from nexo_runs where thread_id = ?1 and state in ('running', 'waiting')";

/// Whether there is anything to claim. Idle servers ask all the time, and must not keep the
/// writer busy; what comes due meanwhile is found the next time.
pub(super) async fn is_any_due(store: &SqliteStore, handlers: &Handlers) -> error::Result<bool> {
    let mut reader = store.reader().await?;
    Ok(next_due(&mut reader, &names(handlers), store.clock.now()).await?.is_some())
}

/// There is one writer, so a run that is read as queued here is claimed by nobody else.
pub(super) async fn claim(mut tx: Tx<'_>, wish: ClaimRuns) -> error::Result<Vec<RunStart>> {
    let (mut begun, now) = (Vec::new(), tx.now);
    let (limit, handlers) =
        (usize::try_from(wish.limit).unwrap_or(usize::MAX), names(&wish.handlers));
    while begun.len() < limit {
        let Some((run, thread)) = next_claimable(&mut tx, &handlers).await? else { break };
        match begin(&mut tx, &wish, run.clone(), thread).await {
            Ok(start) => begun.extend(start),
            Err(Problem::Core(error)) => {
                queue::end(&mut tx, &run.unreadable(&error, now)).await?;
            }
            Err(problem) => return Err(problem),
        }
    }
    Ok(begun)
}

/// The next run that is due and may begin; those before it that may not are seen to, so that
/// they are not found due again.
async fn next_claimable(tx: &mut Tx<'_>, handlers: &str) -> error::Result<Option<(Run, Thread)>> {
    while let Some(run) = next_due(tx.connection, handlers, tx.now).await? {
        let thread = threads::get(tx.connection, &Scope::Everything, run.thread).await?;
        if let Some(stop) = run.withdrawn(&thread) {
            queue::end(tx, &run.stopped(stop, tx.now)).await?;
        } else if is_busy(tx.connection, thread.id).await? {
            rows::keep(tx.connection, &Run { available_at: None, ..run }, tx.now).await?;
        } else {
            return Ok(Some((run, thread)));
        }
    }
    Ok(None)
}

async fn next_due(
    connection: &mut SqliteConnection,
    handlers: &str,
    now: Timestamp,
) -> error::Result<Option<Run>> {
    let query = sqlx::query(DUE).bind(now.as_micros()).bind(handlers);
    query.fetch_optional(connection).await?.as_ref().map(rows::read).transpose()
}

async fn is_busy(connection: &mut SqliteConnection, thread: ThreadId) -> error::Result<bool> {
    let query = sqlx::query(ACTIVE).bind(thread.as_uuid());
    Ok(query.fetch_optional(connection).await?.is_some())
}

/// `None` if the run is left to a server that has what it needs.
async fn begin(
    tx: &mut Tx<'_>,
    wish: &ClaimRuns,
    run: Run,
    thread: Thread,
) -> error::Result<Option<RunStart>> {
    let all = Scope::Everything;
    let app = apps::get(tx.connection, tx.keys, &all, run.app).await?;
    let message = messages::get(tx.connection, &all, run.message).await?;
    let holder = holder(tx, &thread, &app).await?;
    let run = run.claimed(wish, &thread, holder, tx.now);
    let thread = rows::keep(tx.connection, &run, tx.now).await?;
    if run.state == RunState::Queued {
        return Ok(None);
    }
    tell(tx, run, app, thread, message, wish.history).await.map(Some)
}

/// Puts together what the agent of a run that has just begun has to know.
pub(super) async fn tell(
    tx: &mut Tx<'_>,
    run: Run,
    app: App,
    thread: Thread,
    message: Message,
    history: u32,
) -> error::Result<RunStart> {
    let agent = agents::get(tx.connection, tx.keys, app.id, run.agent).await?;
    let history = messages::newest(tx.connection, thread.id, history).await?;
    let time_left = run.time_left(tx.now);
    Ok(RunStart { run, app, agent, thread, message, history, time_left })
}
