//! Servers, and what they have to agree on.

use async_trait::async_trait;
use nexo_core::{Handlers, Result, SERVER_FORGOTTEN_AFTER, ServerId, ServerStore};

use crate::{SqliteStore, Tx, error};

const BEAT: &str = "
    insert into nexo_servers (id, started_at, beat_at, handlers) values (?1, ?2, ?2, ?3)
    on conflict (id) do update set beat_at = excluded.beat_at, handlers = excluded.handlers";

const RETIRE: &str = "delete from nexo_servers where id = ?1";

const PIN: &str = "
    insert into nexo_settings (name, value) values (?1, ?2) on conflict (name) do nothing";

const REPLACE_SETTING: &str = "
    update nexo_settings set value = ?3 where name = ?1 and value = ?2";

const SETTING: &str = "select value from nexo_settings where name = ?1";

pub(crate) const END_SECRETS: &str = "
    update nexo_apps set previous_secret = null, previous_secret_expires_at = null
    where previous_secret_expires_at <= ?1";

pub(crate) const END_KEYS: &str = "delete from nexo_keys where expires_at <= ?1";

/// There are few servers.
const FORGET: &str = "
    delete from nexo_servers
    where beat_at < ?1 and not exists (
        select 1 from nexo_runs r where r.server_id = nexo_servers.id and r.state = 'running'
    )";

const PING: &str = "select 1";

#[async_trait]
impl ServerStore for SqliteStore {
    async fn beat(&self, server: ServerId, handlers: &Handlers) -> Result<()> {
        let handlers = names(handlers);
        self.write(move |tx| Box::pin(beat(tx, server, handlers))).await
    }

    async fn retire(&self, server: ServerId) -> Result<()> {
        self.write(move |tx| Box::pin(retire(tx, server))).await
    }

    async fn pin_setting(&self, name: &str, value: &str) -> Result<String> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.write(move |tx| Box::pin(pin(tx, name, value))).await
    }

    async fn replace_setting(&self, name: &str, from: &str, to: &str) -> Result<bool> {
        let [name, from, to] = [name, from, to].map(str::to_owned);
        self.write(move |tx| Box::pin(replace(tx, name, from, to))).await
    }

    /// Asks a reader and the writer: either may be stuck.
    async fn ping(&self) -> Result<()> {
        let mut reader = self.reader().await?;
        sqlx::query(PING).execute(&mut *reader).await.map_err(error::Problem::from)?;
        self.write(|tx| Box::pin(ping(tx))).await
    }

    async fn prune(&self) -> Result<()> {
        self.write(|tx| Box::pin(prune(tx))).await
    }
}

/// The names as a JSON array.
pub(crate) fn names(handlers: &Handlers) -> String {
    let names: Vec<&str> = handlers.names().collect();
    serde_json::json!(names).to_string()
}

async fn beat(tx: Tx<'_>, server: ServerId, handlers: String) -> error::Result<()> {
    let beat = sqlx::query(BEAT).bind(server.as_uuid()).bind(tx.now.as_micros());
    beat.bind(handlers).execute(tx.connection).await?;
    Ok(())
}

async fn retire(tx: Tx<'_>, server: ServerId) -> error::Result<()> {
    sqlx::query(RETIRE).bind(server.as_uuid()).execute(tx.connection).await?;
    Ok(())
}

async fn pin(tx: Tx<'_>, name: String, value: String) -> error::Result<String> {
    sqlx::query(PIN).bind(&name).bind(&value).execute(&mut *tx.connection).await?;
    Ok(sqlx::query_scalar(SETTING).bind(&name).fetch_one(tx.connection).await?)
}

async fn replace(tx: Tx<'_>, name: String, from: String, to: String) -> error::Result<bool> {
    let replace = sqlx::query(REPLACE_SETTING).bind(name).bind(from).bind(to);
    Ok(replace.execute(tx.connection).await?.rows_affected() == 1)
}

async fn ping(tx: Tx<'_>) -> error::Result<()> {
    sqlx::query(PING).execute(tx.connection).await?;
    Ok(())
}

async fn prune(tx: Tx<'_>) -> error::Result<()> {
    for (statement, before) in
        [(END_SECRETS, tx.now), (END_KEYS, tx.now), (FORGET, tx.now.minus(SERVER_FORGOTTEN_AFTER))]
    {
        sqlx::query(statement).bind(before.as_micros()).execute(&mut *tx.connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use nexo_core::{ManualClock, Timestamp};

    use super::*;
    use crate::testing::fresh_store;

    #[tokio::test]
    async fn a_server_that_was_silent_for_a_day_is_forgotten() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
        let (store, _directory) = fresh_store().await;
        let store = store.with_clock(clock.clone());
        let (gone, live) = (ServerId::new(), ServerId::new());
        store.beat(gone, &Handlers::default()).await.unwrap();
        clock.advance(SERVER_FORGOTTEN_AFTER + Duration::from_secs(1));
        store.beat(live, &Handlers::default()).await.unwrap();

        store.prune().await.unwrap();

        let mut reader = store.reader().await.unwrap();
        let known = sqlx::query_scalar::<_, uuid::Uuid>("select id from nexo_servers");
        assert_eq!(known.fetch_all(&mut *reader).await.unwrap(), [live.as_uuid()]);
    }
}
