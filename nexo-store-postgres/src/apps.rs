//! Apps.

use async_trait::async_trait;
use nexo_core::{
    AgentId, App, AppChanges, AppId, AppStore, Error, MAIN_AGENT, MAIN_AGENT_KIND, NewAgent,
    NewApp, OwnerId, Page, PageRequest, PreviousSecret, Result, Scope, Secret,
};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::{
    Connection, PostgresStore, SqlQuery,
    agents::ensure_agents,
    error::commit,
    find, find_all,
    keys::{follow_secrets, new_secret_key},
    row::Columns,
    run, scoped,
};

/// What read_app() reads, in its order.
macro_rules! app_columns {
    ($table:literal) => {
        columns!(
            $table: "id", "owner", "name", "description", "webhook_url", "webhook_secret",
            "previous_secret", "previous_secret_expires_at", "config", "default_agent_id",
            "created_at", "updated_at"
        )
    };
}
pub(crate) use app_columns;

/// An app is never seen without its main agent, nor without the key that its secret makes.
const CREATE: &str = concat!(
    "with a as (
        insert into nexo_apps (id, owner, name, description, webhook_url, webhook_secret, config,
            default_agent_id, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7::json, $8, now(), now())
        returning *
    ), agent as (
        insert into nexo_agents (id, app_id, name, kind, config, grants, created_at, updated_at)
        select a.default_agent_id, a.id, $9, $10, '{}', '{}', a.created_at, a.created_at from a
    ), key as (
        insert into nexo_keys (id, app_id, name, digest, scopes, created_at)
        select $11, a.id, $12, $13, '[]', a.created_at from a where $13::bytea is not null
    )
    select ",
    app_columns!("a"),
    " from a"
);

/// Whoever ensures an app of this owner and name waits for those who do the same. There is no
/// rule about names else: an owner may have two apps of one name.
const LOCK_NAME: &str = "select pg_advisory_xact_lock(hashtext($1), hashtext($2))";

/// The lock keeps the app until its agents are there.
const FIND: &str = concat!(
    "select ",
    app_columns!("a"),
    " from nexo_apps a where a.owner = $1 and a.name = $2
    order by a.created_at, a.id limit 1 for key share of a"
);

const SET_DEFAULT: &str = "
    update nexo_apps a set default_agent_id = g.id
    from nexo_agents g where a.id = $1 and g.app_id = a.id and g.name = $2
    returning g.id";

const GET: &str =
    concat!("select ", app_columns!("a"), " from nexo_apps a where a.id = $4 and ", sees_app!("a"));

/// The lock makes changes at once come one after the other. It is the weaker one, which lets
/// threads be created meanwhile.
const GET_TO_CHANGE: &str = concat!(
    "select ",
    app_columns!("a"),
    ", now() from nexo_apps a where a.id = $4 and ",
    sees_app!("a"),
    " for no key update of a"
);

/// The total comes with every row, and with one that is empty otherwise if the page is past
/// the end.
const LIST: &str = concat!(
    "select counted.total, ",
    app_columns!("a"),
    " from (select count(*) as total from nexo_apps where owner = $1) counted
    left join lateral (
        select * from nexo_apps where owner = $1
        order by created_at, id limit $2 offset $3
    ) a on true
    order by a.created_at, a.id"
);

const UPDATE: &str = "
    update nexo_apps set name = $2, description = $3, webhook_url = $4, webhook_secret = $5,
        previous_secret = $6, previous_secret_expires_at = $7, config = $8::json, updated_at = $9
    where id = $1";

/// Locks an app, so that nothing new comes into it until it is gone: whoever creates a
/// thread takes the weakest lock on the app first.
const LOCK: &str = concat!(
    "select a.id from nexo_apps a where a.id = $4 and ",
    sees_app!("a"),
    " for update of a"
);

/// Threads go before the rest, in a statement of their own: whoever appends locks the thread
/// and then its subscriber, and the foreign keys alone would lock them the other way round.
const DELETE_THREADS: &str = "delete from nexo_threads where app_id = $1";

const DELETE: &str = "delete from nexo_apps where id = $1";

/// Apps with a secret that one of these keys has sealed. Those that somebody changes right now are
/// sealed by that.
const SEALED: &str = "
    select id, webhook_secret, previous_secret from nexo_apps
    where split_part(webhook_secret, ':', 1) = any ($1)
        or split_part(previous_secret, ':', 1) = any ($1)
    limit $2 for no key update skip locked";

const RESEAL: &str = "
    update nexo_apps set webhook_secret = $2, previous_secret = $3 where id = $1";

const SEALING_KEYS: &str = "
    select distinct split_part(sealed, ':', 1) as id
    from (
        select webhook_secret from nexo_apps
        union all select previous_secret from nexo_apps
        union all select secret from nexo_agents
    ) secrets (sealed)
    where sealed is not null order by id";

#[async_trait]
impl AppStore for PostgresStore {
    async fn create_app(&self, app: NewApp) -> Result<App> {
        let row = self.write_optional(self.create_query(app)).await?;
        self.read_app(&mut Columns::of(&row.ok_or(Error::Corrupt("new app"))?))
    }

    async fn ensure_app(&self, app: NewApp, agents: Vec<NewAgent>) -> Result<App> {
        let (owner, name) = (app.owner.as_str().to_owned(), app.name.clone());
        let mut transaction = self.begin().await?;
        run(&mut transaction, sqlx::query(LOCK_NAME).bind(&owner).bind(&name)).await?;
        let found = sqlx::query(FIND).bind(&owner).bind(&name);
        let (row, is_new) = match find(&mut transaction, found).await? {
            Some(row) => (Some(row), false),
            None => (find(&mut transaction, self.create_query(app)).await?, true),
        };
        let row = row.ok_or(Error::Corrupt("new app"))?;
        let mut app = self.read_app(&mut Columns::of(&row))?;
        ensure_agents(app.id, &agents, &mut transaction).await?;
        if let Some(first) = agents.first().filter(|_| is_new) {
            let query = sqlx::query(SET_DEFAULT).bind(app.id.as_uuid()).bind(&first.name);
            let row = find(&mut transaction, query).await?.ok_or(Error::Corrupt("new agent"))?;
            app.default_agent = AgentId::from_uuid(Columns::of(&row).take()?);
        }
        commit(transaction).await?;
        Ok(app)
    }

    async fn get_app(&self, scope: &Scope, app: AppId) -> Result<App> {
        let row = self.read_optional(scoped(GET, scope).bind(app.as_uuid())).await?;
        self.read_app(&mut Columns::of(&row.ok_or(Error::AppNotFound(app))?))
    }

    async fn list_apps(&self, owner: &OwnerId, page: PageRequest) -> Result<Page<App>> {
        let skipped = i64::try_from(page.skipped()).unwrap_or(i64::MAX);
        let query = sqlx::query(LIST).bind(owner.as_str()).bind(i64::from(page.size)).bind(skipped);
        let rows = self.read_all(query).await?;
        let mut total = 0;
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut columns = Columns::of(row);
            total = columns.take::<i64>()?.unsigned_abs();
            if !columns.is_absent()? {
                items.push(self.read_app(&mut columns)?);
            }
        }
        Ok(Page { items, total })
    }

    async fn update_app(&self, scope: &Scope, app: AppId, changes: AppChanges) -> Result<App> {
        let mut transaction = self.begin().await?;
        let query = scoped(GET_TO_CHANGE, scope).bind(app.as_uuid());
        let row = find(&mut transaction, query).await?.ok_or(Error::AppNotFound(app))?;
        let mut columns = Columns::of(&row);
        let before = self.read_app(&mut columns)?;
        let mut after = before.clone();
        after.apply(changes, columns.time()?)?;
        self.save_app(&after, &mut transaction).await?;
        if after.webhook_secret != before.webhook_secret {
            follow_secrets(&after, &mut transaction).await?;
        }
        commit(transaction).await?;
        Ok(after)
    }

    async fn reseal_secrets(&self, limit: u32) -> Result<u64> {
        let former: Vec<&str> = self.keys.former_keys().collect();
        if former.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.begin().await?;
        let sealed = sqlx::query(SEALED).bind(former).bind(i64::from(limit));
        let rows = find_all(&mut transaction, sealed).await?;
        let mut count = 0;
        for row in &rows {
            // One that can't be opened stays as it is: it is told to whoever asks for its app.
            if let Ok(resealed) = self.reseal(&mut Columns::of(row)) {
                run(&mut transaction, resealed).await?;
                count += 1;
            }
        }
        commit(transaction).await?;
        Ok(count)
    }

    async fn sealing_keys(&self) -> Result<Vec<String>> {
        let rows = self.read_all(sqlx::query(SEALING_KEYS)).await?;
        rows.iter().map(|row| Columns::of(row).take()).collect()
    }

    async fn delete_app(&self, scope: &Scope, app: AppId) -> Result<()> {
        let mut transaction = self.begin_deletion().await?;
        let lock = scoped(LOCK, scope).bind(app.as_uuid());
        find(&mut transaction, lock).await?.ok_or(Error::AppNotFound(app))?;
        for statement in [DELETE_THREADS, DELETE] {
            run(&mut transaction, sqlx::query(statement).bind(app.as_uuid())).await?;
        }
        commit(transaction).await
    }
}

const SECRET: &str = "nexo_apps.webhook_secret";
const PREVIOUS_SECRET: &str = "nexo_apps.previous_secret";

impl PostgresStore {
    pub(crate) fn read_app(&self, columns: &mut Columns<'_>) -> Result<App> {
        let id = AppId::from_uuid(columns.take()?);
        Ok(App {
            id,
            owner: read_owner(columns.take()?)?,
            name: columns.take()?,
            description: columns.take()?,
            webhook_url: columns.take()?,
            webhook_secret: self.open_app(SECRET, id, columns.take()?)?,
            previous_secret: self.read_previous_secret(id, columns)?,
            config: columns.object()?,
            default_agent: AgentId::from_uuid(columns.take()?),
            created_at: columns.time()?,
            updated_at: columns.time()?,
        })
    }

    fn create_query(&self, app: NewApp) -> SqlQuery<'static> {
        let id = AppId::new();
        let secret = app.webhook_secret.as_ref();
        let (key, key_name, digest) = new_secret_key(id, secret);
        sqlx::query(CREATE)
            .bind(id.as_uuid())
            .bind(app.owner.as_str().to_owned())
            .bind(app.name)
            .bind(app.description)
            .bind(app.webhook_url)
            .bind(self.seal_app(SECRET, id, secret))
            .bind(app.config.as_str().to_owned())
            .bind(AgentId::new().as_uuid())
            .bind(MAIN_AGENT)
            .bind(MAIN_AGENT_KIND)
            .bind(key.as_uuid())
            .bind(key_name)
            .bind(digest)
    }

    fn read_previous_secret(
        &self,
        app: AppId,
        columns: &mut Columns<'_>,
    ) -> Result<Option<PreviousSecret>> {
        let secret = self.open_app(PREVIOUS_SECRET, app, columns.take()?)?;
        let expires_at = columns.optional_time()?;
        Ok(secret.zip(expires_at).map(|(secret, expires_at)| PreviousSecret { secret, expires_at }))
    }

    /// Which row and column a secret belongs to is sealed in with it.
    fn seal_app(&self, column: &str, app: AppId, secret: Option<&Secret>) -> Option<String> {
        secret.map(|secret| self.keys.seal(column, app.as_uuid(), secret.expose()))
    }

    fn open_app(&self, column: &str, app: AppId, sealed: Option<&str>) -> Result<Option<Secret>> {
        sealed.map(|sealed| self.keys.open(column, app.as_uuid(), sealed)).transpose()
    }

    fn reseal(&self, columns: &mut Columns<'_>) -> Result<SqlQuery<'static>> {
        let app: Uuid = columns.take()?;
        let reseal = |column, sealed: Option<&str>| {
            sealed.map(|sealed| self.keys.reseal(column, app, sealed)).transpose()
        };
        let secret = reseal(SECRET, columns.take()?)?;
        let previous = reseal(PREVIOUS_SECRET, columns.take()?)?;
        Ok(sqlx::query(RESEAL).bind(app).bind(secret).bind(previous))
    }

    async fn save_app(&self, app: &App, connection: &mut Connection) -> Result<()> {
        let previous = app.previous_secret.as_ref();
        let query = sqlx::query(UPDATE)
            .bind(app.id.as_uuid())
            .bind(&app.name)
            .bind(&app.description)
            .bind(&app.webhook_url)
            .bind(self.seal_app(SECRET, app.id, app.webhook_secret.as_ref()))
            .bind(self.seal_app(PREVIOUS_SECRET, app.id, previous.map(|it| &it.secret)))
            .bind(previous.map(|it| it.expires_at.as_datetime()))
            .bind(app.config.as_str())
            .bind(app.updated_at.as_datetime());
        run(connection, query).await
    }

    /// Why a statement that looks for something inside an app found nothing: because the app
    /// itself is not there, or else what `otherwise` says.
    pub(crate) async fn missing(&self, scope: &Scope, app: AppId, otherwise: Error) -> Error {
        let query = scoped(EXISTS, scope).bind(app.as_uuid());
        match self.read_optional(query).await {
            Ok(Some(_)) => otherwise,
            Ok(None) => Error::AppNotFound(app),
            Err(error) => error,
        }
    }
}

const EXISTS: &str = concat!("select 1 from nexo_apps a where a.id = $4 and ", sees_app!("a"));

fn read_owner(text: String) -> Result<OwnerId> {
    OwnerId::try_from(text).map_err(|_| Error::Corrupt("owner"))
}

/// The rows of a list inside an app, or the error if there is no such app: lists are joined
/// to the app's row, which is there even if the list is empty.
pub(crate) fn rows_of_app(app: AppId, rows: &[PgRow]) -> Result<&[PgRow]> {
    if rows.is_empty() { Err(Error::AppNotFound(app)) } else { Ok(rows) }
}
