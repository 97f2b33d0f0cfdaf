//! Rate limits.

use std::time::Duration;

use async_trait::async_trait;

use super::{super::MemoryStore, Accounts};
use crate::{
    Result, Timestamp,
    accounts::{LimitDecision, LimitStore, Rate},
};

impl Accounts {
    /// When the allowance would be whole again after one more, or how long that has to wait.
    fn one_more(&self, key: &str, rate: Rate, now: Timestamp) -> Result<Timestamp, Duration> {
        let full_at = self.limits.get(key).map(|full_at| full_at.as_micros());
        rate.take(now.as_micros(), full_at).map(Timestamp::from_micros)
    }
}

fn decision<T>(taken: Result<T, Duration>) -> LimitDecision {
    match taken {
        Ok(_) => LimitDecision::Allowed,
        Err(retry_after) => LimitDecision::Refused { retry_after },
    }
}

#[async_trait]
impl LimitStore for MemoryStore {
    async fn take_limit(&self, key: &str, rate: Rate) -> Result<LimitDecision> {
        self.step(|state, now| {
            let taken = state.accounts.one_more(key, rate, now);
            if let Ok(full_at) = taken {
                state.accounts.limits.insert(key.to_owned(), full_at);
            }
            Ok(decision(taken))
        })
    }

    async fn peek_limit(&self, key: &str, rate: Rate) -> Result<LimitDecision> {
        self.step(|state, now| Ok(decision(state.accounts.one_more(key, rate, now))))
    }

    async fn prune_limits(&self) -> Result<()> {
        self.step(|state, now| state.accounts.limits.retain(|_, full_at| *full_at > now));
        Ok(())
    }
}
