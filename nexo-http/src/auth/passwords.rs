//! Passwords: hashed with Argon2id, away from the threads that serve requests.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use argon2::{Algorithm, Argon2, Params, Version, password_hash::phc::PasswordHash};
use tokio::sync::Semaphore;

use super::argon2id::{self, hash};
use crate::ApiError;

/// How many hashes are computed at once: each takes 19 MiB and a core.
const AT_ONCE: usize = 2;
/// How many may wait for it; more are turned away.
const QUEUE: usize = 32;
const SPECIAL: &str = "!@#$%^&*(),.?\":{}|<>";
const MIN_CHARS: usize = 8;

/// What hashing a password costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordSettings {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for PasswordSettings {
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2, lanes: 1 }
    }
}

/// Hashes and checks passwords, a few at a time.
#[derive(Clone, Debug)]
pub struct Passwords {
    argon2: Argon2<'static>,
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// Checked in place of an unknown user's, so that both take the same time.
    dummy: Arc<str>,
}

/// What checking a password found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is another one.
    Wrong,
    /// It is the one.
    Right,
    /// It is the one, and this is a better hash of it.
    RightWithUpgrade(String),
}

impl Passwords {
    /// Hashing at this cost.
    ///
    /// # Panics
    ///
    /// If the settings are outside of what Argon2 allows.
    #[must_use]
    pub fn new(settings: PasswordSettings) -> Self {
        let params = Params::new(settings.memory_kib, settings.passes, settings.lanes, None)
            .expect("the settings are within Argon2's bounds");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let dummy = hash(&argon2, "nobody's password").into();
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        Self { argon2, permits, waiting: Arc::default(), dummy }
    }

    /// Hashes a password.
    ///
    /// # Errors
    ///
    /// 503 if too many wait already.
    pub async fn hash(&self, password: String) -> Result<String, ApiError> {
        let argon2 = self.argon2.clone();
        self.work(move || hash(&argon2, &password)).await
    }

    /// Checks a password against a stored hash; without one, takes the same time and is wrong.
    pub(crate) async fn verify(
        &self,
        password: String,
        stored: Option<String>,
    ) -> Result<Verdict, ApiError> {
        let (argon2, dummy) = (self.argon2.clone(), Arc::clone(&self.dummy));
        self.work(move || match stored {
            Some(stored) => verify(&argon2, &password, &stored),
            None => {
                verify(&argon2, &password, &dummy);
                Verdict::Wrong
            }
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let _place = Place::take(&self.waiting).ok_or(ApiError::UNAVAILABLE)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let work = move || {
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))
    }
}

/// A place in the queue, given back when the caller goes away as well.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(waiting));
        (waiting.fetch_add(1, Ordering::Relaxed) < AT_ONCE + QUEUE).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn verify(argon2: &Argon2<'_>, password: &str, stored: &str) -> Verdict {
    if is_bcrypt(stored) {
        return match bcrypt::verify(password, stored) {
            Ok(true) => Verdict::RightWithUpgrade(hash(argon2, password)),
            _ => Verdict::Wrong,
        };
    }
    let Ok(parsed) = PasswordHash::new(stored) else { return Verdict::Wrong };
    if !argon2id::verifies(password, &parsed) {
        return Verdict::Wrong;
    }
    if is_weaker(&parsed, argon2.params()) {
        return Verdict::RightWithUpgrade(hash(argon2, password));
    }
    Verdict::Right
}

fn is_bcrypt(stored: &str) -> bool {
    ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| stored.starts_with(prefix))
}

/// Whether a hash was made by another algorithm, or at a lower cost.
fn is_weaker(stored: &PasswordHash, wanted: &Params) -> bool {
    let Ok(params) = Params::try_from(stored) else { return true };
    stored.algorithm.as_str() != "argon2id"
        || params.m_cost() < wanted.m_cost()
        || params.t_cost() < wanted.t_cost()
}

/// What a new password lacks, a sentence each; empty if it will do.
#[must_use]
pub fn shortcomings(password: &str, email: &str) -> Vec<String> {
    let rules = [
        (password.chars().count() >= MIN_CHARS, "Use at least 8 characters."),
        (email.is_empty() || !password.contains(email), "Leave your e-mail address out of it."),
        (password.chars().any(char::is_uppercase), "Use at least one upper-case letter."),
        (
            password.chars().any(|c| SPECIAL.contains(c)),
            "Use at least one of the special characters ! @ # $ % ^ & * ( ) , . ? \" : { } | < >.",
        ),
    ];
    rules.into_iter().filter(|(kept, _)| !kept).map(|(_, rule)| rule.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> Passwords {
        Passwords::new(PasswordSettings { memory_kib: 8, passes: 1, lanes: 1 })
    }

    #[tokio::test]
    async fn a_hash_knows_its_password() {
        let passwords = cheap();

        let hash = passwords.hash("Secret#1".into()).await.unwrap();

        assert_eq!(
            passwords.verify("Secret#1".into(), Some(hash.clone())).await.unwrap(),
            Verdict::Right
        );
        assert_eq!(passwords.verify("secret#1".into(), Some(hash)).await.unwrap(), Verdict::Wrong);
        assert_eq!(passwords.verify("Secret#1".into(), None).await.unwrap(), Verdict::Wrong);
    }

    #[test]
    fn foreign_and_weaker_hashes_verify_and_are_replaced() {
        let weak = cheap().argon2;
        let strong =
            Passwords::new(PasswordSettings { memory_kib: 16, passes: 1, lanes: 1 }).argon2;
        let bcrypt = bcrypt::hash("Secret#1", 4).unwrap();

        for stored in [hash(&weak, "Secret#1"), bcrypt.clone(), bcrypt.replace("$2b$", "$2y$")] {
            let Verdict::RightWithUpgrade(better) = verify(&strong, "Secret#1", &stored) else {
                panic!("{stored} is to be replaced");
            };
            assert_eq!(verify(&strong, "Secret#1", &better), Verdict::Right);
            assert_eq!(verify(&strong, "other", &stored), Verdict::Wrong);
        }
        assert_eq!(verify(&weak, "Secret#1", &hash(&strong, "Secret#1")), Verdict::Right);
        assert_eq!(verify(&weak, "Secret#1", "garbage"), Verdict::Wrong);
    }

    #[test]
    fn every_rule_that_a_password_breaks_is_told_in_order() {
        let starts = |password: &str, email: &str| -> Vec<String> {
            let rules = shortcomings(password, email);
            rules.iter().map(|rule| rule.split(' ').take(4).collect::<Vec<_>>().join(" ")).collect()
        };

        assert_eq!(
            starts("a", "a"),
            ["Use at least 8", "Leave your e-mail address", "Use at least one", "Use at least one"]
        );
        assert!(shortcomings("Ünïcode!x", "n@x.io").is_empty());
        assert_eq!(shortcomings("Abcdefg-_", "n@x.io").len(), 1);
    }
}
