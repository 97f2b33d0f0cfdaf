//! Fingerprints: how servers on one database notice that their secrets differ.
//!
//! A server with other token secrets would sign everybody out on every second request, and
//! one without the encryption key could not sign a webhook. It is better not to start.

use std::collections::BTreeSet;

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
        if !stands(store, name, fingerprint(name, secret.expose())).await? {
            differing.push((name, setting(name)));
        }
    }
    let keys = ring(&secrets.keys);
    for (id, key) in &keys {
        let name = format!("{ENCRYPTION}.{id}");
        if !stands(store, &name, key.clone()).await? {
            differing.push((ENCRYPTION, setting(&name)));
        }
    }
    if !differing.is_empty() {
        return Err(refusal(&differing));
    }
    let used = store.sealing_keys().await.context("the keys in use can't be listed")?;
    let missing: Vec<String> =
        used.into_iter().filter(|id| !keys.iter().any(|(own, _)| own == id)).collect();
    if missing.is_empty() { Ok(()) } else { Err(missing_keys(&missing)) }
}

async fn stands(store: &dyn Store, name: &str, own: String) -> Result<bool> {
    let pinned = store.pin_setting(&setting(name), &own).await;
    Ok(pinned.context("the fingerprints of the secrets can't be compared")? == own)
}

fn setting(name: &str) -> String {
    format!("fingerprint.{name}")
}

/// One way: a secret of 32 random bytes can't be guessed from it.
fn fingerprint(name: &str, secret: &str) -> String {
    let digest = Sha256::new().chain_update(name).chain_update(b"\0").chain_update(secret);
    hex::encode(digest.finalize())
}

/// The id and the fingerprint of every key on the ring.
fn ring(keys: &KeyRing) -> Vec<(String, String)> {
    let written: Secret = keys.expose();
    let keys = written.expose().split(',').filter_map(|key| key.split_once(':'));
    keys.map(|(id, key)| (id.to_owned(), fingerprint(ENCRYPTION, key))).collect()
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
         anew within some minutes, and the old keys are not needed any more then.",
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

    #[tokio::test]
    async fn keys_come_and_go_as_long_as_each_is_what_it_was() {
        let (store, old) = (MemoryStore::new(), KeyRing::generate("old"));
        pin(&store, &secrets("a", &old)).await.unwrap();
        let new = KeyRing::generate("new");
        let both = format!("{},{}", new.expose().expose(), old.expose().expose());

        pin(&store, &secrets("a", &both.parse().unwrap())).await.unwrap();
        pin(&store, &secrets("a", &new)).await.unwrap();

        let another = pin(&store, &secrets("a", &KeyRing::generate("old"))).await;
        let refused = another.unwrap_err().to_string();
        assert!(refused.contains("fingerprint.ENCRYPTION_KEYS.old"), "{refused}");
    }
}
