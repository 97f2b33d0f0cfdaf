//! Rate limits that all servers on a store share.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::Result;

/// How often something may happen: `burst` times at once, then once per `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many may come at once.
    pub burst: u32,
    /// How long it takes to win one back.
    pub interval: Duration,
}

impl Rate {
    /// `count` times within `period`, all at once if need be.
    #[must_use]
    pub fn per(count: u32, period: Duration) -> Self {
        Self { burst: count, interval: period / count.max(1) }
    }

    /// The generic cell rate algorithm: whether one more may come at `now`, where `full_at`
    /// is when the allowance will be whole again. Gives the new `full_at`, or how long to
    /// wait. All in microseconds.
    ///
    /// # Errors
    ///
    /// How long to wait until one more may come.
    pub fn take(self, now: i64, full_at: Option<i64>) -> Result<i64, Duration> {
        let interval = i64::try_from(self.interval.as_micros()).unwrap_or(i64::MAX);
        let allowance = interval.saturating_mul(i64::from(self.burst));
        let next = full_at.unwrap_or(now).max(now).saturating_add(interval);
        let excess = next.saturating_sub(now).saturating_sub(allowance);
        match u64::try_from(excess) {
            Ok(micros) if micros > 0 => Err(Duration::from_micros(micros)),
            _ => Ok(next),
        }
    }
}

/// Whether something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitDecision {
    /// It may.
    Allowed,
    /// Not before this long.
    Refused {
        /// How long to wait.
        retry_after: Duration,
    },
}

/// Where rate limits are counted.
#[async_trait]
pub trait LimitStore: fmt::Debug + Send + Sync + 'static {
    /// Counts one more for `key`, if the rate allows it; a refused one does not count.
    /// Many at once never get more than the rate allows. See [`Rate::take`].
    async fn take_limit(&self, key: &str, rate: Rate) -> Result<LimitDecision>;

    /// Forgets every key whose allowance is whole again.
    async fn prune_limits(&self) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_one_per_interval() {
        let rate = Rate::per(3, Duration::from_secs(3));
        let mut full_at = None;

        for _ in 0..3 {
            full_at = Some(rate.take(0, full_at).unwrap());
        }

        assert_eq!(rate.take(0, full_at), Err(Duration::from_secs(1)));
        full_at = Some(rate.take(1_000_000, full_at).unwrap());
        assert!(rate.take(1_000_000, full_at).is_err());
        assert!(rate.take(60_000_000, full_at).is_ok());
    }
}
