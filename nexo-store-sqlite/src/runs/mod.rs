//! Runs: started and finished in one transaction each.

mod orphans;

use std::time::Duration;

use async_trait::async_trait;
use nexo_core::{
    AgentId, AppId, Error, Failure, FailureKind, FinishRun, Holder, Message, MessageId,
    MessageRange, Result, Role, Run, RunId, RunStart, RunState, RunStore, Scope, ServerId,
    StartRun, StartedRun, SubscriberId, ThreadId, Timestamp,
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    SqliteStore, Tx, agents, apps,
    columns::Columns,
    error,
    messages::{self, Utterance},
    threads,
};

/// The index on active runs would refuse a second one; it is looked for before, because
/// whoever asks wants to know it.
pub(crate) const ACTIVE: &str = "
    select * from nexo_runs where thread_id = ?1 and state in ('running', 'waiting')";

const INSERT: &str = "
    insert into nexo_runs (id, app_id, thread_id, agent_id, message_id, message_seq, state,
        attempt, fence, epoch, server_id, version, created_at, started_at, deadline_at)
    values (?1, ?2, ?3, ?4, ?5, ?6, 'running', 1, 1, ?7, ?8, ?9, ?10, ?10, ?11)
    returning *";

/// Whoever was overtaken finds no row here: the fence guards against another server, the
/// epoch against another holder of the thread.
pub(crate) const FINISHABLE: &str = "
    select r.* from nexo_runs r
    join nexo_threads t on t.id = r.thread_id and t.epoch = r.epoch
    where r.id = ?1 and r.fence = ?2 and r.state = 'running'";

const FINISH: &str = "
    update nexo_runs
    set state = ?2, reply_id = ?3, failure_key = ?4, failure_detail = ?5, first_delta_at = ?6,
        finished_at = max(created_at, ?7), version = ?8
    where id = ?1";

const GET: &str = "
    select r.*, a.owner, t.subscriber_id
    from nexo_runs r
    join nexo_threads t on t.id = r.thread_id
    join nexo_apps a on a.id = r.app_id
    where r.id = ?1";

#[async_trait]
impl RunStore for SqliteStore {
    async fn start_run(&self, scope: &Scope, start: StartRun) -> Result<StartedRun> {
        let scope = scope.clone();
        self.write(move |tx| Box::pin(begin(tx, scope, start))).await
    }

    async fn finish_run(&self, finish: FinishRun) -> Result<Option<Message>> {
        self.write(move |tx| Box::pin(end(tx, finish))).await
    }

    async fn get_run(&self, scope: &Scope, run: RunId) -> Result<Run> {
        let mut reader = self.reader().await?;
        Ok(find(&mut reader, scope, run).await?.ok_or(Error::RunNotFound)?)
    }

    async fn interrupt_orphans(
        &self,
        server: ServerId,
        carried: &[RunId],
        silence: Duration,
    ) -> Result<Vec<RunId>> {
        let carried = carried.to_vec();
        self.write(move |tx| Box::pin(orphans::interrupt(tx, server, carried, silence))).await
    }
}

/// Finds a run through a scope.
pub(crate) async fn find(
    connection: &mut SqliteConnection,
    scope: &Scope,
    run: RunId,
) -> error::Result<Option<Run>> {
    let row = sqlx::query(GET).bind(run.as_uuid()).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let run = read(&row)?;
    let subscriber = row.id_if_any("subscriber_id", SubscriberId::from_uuid)?;
    let visible = apps::sees(scope, run.app, &row)? && scope.sees_subscriber(subscriber);
    Ok(visible.then_some(run))
}

async fn begin(tx: Tx<'_>, scope: Scope, start: StartRun) -> error::Result<StartedRun> {
    let thread = threads::get_in(tx.connection, &scope, start.app, start.thread).await?;
    if matches!(thread.holder, Holder::Human(_)) {
        return Err(Error::ThreadHeld(thread.id).into());
    }
    if let Some(active) = active(tx.connection, thread.id).await? {
        return Ok(StartedRun::Active(Box::new(active)));
    }
    let message = messages::newest_of_user(tx.connection, thread.id).await?;
    let message = message.ok_or(Error::NoUserMessages(thread.id))?;
    let app = apps::get(tx.connection, tx.keys, &scope, start.app).await?;
    let agent = match thread.holder {
        Holder::Agent(agent) => agent,
        Holder::Default | Holder::Human(_) => app.default_agent,
    };
    let agent = agents::get(tx.connection, tx.keys, app.id, agent).await?;
    let thread = threads::touch(tx.connection, thread.id).await?;
    let run = insert(tx.connection, &start, &message, agent.id, &thread, tx.now).await?;
    let newest = MessageRange::Newest { before: None };
    let history = messages::list(tx.connection, thread.id, newest, start.history).await?;
    Ok(StartedRun::Started(Box::new(RunStart { run, app, agent, thread, message, history })))
}

async fn active(connection: &mut SqliteConnection, thread: ThreadId) -> error::Result<Option<Run>> {
    let query = sqlx::query(ACTIVE).bind(thread.as_uuid());
    query.fetch_optional(connection).await?.as_ref().map(read).transpose()
}

async fn insert(
    connection: &mut SqliteConnection,
    start: &StartRun,
    message: &Message,
    agent: AgentId,
    thread: &nexo_core::Thread,
    now: Timestamp,
) -> error::Result<Run> {
    let row = sqlx::query(INSERT)
        .bind(start.run.as_uuid())
        .bind(start.app.as_uuid())
        .bind(start.thread.as_uuid())
        .bind(agent.as_uuid())
        .bind(message.id.as_uuid())
        .bind(message.seq)
        .bind(thread.epoch)
        .bind(start.server.as_uuid())
        .bind(thread.version)
        .bind(now.as_micros())
        .bind(now.plus(start.deadline).as_micros())
        .fetch_one(connection)
        .await?;
    read(&row)
}

async fn end(tx: Tx<'_>, finish: FinishRun) -> error::Result<Option<Message>> {
    let query = sqlx::query(FINISHABLE).bind(finish.run.as_uuid()).bind(finish.fence);
    let row = query.fetch_optional(&mut *tx.connection).await?.ok_or(Error::Fenced)?;
    let run = read(&row)?;
    let reply = match &finish.reply {
        Some(reply) => {
            let said = Utterance {
                role: Role::Assistant,
                content: Some(&reply.content),
                content_json: &reply.content_json,
                run: Some(run.id),
            };
            Some(messages::say(tx.connection, run.thread, said, tx.now).await?)
        }
        None => None,
    };
    let ended = Run {
        state: finish.state,
        reply: reply.as_ref().map(|message| message.id),
        failure: finish.failure,
        first_delta_at: finish.first_delta_at,
        ..run
    };
    store_end(tx.connection, &ended, tx.now).await?;
    Ok(reply)
}

/// Writes how a run ended, and lets the thread's readers see it.
async fn store_end(
    connection: &mut SqliteConnection,
    run: &Run,
    now: Timestamp,
) -> error::Result<()> {
    let thread = threads::touch(connection, run.thread).await?;
    sqlx::query(FINISH)
        .bind(run.id.as_uuid())
        .bind(run.state.as_str())
        .bind(run.reply.map(|reply| reply.as_uuid()))
        .bind(run.failure.as_ref().map(|failure| failure.kind.key()))
        .bind(run.failure.as_ref().map(|failure| failure.detail.as_str()))
        .bind(run.first_delta_at.map(Timestamp::as_micros))
        .bind(now.as_micros())
        .bind(thread.version)
        .execute(connection)
        .await?;
    Ok(())
}

fn read_failure(row: &SqliteRow) -> error::Result<Option<Failure>> {
    let Some(key) = row.try_get::<Option<&str>, _>("failure_key")? else { return Ok(None) };
    let detail: Option<String> = row.try_get("failure_detail")?;
    Ok(Some(Failure::new(FailureKind::from_stored(key), detail.unwrap_or_default())))
}

fn read(row: &SqliteRow) -> error::Result<Run> {
    Ok(Run {
        id: row.id("id", RunId::from_uuid)?,
        app: row.id("app_id", AppId::from_uuid)?,
        thread: row.id("thread_id", ThreadId::from_uuid)?,
        agent: row.id("agent_id", AgentId::from_uuid)?,
        message: row.id("message_id", MessageId::from_uuid)?,
        message_seq: row.try_get("message_seq")?,
        state: row.name("state", RunState::find)?,
        attempt: row.try_get("attempt")?,
        fence: row.try_get("fence")?,
        epoch: row.try_get("epoch")?,
        server: row.id_if_any("server_id", ServerId::from_uuid)?,
        reply: row.id_if_any("reply_id", MessageId::from_uuid)?,
        failure: read_failure(row)?,
        created_at: row.instant("created_at")?,
        first_delta_at: row.instant_if_any("first_delta_at")?,
        finished_at: row.instant_if_any("finished_at")?,
        deadline_at: row.instant("deadline_at")?,
    })
}

/// What no method of the store brings about yet is brought about by hand.
#[cfg(test)]
mod tests {
    use nexo_core::{
        AppStore, JsonObject, MessageStore, NewApp, NewMessage, NewThread, Reply, ThreadStore,
    };
    use tempfile::TempDir;

    use super::*;
    use crate::testing::{execute, fresh_store};

    const EVERYTHING: Scope = Scope::Everything;

    async fn asked() -> (SqliteStore, StartRun, TempDir) {
        let (store, directory) = fresh_store().await;
        let app = store.create_app(NewApp::new("o".parse().unwrap(), "app")).await.unwrap().id;
        let new = NewThread::default();
        let thread = store.create_thread(&EVERYTHING, app, new).await.unwrap().0.id;
        let hello = NewMessage::new(Role::User, "hello");
        store.append_message(&EVERYTHING, app, thread, hello).await.unwrap();
        let (run, server) = (RunId::new(), ServerId::new());
        let deadline = Duration::from_secs(60);
        (store, StartRun { run, app, thread, server, history: 10, deadline }, directory)
    }

    #[tokio::test]
    async fn a_thread_that_a_person_holds_starts_no_run() {
        let (store, start, _directory) = asked().await;
        execute(&store, "update nexo_threads set holder_human = 'someone'").await;

        let refused = store.start_run(&EVERYTHING, start).await;

        assert!(matches!(refused, Err(Error::ThreadHeld(_))));
    }

    #[tokio::test]
    async fn a_failure_that_only_a_newer_server_knows_leaves_the_run_readable() {
        let (store, start, _directory) = asked().await;
        let run = start.run;
        store.start_run(&EVERYTHING, start).await.unwrap();
        let ended = "update nexo_runs set state = 'failed', failure_key = 'FROM_THE_FUTURE'";
        execute(&store, ended).await;

        let run = store.get_run(&EVERYTHING, run).await.unwrap();

        assert_eq!(run.failure.unwrap().kind, FailureKind::Internal);
    }

    #[tokio::test]
    async fn a_reply_is_not_spoken_after_the_thread_changed_hands() {
        let (store, start, _directory) = asked().await;
        let (app, thread, run) = (start.app, start.thread, start.run);
        store.start_run(&EVERYTHING, start).await.unwrap();
        execute(&store, "update nexo_threads set epoch = epoch + 1").await;

        let refused = store.finish_run(FinishRun {
            run,
            fence: 1,
            state: RunState::Completed,
            reply: Some(Reply { content: "late".into(), content_json: JsonObject::empty() }),
            failure: None,
            first_delta_at: None,
        });

        assert!(matches!(refused.await, Err(Error::Fenced)));
        let all = MessageRange::After(0);
        let said = store.list_messages(&EVERYTHING, app, thread, all, 10).await.unwrap();
        assert_eq!(said.len(), 1);
        assert_eq!(store.get_run(&EVERYTHING, run).await.unwrap().state, RunState::Running);
    }
}
