//! Keys: what a partner's backend authenticates with.
//!
//! A key is stored as a digest. Setting an app's `webhook_secret` makes one of it, so that
//! the secret serves for both, signing and the partner API.

use std::fmt;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{AppId, KeyId, Result, Timestamp};

/// The name of the key that an app's webhook secret makes.
pub const WEBHOOK_SECRET_KEY: &str = "webhook_secret";

/// A key of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppKey {
    /// The key's id.
    pub id: KeyId,
    /// The app it opens.
    pub app: AppId,
    /// What it is called.
    pub name: String,
    /// What is kept of it.
    pub digest: KeyDigest,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is valid; `None` without end.
    pub expires_at: Option<Timestamp>,
}

/// What is kept of a key: a SHA-256 over the app's id and the key, so that equal keys of two
/// apps do not look equal.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a key of this app.
    #[must_use]
    pub fn of(app: AppId, key: &str) -> Self {
        let digest = Sha256::new()
            .chain_update(b"nexo-app-key\0")
            .chain_update(app.as_uuid().as_bytes())
            .chain_update(key.as_bytes())
            .finalize();
        Self(digest.into())
    }

    /// Takes a stored digest.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest, to be stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Takes the same time wherever the first difference is.
impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyDigest {}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where keys are kept.
#[async_trait]
pub trait KeyStore: fmt::Debug + Send + Sync + 'static {
    /// Lists the keys of an app that are valid now; none if there is no such app.
    async fn valid_keys(&self, app: AppId) -> Result<Vec<AppKey>>;
}
