//! Rate limits: how often something may be tried, from one network and on one account.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use nexo_core::accounts::{LimitDecision, LimitStore, Rate};
use sha2::{Digest, Sha256};

use super::deadlines::Deadlines;
use crate::ApiError;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// The limits, each for one network or one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Logins from one network.
    pub login_by_network: Rate,
    /// Wrong passwords for one account.
    pub login_by_account: Rate,
    /// Registrations from one network.
    pub register_by_network: Rate,
    /// Mails asked for from one network.
    pub mail_by_network: Rate,
    /// Mails asked for to one account.
    pub mail_by_account: Rate,
    /// Tokens from mails tried from one network.
    pub token_by_network: Rate,
    /// Wrong partner secrets from one network.
    pub partner_by_network: Rate,
    /// Wrong partner secrets for one app.
    pub partner_by_app: Rate,
    /// Runs and webhook tests asked for by one owner or partner, on one server.
    pub runs_by_caller: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            login_by_network: Rate::per(60, MINUTE),
            login_by_account: Rate::per(20, MINUTE),
            register_by_network: Rate::per(60, HOUR),
            mail_by_network: Rate::per(60, HOUR),
            mail_by_account: Rate::per(5, HOUR),
            token_by_network: Rate::per(60, MINUTE),
            partner_by_network: Rate::per(60, MINUTE),
            partner_by_app: Rate::per(120, MINUTE),
            runs_by_caller: Rate::per(1_200, MINUTE),
        }
    }
}

/// Counts against the limits: in the store, so that several servers share them, where there
/// is one, else in memory.
#[derive(Clone)]
pub struct Throttle {
    limits: Option<Limits>,
    shared: Option<Arc<dyn LimitStore>>,
    local: Arc<Local>,
}

impl Throttle {
    /// Counts in memory.
    #[must_use]
    pub fn local(limits: Limits) -> Self {
        Self { limits: Some(limits), shared: None, local: Arc::default() }
    }

    /// Counts in a store.
    #[must_use]
    pub fn shared(limits: Limits, store: Arc<dyn LimitStore>) -> Self {
        Self { shared: Some(store), ..Self::local(limits) }
    }

    /// Nothing is limited.
    #[must_use]
    pub fn off() -> Self {
        Self { limits: None, shared: None, local: Arc::default() }
    }

    /// Counts one more of `action` for `who`.
    ///
    /// # Errors
    ///
    /// 429 if that is one too many.
    pub(crate) async fn count(
        &self,
        action: &str,
        who: &str,
        rate: fn(&Limits) -> Rate,
    ) -> Result<(), ApiError> {
        let Some(limits) = &self.limits else { return Ok(()) };
        let (key, rate) = (key(action, who), rate(limits));
        self.refuse_blocked(&key)?;
        let decision = match &self.shared {
            Some(store) => store.take_limit(&key, rate).await?,
            None => self.local.take(&key, rate),
        };
        self.judge(key, decision)
    }

    /// Counts one more in this server's memory only: for what is too frequent for a store.
    pub(crate) fn count_local(
        &self,
        action: &str,
        who: &str,
        rate: fn(&Limits) -> Rate,
    ) -> Result<(), ApiError> {
        let Some(limits) = &self.limits else { return Ok(()) };
        let decision = self.local.take(&key(action, who), rate(limits));
        match decision {
            LimitDecision::Allowed => Ok(()),
            LimitDecision::Refused { retry_after } => Err(refusal(retry_after)),
        }
    }

    /// Refuses `who` if the last count did: no guess is even looked at then.
    pub(crate) fn refuse_if_blocked(&self, action: &str, who: &str) -> Result<(), ApiError> {
        if self.limits.is_none() { Ok(()) } else { self.refuse_blocked(&key(action, who)) }
    }

    fn refuse_blocked(&self, key: &str) -> Result<(), ApiError> {
        self.local.blocked_for(key).map_or(Ok(()), |wait| Err(refusal(wait)))
    }

    fn judge(&self, key: String, decision: LimitDecision) -> Result<(), ApiError> {
        match decision {
            LimitDecision::Allowed => Ok(()),
            LimitDecision::Refused { retry_after } => {
                self.local.block(&key, retry_after);
                Err(refusal(retry_after))
            }
        }
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle").field("limits", &self.limits).finish_non_exhaustive()
    }
}

fn refusal(wait: Duration) -> ApiError {
    ApiError::rate_limited(wait.as_secs().saturating_add(1))
}

/// The key under which it is counted. Who it is stays a digest: clients choose it, and it may
/// be an e-mail address.
fn key(action: &str, who: &str) -> String {
    let digest = Sha256::digest(who.to_lowercase());
    format!("{action}:{}", hex::encode(&digest[..16]))
}

/// What one server remembers; times are microseconds since the first was asked for.
#[derive(Default)]
struct Local {
    /// When the allowance of each key will be whole again.
    counts: Mutex<Deadlines>,
    /// Until when each key is refused.
    blocked: Mutex<Deadlines>,
    started: OnceLock<Instant>,
}

impl Local {
    fn now(&self) -> i64 {
        micros(self.started.get_or_init(Instant::now).elapsed())
    }

    fn take(&self, key: &str, rate: Rate) -> LimitDecision {
        let now = self.now();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match rate.take(now, counts.get(key)) {
            Ok(full_at) => {
                counts.set(key, full_at, now);
                LimitDecision::Allowed
            }
            Err(retry_after) => LimitDecision::Refused { retry_after },
        }
    }

    fn block(&self, key: &str, wait: Duration) {
        let now = self.now();
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        blocked.set(key, now.saturating_add(micros(wait)), now);
    }

    fn blocked_for(&self, key: &str) -> Option<Duration> {
        let blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = u64::try_from(blocked.get(key)? - self.now()).ok()?;
        (wait > 0).then(|| Duration::from_micros(wait))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_network_is_refused_and_another_is_not() {
        let limits = Limits { login_by_network: Rate::per(2, HOUR), ..Limits::default() };
        let throttle = Throttle::local(limits);
        let login = |who| throttle.count("login", who, |limits| limits.login_by_network);

        assert!(login("1.2.3.4").await.is_ok());
        assert!(login("1.2.3.4").await.is_ok());
        let refused = login("1.2.3.4").await.unwrap_err();

        assert_eq!(refused.status(), 429);
        assert!(throttle.refuse_if_blocked("login", "1.2.3.4").is_err());
        assert!(login("1.2.3.5").await.is_ok());
    }

    #[tokio::test]
    async fn nothing_is_limited_when_it_is_off() {
        let throttle = Throttle::off();

        for _ in 0..1_000 {
            assert!(throttle.count("login", "x", |limits| limits.login_by_account).await.is_ok());
        }
    }
}
