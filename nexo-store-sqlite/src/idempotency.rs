//! Idempotency keys. There is one writer, so nobody is ever told that a request is in progress.

use std::time::Duration;

use async_trait::async_trait;
use nexo_core::{
    AppId, Error, IdempotencyStore, KeyedRequest, Made, Message, NewMessage, NewThread, Once,
    Result, Scope, StartRun, StartedRun, Thread, ThreadId,
};
use sqlx::{Row, SqliteConnection};

use crate::{
    SqliteStore, Tx, apps,
    columns::corrupt,
    error::{self, Problem},
    messages, runs, threads,
};

pub(crate) const FIND: &str = "
    select route, body_sha256, made from nexo_idempotency
    where app_id = ?1 and key = ?2 and created_at > ?3";

/// The key may be there, and be forgotten.
const REMEMBER: &str = "
    insert or replace into nexo_idempotency (app_id, key, route, body_sha256, made, created_at)
    values (?1, ?2, ?3, ?4, ?5, ?6)";

pub(crate) const PRUNE: &str = "
    delete from nexo_idempotency where rowid in (
        select rowid from nexo_idempotency where created_at <= ?1 order by created_at limit ?2
    )";

#[async_trait]
impl IdempotencyStore for SqliteStore {
    async fn create_thread_once(
        &self,
        scope: &Scope,
        app: AppId,
        thread: NewThread,
        request: KeyedRequest,
    ) -> Result<Once<(Thread, Option<Message>)>> {
        let scope = scope.clone();
        self.write(move |tx| Box::pin(create_thread(tx, scope, app, thread, request))).await
    }

    async fn append_message_once(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        message: NewMessage,
        request: KeyedRequest,
    ) -> Result<Once<Message>> {
        let scope = scope.clone();
        self.write(move |tx| Box::pin(append(tx, scope, app, thread, message, request))).await
    }

    async fn start_run_once(
        &self,
        scope: &Scope,
        start: StartRun,
        request: KeyedRequest,
    ) -> Result<Once<StartedRun>> {
        let scope = scope.clone();
        self.write(move |tx| Box::pin(start_run(tx, scope, start, request))).await
    }

    async fn ask_once(
        &self,
        scope: &Scope,
        message: NewMessage,
        start: StartRun,
        request: KeyedRequest,
    ) -> Result<Once<(Message, StartedRun)>> {
        let scope = scope.clone();
        self.write(move |tx| Box::pin(ask(tx, scope, message, start, request))).await
    }

    async fn prune_idempotency_keys(&self, age: Duration, limit: u32) -> Result<u64> {
        self.write(move |tx| Box::pin(prune(tx, age, limit))).await
    }
}

async fn create_thread(
    mut tx: Tx<'_>,
    scope: Scope,
    app: AppId,
    new: NewThread,
    request: KeyedRequest,
) -> error::Result<Once<(Thread, Option<Message>)>> {
    if let Some(made) = made_before(&mut tx, &scope, app, &request).await? {
        let thread = threads::get(tx.connection, &scope, made.thread()?).await?;
        let greeting = match made.message {
            Some(_) => Some(message_again(tx.connection, &scope, thread.id, &made).await?),
            None => None,
        };
        return Ok(Once::again((thread, greeting)));
    }
    let made = threads::create(tx.part(), scope, app, new).await?;
    remember(tx, app, &request, made).await
}

async fn append(
    mut tx: Tx<'_>,
    scope: Scope,
    app: AppId,
    thread: ThreadId,
    message: NewMessage,
    request: KeyedRequest,
) -> error::Result<Once<Message>> {
    if let Some(made) = made_before(&mut tx, &scope, app, &request).await? {
        return message_again(tx.connection, &scope, thread, &made).await.map(Once::again);
    }
    let made = messages::append(tx.part(), scope, app, thread, message).await?;
    remember(tx, app, &request, made).await
}

async fn start_run(
    mut tx: Tx<'_>,
    scope: Scope,
    wish: StartRun,
    request: KeyedRequest,
) -> error::Result<Once<StartedRun>> {
    let (app, thread) = (wish.app, wish.thread);
    if let Some(made) = made_before(&mut tx, &scope, app, &request).await? {
        return run_again(tx.connection, &scope, thread, &made).await.map(Once::again);
    }
    let made = runs::start(tx.part(), scope, wish).await?;
    remember(tx, app, &request, made).await
}

async fn ask(
    mut tx: Tx<'_>,
    scope: Scope,
    message: NewMessage,
    wish: StartRun,
    request: KeyedRequest,
) -> error::Result<Once<(Message, StartedRun)>> {
    let (app, thread) = (wish.app, wish.thread);
    if let Some(made) = made_before(&mut tx, &scope, app, &request).await? {
        let said = message_again(tx.connection, &scope, thread, &made).await?;
        let run = run_again(tx.connection, &scope, thread, &made).await?;
        return Ok(Once::again((said, run)));
    }
    let made = runs::ask(tx.part(), scope, message, wish).await?;
    remember(tx, app, &request, made).await
}

/// What the request made before, if it was made and is not forgotten.
async fn made_before(
    tx: &mut Tx<'_>,
    scope: &Scope,
    app: AppId,
    request: &KeyedRequest,
) -> error::Result<Option<Made>> {
    apps::require(tx.connection, scope, app).await?;
    let query = sqlx::query(FIND)
        .bind(app.as_uuid())
        .bind(request.key.as_str())
        .bind(tx.now.minus(request.lifetime).as_micros());
    let Some(row) = query.fetch_optional(&mut *tx.connection).await? else { return Ok(None) };
    request.repeats(row.try_get("route")?, row.try_get("body_sha256")?)?;
    let made = serde_json::from_str(row.try_get("made")?);
    made.map(Some).map_err(|_| corrupt("what an idempotency key made"))
}

/// Remembers what the request made.
async fn remember<T>(
    tx: Tx<'_>,
    app: AppId,
    request: &KeyedRequest,
    made: T,
) -> error::Result<Once<T>>
where
    for<'a> Made: From<&'a T>,
{
    let written = serde_json::to_string(&Made::from(&made)).expect("ids are plain texts");
    sqlx::query(REMEMBER)
        .bind(app.as_uuid())
        .bind(request.key.as_str())
        .bind(&request.route)
        .bind(request.body_sha256.as_slice())
        .bind(written)
        .bind(tx.now.as_micros())
        .execute(tx.connection)
        .await?;
    Ok(Once::first(made))
}

async fn message_again(
    connection: &mut SqliteConnection,
    scope: &Scope,
    thread: ThreadId,
    made: &Made,
) -> error::Result<Message> {
    match messages::get(connection, scope, made.message()?).await {
        Err(Problem::Core(Error::MessageNotFound)) => Err(Error::ThreadNotFound(thread).into()),
        outcome => outcome,
    }
}

async fn run_again(
    connection: &mut SqliteConnection,
    scope: &Scope,
    thread: ThreadId,
    made: &Made,
) -> error::Result<StartedRun> {
    let run = runs::find(connection, scope, made.run()?).await?;
    Ok(StartedRun::Standing(Box::new(run.ok_or(Error::ThreadNotFound(thread))?)))
}

async fn prune(tx: Tx<'_>, age: Duration, limit: u32) -> error::Result<u64> {
    let until = tx.now.minus(age).as_micros();
    let done = sqlx::query(PRUNE).bind(until).bind(limit).execute(tx.connection).await?;
    Ok(done.rows_affected())
}
