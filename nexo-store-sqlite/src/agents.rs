//! Agents.

use async_trait::async_trait;
use nexo_core::{
    Agent, AgentId, AgentStore, Answerer, AppId, Error, KeyRing, NewAgent, Result, Scope,
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{SqliteStore, Tx, apps, columns::Columns, error};

const SECRET_COLUMN: &str = "nexo_agents.secret";

const GET: &str = "select * from nexo_agents where app_id = ?1 and id = ?2";

const HANDLER: &str = "select handler from nexo_agents where id = ?1";

const LIST: &str = "select * from nexo_agents where app_id = ?1 order by created_at, id";

/// One whose name the app has already is left out.
const ENSURE: &str = "
    insert into nexo_agents (id, app_id, name, kind, config, handler, grants, created_at,
        updated_at)
    values (?1, ?2, ?3, ?4, ?5, ?6, '{}', ?7, ?7)
    on conflict (app_id, name) do nothing";

#[async_trait]
impl AgentStore for SqliteStore {
    async fn get_agent(&self, scope: &Scope, app: AppId, agent: AgentId) -> Result<Agent> {
        let mut snapshot = self.snapshot().await?;
        apps::require(&mut snapshot, scope, app).await?;
        Ok(get(&mut snapshot, &self.keys, app, agent).await?)
    }

    async fn list_agents(&self, scope: &Scope, app: AppId) -> Result<Vec<Agent>> {
        Ok(list(self, scope, app).await?)
    }
}

pub(crate) async fn get(
    connection: &mut SqliteConnection,
    keys: &KeyRing,
    app: AppId,
    agent: AgentId,
) -> error::Result<Agent> {
    let query = sqlx::query(GET).bind(app.as_uuid()).bind(agent.as_uuid());
    let row = query.fetch_optional(connection).await?;
    read(&row.ok_or(Error::AgentNotFound)?, keys)
}

/// Makes the agents that an app has none of their name.
pub(crate) async fn ensure(
    tx: &mut Tx<'_>,
    app: AppId,
    agents: Vec<NewAgent>,
) -> error::Result<()> {
    for agent in agents {
        sqlx::query(ENSURE)
            .bind(AgentId::new().as_uuid())
            .bind(app.as_uuid())
            .bind(&agent.name)
            .bind(&agent.kind)
            .bind(agent.config.as_str())
            .bind(agent.handler())
            .bind(tx.now.as_micros())
            .execute(&mut *tx.connection)
            .await?;
    }
    Ok(())
}

/// The agent as the one who answers, whether it is there or not.
pub(crate) async fn answerer(
    connection: &mut SqliteConnection,
    agent: AgentId,
) -> error::Result<Answerer> {
    let query = sqlx::query_scalar::<_, Option<String>>(HANDLER).bind(agent.as_uuid());
    Ok(Answerer { agent, handler: query.fetch_optional(connection).await?.flatten() })
}

async fn list(store: &SqliteStore, scope: &Scope, app: AppId) -> error::Result<Vec<Agent>> {
    let mut snapshot = store.snapshot().await?;
    apps::require(&mut snapshot, scope, app).await?;
    let rows = sqlx::query(LIST).bind(app.as_uuid()).fetch_all(&mut *snapshot).await?;
    rows.iter().map(|row| read(row, &store.keys)).collect()
}

fn read(row: &SqliteRow, keys: &KeyRing) -> error::Result<Agent> {
    let id: Uuid = row.try_get("id")?;
    let sealed: Option<&str> = row.try_get("secret")?;
    Ok(Agent {
        id: AgentId::from_uuid(id),
        app: row.id("app_id", AppId::from_uuid)?,
        name: row.try_get("name")?,
        kind: row.try_get("kind")?,
        config: row.object("config")?,
        secret: sealed.map(|sealed| keys.open(SECRET_COLUMN, id, sealed)).transpose()?,
        grants: row.object("grants")?,
        created_at: row.instant("created_at")?,
        updated_at: row.instant("updated_at")?,
    })
}
