//! Rate limits.

use async_trait::async_trait;

use super::{super::MemoryStore, Accounts};
use crate::{
    Result, Timestamp,
    accounts::{LimitDecision, LimitStore, Rate},
};

impl Accounts {
    fn take(&mut self, key: &str, rate: Rate, now: Timestamp) -> LimitDecision {
        let full_at = self.limits.get(key).map(|full_at| full_at.as_micros());
        match rate.take(now.as_micros(), full_at) {
            Ok(full_at) => {
                self.limits.insert(key.to_owned(), Timestamp::from_micros(full_at));
                LimitDecision::Allowed
            }
            Err(retry_after) => LimitDecision::Refused { retry_after },
        }
    }
}

#[async_trait]
impl LimitStore for MemoryStore {
    async fn take_limit(&self, key: &str, rate: Rate) -> Result<LimitDecision> {
        self.step(|state, now| Ok(state.accounts.take(key, rate, now)))
    }

    async fn prune_limits(&self) -> Result<()> {
        self.step(|state, now| state.accounts.limits.retain(|_, full_at| *full_at > now));
        Ok(())
    }
}
