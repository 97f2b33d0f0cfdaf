//! Agents.

use async_trait::async_trait;
use nexo_core::{Agent, AgentId, AgentStore, AppId, Error, NewAgent, Result, Scope};
use uuid::Uuid;

use crate::{Connection, PostgresStore, apps::rows_of_app, row::Columns, run, scoped};

/// What read_agent() reads, in its order.
macro_rules! agent_columns {
    ($table:literal) => {
        columns!(
            $table: "id", "app_id", "name", "kind", "config", "secret", "grants", "created_at",
            "updated_at"
        )
    };
}
pub(crate) use agent_columns;

/// Without a row there is no such app, with an empty one no such agent.
const GET: &str = concat!(
    "select ",
    agent_columns!("g"),
    " from nexo_apps a left join nexo_agents g on g.app_id = a.id and g.id = $5
    where a.id = $4 and ",
    sees_app!("a")
);

const LIST: &str = concat!(
    "select ",
    agent_columns!("g"),
    " from nexo_apps a join nexo_agents g on g.app_id = a.id
    where a.id = $4 and ",
    sees_app!("a"),
    " order by g.created_at, g.id"
);

/// Those whose name the app has already are left out.
const ENSURE: &str = "
    insert into nexo_agents (id, app_id, name, kind, config, handler, grants, created_at,
        updated_at)
    select n.id, $1, n.name, n.kind, n.config::json, n.handler, '{}', now(), now()
    from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[])
        as n (id, name, kind, config, handler)
    on conflict (app_id, name) do nothing";

#[async_trait]
impl AgentStore for PostgresStore {
    async fn get_agent(&self, scope: &Scope, app: AppId, agent: AgentId) -> Result<Agent> {
        let query = scoped(GET, scope).bind(app.as_uuid()).bind(agent.as_uuid());
        let row = self.read_optional(query).await?.ok_or(Error::AppNotFound(app))?;
        let mut columns = Columns::of(&row);
        if columns.is_absent()? {
            return Err(Error::AgentNotFound);
        }
        self.read_agent(&mut columns)
    }

    async fn list_agents(&self, scope: &Scope, app: AppId) -> Result<Vec<Agent>> {
        let rows = self.read_all(scoped(LIST, scope).bind(app.as_uuid())).await?;
        let rows = rows_of_app(app, &rows)?.iter();
        rows.map(|row| self.read_agent(&mut Columns::of(row))).collect()
    }
}

/// Makes the agents that an app has none of their name.
pub(crate) async fn ensure_agents(
    app: AppId,
    agents: &[NewAgent],
    connection: &mut Connection,
) -> Result<()> {
    let ids: Vec<Uuid> = agents.iter().map(|_| AgentId::new().as_uuid()).collect();
    let column = |of: fn(&NewAgent) -> &str| agents.iter().map(of).collect::<Vec<&str>>();
    let query = sqlx::query(ENSURE)
        .bind(app.as_uuid())
        .bind(ids)
        .bind(column(|agent| &agent.name))
        .bind(column(|agent| &agent.kind))
        .bind(column(|agent| agent.config.as_str()))
        .bind(agents.iter().map(NewAgent::handler).collect::<Vec<_>>());
    run(connection, query).await
}

const SECRET: &str = "nexo_agents.secret";

impl PostgresStore {
    pub(crate) fn read_agent(&self, columns: &mut Columns<'_>) -> Result<Agent> {
        let id = AgentId::from_uuid(columns.take()?);
        Ok(Agent {
            id,
            app: AppId::from_uuid(columns.take()?),
            name: columns.take()?,
            kind: columns.take()?,
            config: columns.object()?,
            secret: columns
                .take::<Option<&str>>()?
                .map(|sealed| self.keys.open(SECRET, id.as_uuid(), sealed))
                .transpose()?,
            grants: columns.object()?,
            created_at: columns.time()?,
            updated_at: columns.time()?,
        })
    }
}
