//! Rate limits.

use std::time::Duration;

use async_trait::async_trait;
use nexo_core::{
    Result,
    accounts::{LimitDecision, LimitStore, Rate},
};

use crate::{
    PostgresStore, SqlQuery,
    row::{Columns, LONGEST_MICROS, interval},
};

/// The arithmetic of `Rate::take` as one statement. The row is locked while it is compared, so
/// many at once never get more than the rate allows; without a row back, it was refused.
const TAKE: &str = "
    insert into nexo_limits as l (key, full_at)
    select $1, now() + $2 where $2 <= $3
    on conflict (key) do update set full_at = greatest(l.full_at, now()) + $2
        where greatest(l.full_at, now()) + $2 - now() <= $3
    returning 1";

const LOOK: &str = "
    select now(), (select full_at from nexo_limits where key = $1)";

const PRUNE: &str = "delete from nexo_limits where full_at <= now()";

#[async_trait]
impl LimitStore for PostgresStore {
    async fn take_limit(&self, key: &str, rate: Rate) -> Result<LimitDecision> {
        match self.write_optional(take_query(key, rate)).await? {
            Some(_) => Ok(LimitDecision::Allowed),
            None => Ok(LimitDecision::Refused { retry_after: self.wait(key, rate).await? }),
        }
    }

    async fn prune_limits(&self) -> Result<()> {
        self.write(sqlx::query(PRUNE)).await.map(drop)
    }
}

impl PostgresStore {
    /// How long until one more would be allowed.
    async fn wait(&self, key: &str, rate: Rate) -> Result<Duration> {
        let row = self.read_optional(sqlx::query(LOOK).bind(key)).await?;
        let Some(row) = row else { return Ok(Duration::ZERO) };
        let mut columns = Columns::of(&row);
        let now = columns.time()?.as_micros();
        let full_at = columns.optional_time()?.map(nexo_core::Timestamp::as_micros);
        Ok(rate.take(now, full_at).err().unwrap_or(Duration::ZERO))
    }
}

fn take_query(key: &str, rate: Rate) -> SqlQuery<'static> {
    // Far beyond any real rate, where the sum would leave PostgreSQL's range of times.
    let longest = Duration::from_micros(LONGEST_MICROS.unsigned_abs());
    let allowance = rate.interval.saturating_mul(rate.burst).min(longest);
    sqlx::query(TAKE).bind(key.to_owned()).bind(interval(rate.interval)).bind(interval(allowance))
}
