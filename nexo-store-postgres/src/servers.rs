//! Servers, and the settings they agree on.

use async_trait::async_trait;
use nexo_core::{Error, Result, ServerId, ServerStore};

use crate::{PostgresStore, row::Columns};

const BEAT: &str = "
    insert into nexo_servers (id, started_at, beat_at) values ($1, now(), now())
    on conflict (id) do update set beat_at = clock_timestamp()";

const RETIRE: &str = "delete from nexo_servers where id = $1";

/// The `update` changes nothing, but it makes the row that stands come back.
const PIN: &str = "
    insert into nexo_settings as s (name, value) values ($1, $2)
    on conflict (name) do update set value = s.value
    returning s.value";

#[async_trait]
impl ServerStore for PostgresStore {
    async fn beat(&self, server: ServerId) -> Result<()> {
        self.write(sqlx::query(BEAT).bind(server.as_uuid())).await.map(drop)
    }

    async fn retire(&self, server: ServerId) -> Result<()> {
        self.write(sqlx::query(RETIRE).bind(server.as_uuid())).await.map(drop)
    }

    async fn pin_setting(&self, name: &str, value: &str) -> Result<String> {
        let row = self.write_optional(sqlx::query(PIN).bind(name).bind(value)).await?;
        Columns::of(&row.ok_or(Error::Corrupt("setting"))?).take()
    }

    async fn ping(&self) -> Result<()> {
        self.read_optional(sqlx::query("select 1")).await.map(drop)
    }
}
