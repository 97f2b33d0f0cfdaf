//! Servers, and the settings they agree on.

use async_trait::async_trait;
use nexo_core::{Error, Handlers, Result, SERVER_FORGOTTEN_AFTER, ServerId, ServerStore};

use crate::{
    PostgresStore,
    row::{Columns, interval},
};

const BEAT: &str = "
    insert into nexo_servers (id, started_at, beat_at, handlers) values ($1, now(), now(), $2)
    on conflict (id) do update set beat_at = clock_timestamp(), handlers = excluded.handlers";

const RETIRE: &str = "delete from nexo_servers where id = $1";

/// What others are changing is left to the next time, here and below: an app is locked before
/// its keys, as by whoever changes its secret, and nobody is waited for.
const END_SECRETS: &str = "
    update nexo_apps set previous_secret = null, previous_secret_expires_at = null
    where id = any (array(
        select id from nexo_apps where previous_secret_expires_at <= now()
        for no key update skip locked
    ))";

const END_KEYS: &str = "
    delete from nexo_keys where id = any (array(
        select id from nexo_keys where expires_at <= now() for update skip locked
    ))";

const FORGET: &str = "
    delete from nexo_servers where id = any (array(
        select s.id from nexo_servers s
        where s.beat_at < now() - $1 and not exists (
            select 1 from nexo_runs r where r.server_id = s.id and r.state = 'running'
        )
        for update skip locked
    ))";

/// The `update` changes nothing, but it makes the row that stands come back.
const PIN: &str = "
    insert into nexo_settings as s (name, value) values ($1, $2)
    on conflict (name) do update set value = s.value
    returning s.value";

/// The names as a parameter of the type `text[]`.
pub(crate) fn names(handlers: &Handlers) -> Vec<String> {
    handlers.names().map(str::to_owned).collect()
}

const REPLACE_SETTING: &str = "
    update nexo_settings set value = $3 where name = $1 and value = $2";

#[async_trait]
impl ServerStore for PostgresStore {
    async fn beat(&self, server: ServerId, handlers: &Handlers) -> Result<()> {
        let query = sqlx::query(BEAT).bind(server.as_uuid()).bind(names(handlers));
        self.write(query).await.map(drop)
    }

    async fn retire(&self, server: ServerId) -> Result<()> {
        self.write(sqlx::query(RETIRE).bind(server.as_uuid())).await.map(drop)
    }

    async fn pin_setting(&self, name: &str, value: &str) -> Result<String> {
        let row = self.write_optional(sqlx::query(PIN).bind(name).bind(value)).await?;
        Columns::of(&row.ok_or(Error::Corrupt("setting"))?).take()
    }

    async fn replace_setting(&self, name: &str, from: &str, to: &str) -> Result<bool> {
        let replace = sqlx::query(REPLACE_SETTING).bind(name).bind(from).bind(to);
        Ok(self.write(replace).await? == 1)
    }

    async fn ping(&self) -> Result<()> {
        self.read_optional(sqlx::query("select 1")).await.map(drop)
    }

    async fn prune(&self) -> Result<()> {
        self.write(sqlx::query(END_SECRETS)).await?;
        self.write(sqlx::query(END_KEYS)).await?;
        self.write(sqlx::query(FORGET).bind(interval(SERVER_FORGOTTEN_AFTER))).await.map(drop)
    }
}
