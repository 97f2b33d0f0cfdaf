//! Fingerprints: how servers on one database notice that their secrets differ.
//!
//! A server with other token secrets would sign everybody out on every second request, and
//! one without the encryption key could not sign a webhook. It is better not to start.

use std::collections::BTreeSet;

use nexo_core::{KeyRing, Secret, Store};
use sha2::{Digest, Sha256};
use tracing::info;

use super::{ACCESS, ENCRYPTION, RESET_PASSWORD, Secrets, VERIFICATION};
use crate::error::{Context, Failure, Result};

/// Notes the fingerprints at the first start, and compares them at every later one.
pub(crate) async fn pin(store: &dyn Store, secrets: &Secrets) -> Result<()> {
    // First what leaves nothing behind: a server that is refused must not have others refused.
    let keys = ring(&secrets.keys);
    let used = store.sealing_keys().await.context("the keys in use can't be listed")?;
    let missing: Vec<String> =
        used.into_iter().filter(|id| !keys.iter().any(|key| key.id == *id)).collect();
    if !missing.is_empty() {
        return Err(missing_keys(&missing));
    }
    let tokens = &secrets.tokens;
    let mut differing = Vec::new();
    for (name, secret) in [
        (ACCESS, &tokens.access),
        (RESET_PASSWORD, &tokens.reset_password),
        (VERIFICATION, &tokens.verification),
    ] {
        if !stands(store, name, fingerprint(name, secret.expose())).await? {
            differing.push((name, setting(name)));
        }
    }
    let anchor = store.pin_setting(&setting(ENCRYPTION), &keys[0].whole).await;
    let anchor = anchor.context(UNCOMPARED)?;
    if !keys.iter().any(|key| key.whole == anchor) {
        differing.push((ENCRYPTION, format!("{0} and {0}.*", setting(ENCRYPTION))));
    }
    if differing.is_empty() {
        for key in &keys {
            let name = format!("{ENCRYPTION}.{}", key.id);
            if !stands(store, &name, key.alone.clone()).await? {
                differing.push((ENCRYPTION, setting(&name)));
            }
        }
    }
    if differing.is_empty() { Ok(()) } else { Err(refusal(&differing)) }
}

/// Lets go of the key that servers had in common, once everything is sealed with the one that
/// seals now: from then on it is that one.
pub(crate) async fn follow_the_key(store: &dyn Store, keys: &KeyRing) -> nexo_core::Result<()> {
    let ring = ring(keys);
    let anchor = store.pin_setting(&setting(ENCRYPTION), &ring[0].whole).await?;
    if !ring[1..].iter().any(|key| key.whole == anchor) {
        return Ok(());
    }
    let used = store.sealing_keys().await?;
    let is_settled = used.iter().all(|id| *id == ring[0].id);
    let name = setting(ENCRYPTION);
    if is_settled && store.replace_setting(&name, &anchor, &ring[0].whole).await? {
        info!("the key {} is the one that all servers need", ring[0].id);
    }
    Ok(())
}

const UNCOMPARED: &str = "the fingerprints of the secrets can't be compared";

async fn stands(store: &dyn Store, name: &str, own: String) -> Result<bool> {
    let pinned = store.pin_setting(&setting(name), &own).await;
    Ok(pinned.context(UNCOMPARED)? == own)
}

fn setting(name: &str) -> String {
    format!("fingerprint.{name}")
}

/// One way: a secret of 32 random bytes can't be guessed from it.
fn fingerprint(name: &str, secret: &str) -> String {
    let digest = Sha256::new().chain_update(name).chain_update(b"\0").chain_update(secret);
    hex::encode(digest.finalize())
}

/// A key on the ring, and its fingerprints.
struct Key {
    id: String,
    /// Of the key with its id: one that all servers have is remembered by it.
    whole: String,
    /// Of the key alone, which is remembered under its id.
    alone: String,
}

/// Every key on the ring, the one that seals first.
fn ring(keys: &KeyRing) -> Vec<Key> {
    let written: Secret = keys.expose();
    let keys = written.expose().split(',').map(|whole| {
        let (id, alone) = whole.split_once(':').unwrap_or_default();
        Key {
            id: id.to_owned(),
            whole: fingerprint(ENCRYPTION, whole),
            alone: fingerprint(ENCRYPTION, alone),
        }
    });
    keys.collect()
}

fn refusal(differing: &[(&str, String)]) -> Failure {
    let names: BTreeSet<&str> = differing.iter().map(|(name, _)| *name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let rows: Vec<&str> = differing.iter().map(|(_, row)| row.as_str()).collect();
    Failure::new(format!(
        "this server's secrets are not those that the database was used with: {}\n\
         \n\
         Copy them from a server that works: from its variables, or from secrets.toml in its\n\
         data directory. If they were changed on purpose, delete the rows named {}\n\
         from the table nexo_settings. Other secrets of tokens sign everybody out; webhook secrets\n\
         that were sealed with a lost key can't be read again.",
        names.join(", "),
        rows.join(", "),
    ))
}

fn missing_keys(ids: &[String]) -> Failure {
    Failure::new(format!(
        "webhook secrets in the database are sealed with keys that this server does not have: {}\n\
         \n\
         Add them to {ENCRYPTION}, behind the others: servers that have both seal such secrets\n\
         anew within some minutes, and the old keys are not needed any more then. What a lost key\n\
         has sealed can't be read again: set webhook_secret and previous_secret to null in the\n\
         rows of nexo_apps where they begin with its id, and give those apps new secrets.",
        ids.join(", "),
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

    fn both(first: &KeyRing, second: &KeyRing) -> KeyRing {
        let written = format!("{},{}", first.expose().expose(), second.expose().expose());
        written.parse().unwrap()
    }

    #[tokio::test]
    async fn the_key_changes_while_all_servers_have_one_in_common() {
        let (store, old, new) =
            (MemoryStore::new(), KeyRing::generate("old"), KeyRing::generate("new"));
        let starts = async |keys: &KeyRing| pin(&store, &secrets("a", keys)).await;
        starts(&old).await.unwrap();
        assert!(starts(&new).await.is_err(), "it has nothing in common with the others");

        starts(&both(&old, &new)).await.unwrap();
        follow_the_key(&store, &both(&old, &new)).await.unwrap();
        starts(&old).await.unwrap();
        starts(&both(&new, &old)).await.unwrap();
        follow_the_key(&store, &both(&new, &old)).await.unwrap();

        starts(&new).await.unwrap();
        assert!(starts(&old).await.is_err(), "it can't open what the others seal");
    }

    #[tokio::test]
    async fn a_server_that_is_refused_claims_no_id() {
        let (store, old) = (MemoryStore::new(), KeyRing::generate("old"));
        let (new, another) = (KeyRing::generate("new"), KeyRing::generate("new"));
        pin(&store, &secrets("a", &old)).await.unwrap();
        assert!(pin(&store, &secrets("b", &both(&old, &another))).await.is_err());

        pin(&store, &secrets("a", &both(&old, &new))).await.unwrap();

        let twin = pin(&store, &secrets("a", &both(&old, &another))).await;
        let refused = twin.unwrap_err().to_string();
        assert!(refused.contains("fingerprint.ENCRYPTION_KEYS.new"), "{refused}");
    }
}
