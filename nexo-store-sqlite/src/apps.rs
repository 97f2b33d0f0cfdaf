//! Apps, with the main agent and the partner keys that come and go with them.

use async_trait::async_trait;
use nexo_core::{
    AgentId, App, AppChanges, AppId, AppStore, Error, KeyRing, MAIN_AGENT, MAIN_AGENT_KIND,
    NewAgent, NewApp, OwnerId, Page, PageRequest, PreviousSecret, Result, Scope, Secret,
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    SqliteStore, Tx, agents,
    columns::{Columns, corrupt},
    error, keys,
};

const SECRET_COLUMN: &str = "nexo_apps.webhook_secret";
const PREVIOUS_COLUMN: &str = "nexo_apps.previous_secret";

const INSERT: &str = "
    insert into nexo_apps (id, owner, name, description, webhook_url, webhook_secret, config,
        default_agent_id, created_at, updated_at)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)";

const INSERT_MAIN_AGENT: &str = "
    insert into nexo_agents (id, app_id, name, kind, config, grants, created_at, updated_at)
    values (?1, ?2, ?3, ?4, '{}', '{}', ?5, ?5)";

pub(crate) const FIND: &str = "
    select * from nexo_apps where owner = ?1 and name = ?2 order by created_at, id limit 1";

const SET_DEFAULT: &str = "
    update nexo_apps
    set default_agent_id = (select id from nexo_agents where app_id = ?1 and name = ?2)
    where id = ?1
    returning default_agent_id";

const GET: &str = "select * from nexo_apps where id = ?1";

const OWNER: &str = "select owner from nexo_apps where id = ?1";

const COUNT: &str = "select count(*) from nexo_apps where owner = ?1";

/// Pages have numbers here, so the rows before are walked over: in an index, and an owner has
/// few apps.
const LIST: &str = "
    select * from nexo_apps where owner = ?1 order by created_at, id limit ?2 offset ?3";

const UPDATE: &str = "
    update nexo_apps
    set name = ?2, description = ?3, webhook_url = ?4, webhook_secret = ?5, previous_secret = ?6,
        previous_secret_expires_at = ?7, config = ?8, default_agent_id = ?9, updated_at = ?10
    where id = ?1";

/// The foreign keys take everything below along.
const DELETE: &str = "delete from nexo_apps where id = ?1";

/// Apps with a secret that one of these keys has sealed, whose ids are a JSON array.
const SEALED: &str = "
    select id, webhook_secret, previous_secret from nexo_apps
    where substr(webhook_secret, 1, instr(webhook_secret, ':') - 1)
            in (select value from json_each(?1))
        or substr(previous_secret, 1, instr(previous_secret, ':') - 1)
            in (select value from json_each(?1))
    limit ?2";

const RESEAL: &str = "
    update nexo_apps set webhook_secret = ?2, previous_secret = ?3 where id = ?1";

const SEALING_KEYS: &str = "
    select distinct substr(sealed, 1, instr(sealed, ':') - 1) as id
    from (
        select webhook_secret as sealed from nexo_apps
        union all select previous_secret from nexo_apps
        union all select secret from nexo_agents
    )
    where sealed is not null order by id";

#[async_trait]
impl AppStore for SqliteStore {
    async fn create_app(&self, app: NewApp) -> Result<App> {
        self.write(move |tx| Box::pin(create(tx, app))).await
    }

    async fn ensure_app(&self, app: NewApp, agents: Vec<NewAgent>) -> Result<App> {
        self.write(move |tx| Box::pin(ensure(tx, app, agents))).await
    }

    async fn get_app(&self, scope: &Scope, app: AppId) -> Result<App> {
        let mut reader = self.reader().await?;
        Ok(get(&mut reader, &self.keys, scope, app).await?)
    }

    async fn list_apps(&self, owner: &OwnerId, page: PageRequest) -> Result<Page<App>> {
        Ok(list(self, owner, page).await?)
    }

    async fn update_app(&self, scope: &Scope, app: AppId, changes: AppChanges) -> Result<App> {
        let scope = scope.clone();
        self.write(move |tx| Box::pin(update(tx, scope, app, changes))).await
    }

    async fn reseal_secrets(&self, limit: u32) -> Result<u64> {
        if self.keys.former_keys().next().is_none() {
            return Ok(0);
        }
        self.write(move |tx| Box::pin(reseal(tx, limit))).await
    }

    async fn sealing_keys(&self) -> Result<Vec<String>> {
        let mut reader = self.reader().await?;
        let keys = sqlx::query_scalar(SEALING_KEYS).fetch_all(&mut *reader).await;
        Ok(keys.map_err(error::Problem::from)?)
    }

    async fn delete_app(&self, scope: &Scope, app: AppId) -> Result<()> {
        let scope = scope.clone();
        self.write(move |tx| Box::pin(delete(tx, scope, app))).await
    }
}

/// Gets an app through a scope.
pub(crate) async fn get(
    connection: &mut SqliteConnection,
    keys: &KeyRing,
    scope: &Scope,
    app: AppId,
) -> error::Result<App> {
    let row = sqlx::query(GET).bind(app.as_uuid()).fetch_optional(connection).await?;
    let found = row.map(|row| read(&row, keys)).transpose()?;
    let visible = found.filter(|found| scope.sees_app(found.id, &found.owner));
    Ok(visible.ok_or(Error::AppNotFound(app))?)
}

/// Fails unless there is such an app in the scope.
pub(crate) async fn require(
    connection: &mut SqliteConnection,
    scope: &Scope,
    app: AppId,
) -> error::Result<()> {
    let row = sqlx::query(OWNER).bind(app.as_uuid()).fetch_optional(connection).await?;
    match row {
        Some(row) if sees(scope, app, &row)? => Ok(()),
        _ => Err(Error::AppNotFound(app).into()),
    }
}

/// Whether an app lies within the scope, by the `owner` that the row tells.
pub(crate) fn sees(scope: &Scope, app: AppId, row: &SqliteRow) -> error::Result<bool> {
    Ok(scope.sees_app(app, &owner(row)?))
}

/// There is one writer, so of many who ensure an app one makes it.
async fn ensure(mut tx: Tx<'_>, new: NewApp, agents: Vec<NewAgent>) -> error::Result<App> {
    let row = sqlx::query(FIND)
        .bind(new.owner.as_str())
        .bind(&new.name)
        .fetch_optional(&mut *tx.connection)
        .await?;
    let first = agents.first().map(|agent| agent.name.clone());
    let Some(row) = row else {
        let mut app = create(tx.part(), new).await?;
        agents::ensure(&mut tx, app.id, agents).await?;
        if let Some(first) = first {
            app.default_agent = set_default(&mut tx, app.id, &first).await?;
        }
        return Ok(app);
    };
    let app = read(&row, tx.keys)?;
    agents::ensure(&mut tx, app.id, agents).await?;
    Ok(app)
}

async fn set_default(tx: &mut Tx<'_>, app: AppId, agent: &str) -> error::Result<AgentId> {
    let query = sqlx::query_scalar(SET_DEFAULT).bind(app.as_uuid()).bind(agent);
    Ok(AgentId::from_uuid(query.fetch_one(&mut *tx.connection).await?))
}

async fn create(tx: Tx<'_>, new: NewApp) -> error::Result<App> {
    let app = App {
        id: AppId::new(),
        owner: new.owner,
        name: new.name,
        description: new.description,
        webhook_url: new.webhook_url,
        webhook_secret: new.webhook_secret,
        previous_secret: None,
        config: new.config,
        default_agent: AgentId::new(),
        created_at: tx.now,
        updated_at: tx.now,
    };
    sqlx::query(INSERT)
        .bind(app.id.as_uuid())
        .bind(app.owner.as_str())
        .bind(&app.name)
        .bind(&app.description)
        .bind(&app.webhook_url)
        .bind(sealed_secret(tx.keys, &app))
        .bind(app.config.as_str())
        .bind(app.default_agent.as_uuid())
        .bind(tx.now.as_micros())
        .execute(&mut *tx.connection)
        .await?;
    sqlx::query(INSERT_MAIN_AGENT)
        .bind(app.default_agent.as_uuid())
        .bind(app.id.as_uuid())
        .bind(MAIN_AGENT)
        .bind(MAIN_AGENT_KIND)
        .bind(tx.now.as_micros())
        .execute(&mut *tx.connection)
        .await?;
    keys::follow_secret(tx.connection, None, &app, tx.now).await?;
    Ok(app)
}

async fn list(store: &SqliteStore, owner: &OwnerId, page: PageRequest) -> error::Result<Page<App>> {
    let mut snapshot = store.snapshot().await?;
    let total: i64 =
        sqlx::query_scalar(COUNT).bind(owner.as_str()).fetch_one(&mut *snapshot).await?;
    let rows = sqlx::query(LIST)
        .bind(owner.as_str())
        .bind(page.size)
        .bind(i64::try_from(page.skipped()).unwrap_or(i64::MAX))
        .fetch_all(&mut *snapshot)
        .await?;
    let items = rows.iter().map(|row| read(row, &store.keys)).collect::<error::Result<_>>()?;
    Ok(Page { items, total: total.unsigned_abs() })
}

async fn update(tx: Tx<'_>, scope: Scope, app: AppId, changes: AppChanges) -> error::Result<App> {
    let before = get(tx.connection, tx.keys, &scope, app).await?;
    let mut app = before.clone();
    app.apply(changes, tx.now)?;
    sqlx::query(UPDATE)
        .bind(app.id.as_uuid())
        .bind(&app.name)
        .bind(&app.description)
        .bind(&app.webhook_url)
        .bind(sealed_secret(tx.keys, &app))
        .bind(app.previous_secret.as_ref().map(|previous| {
            tx.keys.seal(PREVIOUS_COLUMN, app.id.as_uuid(), previous.secret.expose())
        }))
        .bind(app.previous_secret.as_ref().map(|previous| previous.expires_at.as_micros()))
        .bind(app.config.as_str())
        .bind(app.default_agent.as_uuid())
        .bind(app.updated_at.as_micros())
        .execute(&mut *tx.connection)
        .await?;
    keys::follow_secret(tx.connection, before.webhook_secret.as_ref(), &app, tx.now).await?;
    Ok(app)
}

async fn delete(tx: Tx<'_>, scope: Scope, app: AppId) -> error::Result<()> {
    require(tx.connection, &scope, app).await?;
    sqlx::query(DELETE).bind(app.as_uuid()).execute(tx.connection).await?;
    Ok(())
}

async fn reseal(tx: Tx<'_>, limit: u32) -> error::Result<u64> {
    let former: Vec<&str> = tx.keys.former_keys().collect();
    let sealed = sqlx::query_as(SEALED).bind(serde_json::json!(former).to_string()).bind(limit);
    let apps: Vec<(Uuid, Option<String>, Option<String>)> =
        sealed.fetch_all(&mut *tx.connection).await?;
    let mut count = 0;
    for (app, secret, previous) in apps {
        let reseal = |column, sealed: Option<String>| {
            sealed.map(|sealed| tx.keys.reseal(column, app, &sealed)).transpose()
        };
        let (secret, previous) = (reseal(SECRET_COLUMN, secret), reseal(PREVIOUS_COLUMN, previous));
        // One that can't be opened stays as it is: it is told to whoever asks for its app.
        if let (Ok(secret), Ok(previous)) = (secret, previous) {
            let resealed = sqlx::query(RESEAL).bind(app).bind(secret).bind(previous);
            resealed.execute(&mut *tx.connection).await?;
            count += 1;
        }
    }
    Ok(count)
}

fn sealed_secret(keys: &KeyRing, app: &App) -> Option<String> {
    let secret = app.webhook_secret.as_ref()?;
    Some(keys.seal(SECRET_COLUMN, app.id.as_uuid(), secret.expose()))
}

fn owner(row: &SqliteRow) -> error::Result<OwnerId> {
    row.try_get::<&str, _>("owner")?.parse().map_err(|_| corrupt("owner"))
}

fn read(row: &SqliteRow, keys: &KeyRing) -> error::Result<App> {
    let id: Uuid = row.try_get("id")?;
    let open = |column, sealed: Option<&str>| {
        sealed.map(|sealed| keys.open(column, id, sealed)).transpose()
    };
    let secret = open(SECRET_COLUMN, row.try_get("webhook_secret")?)?;
    let previous: Option<Secret> = open(PREVIOUS_COLUMN, row.try_get("previous_secret")?)?;
    let previous_expires_at = row.instant_if_any("previous_secret_expires_at")?;
    Ok(App {
        id: AppId::from_uuid(id),
        owner: owner(row)?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        webhook_url: row.try_get("webhook_url")?,
        webhook_secret: secret,
        previous_secret: previous
            .zip(previous_expires_at)
            .map(|(secret, expires_at)| PreviousSecret { secret, expires_at }),
        config: row.object("config")?,
        default_agent: row.id("default_agent_id", AgentId::from_uuid)?,
        created_at: row.instant("created_at")?,
        updated_at: row.instant("updated_at")?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn another_key_seals_everything_anew_and_the_old_one_can_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nexo.db");
        let (old, new) = (KeyRing::generate("old"), KeyRing::generate("new"));
        let both = format!("{},{}", new.expose().expose(), old.expose().expose());
        let open = async |keys| SqliteStore::open(&path, keys).await.unwrap();
        let store = open(old).await;
        store.migrate().await.unwrap();
        let owner: OwnerId = "owner".parse().unwrap();
        let named = NewApp { webhook_secret: Some("first".into()), ..NewApp::new(owner, "Shop") };
        let app = store.create_app(named).await.unwrap();
        let changes = AppChanges {
            webhook_secret: Some(Some("second".into())),
            secret_overlap: Duration::from_secs(60),
            ..AppChanges::default()
        };
        let app = store.update_app(&Scope::Everything, app.id, changes).await.unwrap();
        let changing = open(both.parse().unwrap()).await;
        assert_eq!(changing.sealing_keys().await.unwrap(), ["old"]);

        assert_eq!(changing.reseal_secrets(10).await.unwrap(), 1);
        assert_eq!(changing.reseal_secrets(10).await.unwrap(), 0);

        let changed = open(new).await;
        assert_eq!(changed.sealing_keys().await.unwrap(), ["new"]);
        assert_eq!(changed.get_app(&Scope::Everything, app.id).await.unwrap(), app);
    }
}
