//! Fingerprints: how servers on one database notice that their secrets differ.
//!
//! A server with other token secrets would sign everybody out on every second request, and
//! one without the encryption key could not sign a webhook. It is better not to start.

use nexo_core::{KeyRing, Secret, Store};
use sha2::{Digest, Sha256};

use super::{ACCESS, ENCRYPTION, RESET_PASSWORD, Secrets, VERIFICATION};
use crate::error::{Context, Failure, Result};

/// Notes the fingerprints at the first start, and compares them at every later one.
pub(crate) async fn pin(store: &dyn Store, secrets: &Secrets) -> Result<()> {
    let tokens = &secrets.tokens;
    let mut differing = Vec::new();
    for (name, secret) in [
        (ACCESS, &tokens.access),
        (RESET_PASSWORD, &tokens.reset_password),
        (VERIFICATION, &tokens.verification),
    ] {
        let own = fingerprint(name, secret.expose());
        if standing(store, name, &own).await? != own {
            differing.push(name);
        }
    }
    let own = ring(&secrets.keys);
    let standing = standing(store, ENCRYPTION, &own[0]).await?;
    // A new key in front of the ring is welcome, as long as the first one is still there.
    if !own.contains(&standing) {
        differing.push(ENCRYPTION);
    }
    if differing.is_empty() { Ok(()) } else { Err(refusal(&differing)) }
}

async fn standing(store: &dyn Store, name: &str, own: &str) -> Result<String> {
    let pinned = store.pin_setting(&setting(name), own).await;
    pinned.context("the fingerprints of the secrets can't be compared")
}

fn setting(name: &str) -> String {
    format!("fingerprint.{name}")
}

/// One way: a secret of 32 random bytes can't be guessed from it.
fn fingerprint(name: &str, secret: &str) -> String {
    let digest = Sha256::new().chain_update(name).chain_update(b"\0").chain_update(secret);
    hex::encode(digest.finalize())
}

/// The fingerprint of every key on the ring, the one that seals first.
fn ring(keys: &KeyRing) -> Vec<String> {
    let written: Secret = keys.expose();
    written.expose().split(',').map(|key| fingerprint(ENCRYPTION, key)).collect()
}

fn refusal(differing: &[&str]) -> Failure {
    let names = differing.join(", ");
    let rows: Vec<String> = differing.iter().map(|name| setting(name)).collect();
    Failure::new(format!(
        "this server's secrets are not those that the database was used with: {names}\n\
         \n\
         Copy them from a server that works: from its variables, or from secrets.toml in its\n\
         data directory. If they were changed on purpose, delete the rows named {}\n\
         from the table nexo_settings; that signs everybody out, and webhook secrets that were\n\
         sealed with a lost key can't be read again.",
        rows.join(", "),
    ))
}

#[cfg(test)]
mod tests {
    use nexo_core::MemoryStore;
    use nexo_http::TokenSecrets;

    use super::*;

    fn secrets(access: &str, keys: &KeyRing) -> Secrets {
        let tokens = TokenSecrets {
            access: access.into(),
            reset_password: "r".into(),
            verification: "v".into(),
        };
        Secrets { tokens, keys: keys.clone() }
    }

    #[tokio::test]
    async fn the_same_secrets_are_welcome_again_and_others_are_refused_by_name() {
        let (store, keys) = (MemoryStore::new(), KeyRing::generate("k1"));
        pin(&store, &secrets("a", &keys)).await.unwrap();

        pin(&store, &secrets("a", &keys)).await.unwrap();
        let other = pin(&store, &secrets("b", &KeyRing::generate("k1"))).await;

        let refused = other.unwrap_err().to_string();
        assert!(refused.contains("ACCESS_SECRET_KEY, ENCRYPTION_KEYS"), "{refused}");
        assert!(!refused.contains("VERIFICATION_SECRET_KEY"), "{refused}");
    }

    #[tokio::test]
    async fn a_new_encryption_key_may_be_put_in_front() {
        let (store, old) = (MemoryStore::new(), KeyRing::generate("old"));
        pin(&store, &secrets("a", &old)).await.unwrap();
        let new = KeyRing::generate("new");
        let both = format!("{},{}", new.expose().expose(), old.expose().expose());

        pin(&store, &secrets("a", &both.parse().unwrap())).await.unwrap();

        assert!(pin(&store, &secrets("a", &new)).await.is_err());
    }
}
