//! Rate limits: one row for each key that is not whole again.

use async_trait::async_trait;
use nexo_core::{
    Result,
    accounts::{LimitDecision, LimitStore, Rate},
};

use crate::{SqliteStore, Tx, error};

const FULL_AT: &str = "select full_at from nexo_limits where key = ?1";

const TAKE: &str = "
    insert into nexo_limits (key, full_at) values (?1, ?2)
    on conflict (key) do update set full_at = excluded.full_at";

const PRUNE: &str = "delete from nexo_limits where full_at <= ?1";

#[async_trait]
impl LimitStore for SqliteStore {
    async fn take_limit(&self, key: &str, rate: Rate) -> Result<LimitDecision> {
        let key = key.to_owned();
        self.write(move |tx| Box::pin(take(tx, key, rate))).await
    }

    async fn prune_limits(&self) -> Result<()> {
        self.write(|tx| Box::pin(prune(tx))).await
    }
}

async fn take(tx: Tx<'_>, key: String, rate: Rate) -> error::Result<LimitDecision> {
    let full_at =
        sqlx::query_scalar(FULL_AT).bind(&key).fetch_optional(&mut *tx.connection).await?;
    match rate.take(tx.now.as_micros(), full_at) {
        Ok(full_at) => {
            sqlx::query(TAKE).bind(key).bind(full_at).execute(tx.connection).await?;
            Ok(LimitDecision::Allowed)
        }
        Err(retry_after) => Ok(LimitDecision::Refused { retry_after }),
    }
}

async fn prune(tx: Tx<'_>) -> error::Result<()> {
    sqlx::query(PRUNE).bind(tx.now.as_micros()).execute(tx.connection).await?;
    Ok(())
}
