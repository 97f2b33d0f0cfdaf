//! Idempotency keys.

use std::time::Duration;

use async_trait::async_trait;
use nexo_core::{
    AppId, Error, IdempotencyStore, KeyedRequest, Made, Message, MessageId, MessageStore as _,
    NewMessage, NewThread, Once, Result, RunStore as _, Scope, StartRun, StartedRun, Thread,
    ThreadId, ThreadStore as _,
};
use sqlx::types::Json;

use crate::{
    Connection, PostgresStore, SqlQuery, Transaction,
    error::{before_commit, commit, is_locked},
    find,
    messages::Append,
    row::{Columns, interval},
    run, scoped, threads,
};

/// Whoever comes first with a key holds its row until what it made is committed with it; all
/// others wait for that here. Without a row there is no such app, or the key is known: it is
/// locked then, so that FIND finds it.
///
/// The app is locked first, in the weakest way, as by whoever creates a thread: the row's
/// foreign key would lock it afterwards.
const TAKE: &str = concat!(
    "with a as (
        select a.id from nexo_apps a where a.id = $4 and ",
    sees_app!("a"),
    " for key share of a
    )
    insert into nexo_idempotency as i (app_id, key, route, body_sha256, made, created_at)
    select a.id, $5, $6, $7, '{}', now() from a
    on conflict (app_id, key) do update
        set route = excluded.route, body_sha256 = excluded.body_sha256, made = excluded.made,
            created_at = excluded.created_at
        where i.created_at <= now() - $8
    returning true"
);

const FIND: &str = concat!(
    "select i.route, i.body_sha256, i.made
    from nexo_idempotency i join nexo_apps a on a.id = i.app_id
    where i.app_id = $4 and i.key = $5 and ",
    sees_app!("a")
);

const REMEMBER: &str = "update nexo_idempotency set made = $3 where app_id = $1 and key = $2";

/// As for deliveries: the array is made once, and rows that somebody has locked are not waited
/// for.
const PRUNE: &str = "
    delete from nexo_idempotency where ctid = any (array(
        select ctid from nexo_idempotency where created_at <= now() - $1
        order by created_at limit $2
        for update skip locked
    ))";

/// What a request with a key finds.
enum Taken {
    /// The key is this request's: what it makes is written in this transaction.
    Free(Transaction),
    /// The request was made before, and made this.
    Known(Made),
}

impl PostgresStore {
    async fn take(&self, scope: &Scope, app: AppId, request: &KeyedRequest) -> Result<Taken> {
        let mut transaction = self.begin().await?;
        let query = take_query(scope, app, request);
        match transaction.answer(|it| query.fetch_optional(it)).await {
            Ok(Some(_)) => return Ok(Taken::Free(transaction)),
            Ok(None) => {}
            Err(error) if is_locked(&error) => return Err(Error::RequestInProgress),
            Err(error) => return Err(before_commit(error)),
        }
        let made = made_before(&mut transaction, scope, app, request).await?;
        transaction.rollback().await.map_err(before_commit)?;
        Ok(Taken::Known(made))
    }

    async fn message_again(&self, scope: &Scope, thread: ThreadId, made: &Made) -> Result<Message> {
        match self.get_message(scope, made.message()?).await {
            Err(Error::MessageNotFound) => Err(Error::ThreadNotFound(thread)),
            outcome => outcome,
        }
    }

    async fn run_again(&self, scope: &Scope, thread: ThreadId, made: &Made) -> Result<StartedRun> {
        match self.get_run(scope, made.run()?).await {
            Err(Error::RunNotFound) => Err(Error::ThreadNotFound(thread)),
            outcome => Ok(StartedRun::Standing(Box::new(outcome?))),
        }
    }
}

#[async_trait]
impl IdempotencyStore for PostgresStore {
    async fn create_thread_once(
        &self,
        scope: &Scope,
        app: AppId,
        thread: NewThread,
        request: KeyedRequest,
    ) -> Result<Once<(Thread, Option<Message>)>> {
        match self.take(scope, app, &request).await? {
            Taken::Free(mut transaction) => {
                let made = threads::create_within(&mut transaction, scope, app, &thread).await?;
                remember(transaction, app, &request, made).await
            }
            Taken::Known(made) => {
                let thread = self.get_thread(scope, made.thread()?).await?;
                let greeting = match made.message {
                    Some(_) => Some(self.message_again(scope, thread.id, &made).await?),
                    None => None,
                };
                Ok(Once::again((thread, greeting)))
            }
        }
    }

    async fn append_message_once(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        message: NewMessage,
        request: KeyedRequest,
    ) -> Result<Once<Message>> {
        match self.take(scope, app, &request).await? {
            Taken::Free(mut transaction) => {
                let append = Append { scope, app, thread, id: MessageId::new(), message };
                let made = append.within(&mut transaction).await?;
                remember(transaction, app, &request, made).await
            }
            Taken::Known(made) => self.message_again(scope, thread, &made).await.map(Once::again),
        }
    }

    async fn start_run_once(
        &self,
        scope: &Scope,
        start: StartRun,
        request: KeyedRequest,
    ) -> Result<Once<StartedRun>> {
        let (app, thread) = (start.app, start.thread);
        match self.take(scope, app, &request).await? {
            Taken::Free(mut transaction) => {
                let made = self.start_within(&mut transaction, scope, start).await?;
                remember(transaction, app, &request, made).await
            }
            Taken::Known(made) => self.run_again(scope, thread, &made).await.map(Once::again),
        }
    }

    async fn ask_once(
        &self,
        scope: &Scope,
        message: NewMessage,
        start: StartRun,
        request: KeyedRequest,
    ) -> Result<Once<(Message, StartedRun)>> {
        let (app, thread) = (start.app, start.thread);
        match self.take(scope, app, &request).await? {
            Taken::Free(mut transaction) => {
                let made = self.ask_within(&mut transaction, scope, message, start).await?;
                remember(transaction, app, &request, made).await
            }
            Taken::Known(made) => {
                let said = self.message_again(scope, thread, &made).await?;
                Ok(Once::again((said, self.run_again(scope, thread, &made).await?)))
            }
        }
    }

    async fn prune_idempotency_keys(&self, age: Duration, limit: u32) -> Result<u64> {
        self.write(sqlx::query(PRUNE).bind(interval(age)).bind(i64::from(limit))).await
    }
}

fn take_query(scope: &Scope, app: AppId, request: &KeyedRequest) -> SqlQuery<'static> {
    scoped(TAKE, scope)
        .bind(app.as_uuid())
        .bind(request.key.as_str().to_owned())
        .bind(request.route.clone())
        .bind(request.body_sha256.to_vec())
        .bind(interval(request.lifetime))
}

/// What the request made, whose key is known.
async fn made_before(
    connection: &mut Connection,
    scope: &Scope,
    app: AppId,
    request: &KeyedRequest,
) -> Result<Made> {
    let query = scoped(FIND, scope).bind(app.as_uuid()).bind(request.key.as_str().to_owned());
    let row = find(connection, query).await?.ok_or(Error::AppNotFound(app))?;
    let mut columns = Columns::of(&row);
    let (route, body_sha256): (&str, &[u8]) = (columns.take()?, columns.take()?);
    request.repeats(route, body_sha256)?;
    columns.take().map(|Json(made)| made)
}

/// Remembers what the request made, and commits both.
async fn remember<T>(
    mut transaction: Transaction,
    app: AppId,
    request: &KeyedRequest,
    made: T,
) -> Result<Once<T>>
where
    for<'a> Made: From<&'a T>,
{
    let query = sqlx::query(REMEMBER)
        .bind(app.as_uuid())
        .bind(request.key.as_str())
        .bind(Json(Made::from(&made)));
    run(&mut transaction, query).await?;
    commit(transaction).await?;
    Ok(Once::first(made))
}
