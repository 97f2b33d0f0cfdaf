//! Secrets: values that are never printed, and sealed before they are stored.
//!
//! A signing secret has to be readable, since every webhook is signed with it. It is kept
//! under authenticated encryption (XChaCha20-Poly1305) with a key that is not in the
//! database; the row it belongs to is part of what is authenticated, so that a ciphertext
//! moved to another row does not open.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
    str::FromStr,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{Error, Result};

const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;

/// A text that is shown as `***`. To compare it, use [`Secret::matches`].
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text as a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself: for signing and sending, never for a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `text` is the secret; takes the same time wherever the first difference is.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

/// Takes the same time wherever the first difference is.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.expose())
    }
}

impl Eq for Secret {}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The keys that secrets are sealed with: the first seals, all of them open.
///
/// Written as `id:base64 of 32 bytes`, separated by commas. To change the key, give all servers
/// the new one behind the old; then put it in front, and keep the old one until everything was
/// sealed again ([`AppStore::reseal_secrets`](crate::AppStore::reseal_secrets)).
///
/// ```
/// # use nexo_core::KeyRing;
/// let keys = KeyRing::generate("k1");
/// let row = uuid::Uuid::now_v7();
/// let sealed = keys.seal("apps.webhook_secret", row, "hunter2");
/// assert_eq!(keys.open("apps.webhook_secret", row, &sealed)?.expose(), "hunter2");
/// # Ok::<(), nexo_core::Error>(())
/// ```
#[derive(Clone)]
pub struct KeyRing {
    sealing: String,
    keys: BTreeMap<String, Zeroizing<[u8; KEY_BYTES]>>,
}

impl KeyRing {
    /// A ring with one new random key.
    #[must_use]
    pub fn generate(id: &str) -> Self {
        Self {
            sealing: id.to_owned(),
            keys: BTreeMap::from([(id.to_owned(), Zeroizing::new(rand::random()))]),
        }
    }

    /// The ring that is kept in a file: made with a new key where there is no such file, readable
    /// for nobody else. It is for hosts that have no better place for secrets; the file must not
    /// get lost, nor lie in the same backup as the database.
    ///
    /// ```
    /// # use nexo_core::KeyRing;
    /// # let directory = std::env::temp_dir().join(uuid::Uuid::now_v7().to_string());
    /// # std::fs::create_dir(&directory)?;
    /// # let path = directory.join("keys");
    /// let keys = KeyRing::in_file(&path)?;
    /// let the_next_time = KeyRing::in_file(&path)?;
    /// assert_eq!(keys.expose(), the_next_time.expose());
    /// # std::fs::remove_dir_all(directory)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the file can't be read or made, or holds no ring.
    pub fn in_file(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        match make_private(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let text = Zeroizing::new(fs::read_to_string(path)?);
                let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
                text.trim().parse().map_err(invalid)
            }
            made => {
                let (mut file, keys) = (made?, Self::generate("k1"));
                file.write_all(keys.expose().expose().as_bytes())?;
                file.sync_all()?;
                Ok(keys)
            }
        }
    }

    /// The ring in its written form, to be kept: this is the secret itself.
    #[must_use]
    pub fn expose(&self) -> Secret {
        let others = self.keys.keys().filter(|id| **id != self.sealing);
        let entries: Vec<String> = std::iter::once(&self.sealing)
            .chain(others)
            .map(|id| format!("{id}:{}", STANDARD.encode(*self.keys[id])))
            .collect();
        Secret::new(entries.join(","))
    }

    /// The id of the key that seals.
    #[must_use]
    pub fn sealing_key(&self) -> &str {
        &self.sealing
    }

    /// The ids of all others, which open what they have sealed before.
    pub fn former_keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str).filter(|id| *id != self.sealing)
    }

    /// Seals a secret that belongs to one row of one column.
    ///
    /// The result is text: the key's id, a colon, and nonce and ciphertext in base64.
    #[must_use]
    pub fn seal(&self, column: &str, row: Uuid, secret: &str) -> String {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let sealed = self
            .cipher(&self.sealing)
            .expect("the sealing key is on the ring")
            .encrypt(
                &XNonce::from(nonce),
                Payload { msg: secret.as_bytes(), aad: &associated(column, row) },
            )
            .expect("a secret is far shorter than the cipher's limit");
        format!("{}:{}", self.sealing, STANDARD.encode([&nonce[..], &sealed].concat()))
    }

    /// Seals what was sealed for this row of this column once more, with the key that seals now.
    ///
    /// # Errors
    ///
    /// Those of [`Self::open`].
    pub fn reseal(&self, column: &str, row: Uuid, sealed: &str) -> Result<String> {
        Ok(self.seal(column, row, self.open(column, row, sealed)?.expose()))
    }

    /// Opens a secret that was sealed for this row of this column.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the key is not on the ring, or the text was sealed for another
    /// row, or is damaged.
    pub fn open(&self, column: &str, row: Uuid, sealed: &str) -> Result<Secret> {
        let corrupt = || Error::Corrupt("sealed secret");
        let (id, text) = sealed.split_once(':').ok_or_else(corrupt)?;
        let cipher = self.cipher(id).ok_or(Error::Corrupt("sealed with an unknown key"))?;
        let bytes = STANDARD.decode(text).map_err(|_| corrupt())?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or_else(corrupt)?;
        let payload = Payload { msg: ciphertext, aad: &associated(column, row) };
        let plain = cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| corrupt())?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| corrupt())
    }

    fn cipher(&self, id: &str) -> Option<XChaCha20Poly1305> {
        let key = self.keys.get(id)?;
        Some(XChaCha20Poly1305::new(&(**key).into()))
    }
}

fn make_private(path: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// What is authenticated beside the secret, so that a ciphertext opens only where it was put.
fn associated(column: &str, row: Uuid) -> Vec<u8> {
    [column.as_bytes(), b"\0", row.as_bytes()].concat()
}

/// The text is no list of `id:base64 of 32 bytes`, or two keys have one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("keys are written as `id:base64 of 32 bytes`, separated by commas, each with its own id")]
pub struct InvalidKeyRing;

impl FromStr for KeyRing {
    type Err = InvalidKeyRing;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut keys = BTreeMap::new();
        let mut sealing = None;
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (id, key) = entry.split_once(':').ok_or(InvalidKeyRing)?;
            let key: [u8; KEY_BYTES] = STANDARD
                .decode(key)
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or(InvalidKeyRing)?;
            sealing.get_or_insert_with(|| id.to_owned());
            let former = keys.insert(id.to_owned(), Zeroizing::new(key));
            if id.is_empty() || former.is_some() {
                return Err(InvalidKeyRing);
            }
        }
        let sealing = sealing.ok_or(InvalidKeyRing)?;
        Ok(Self { sealing, keys })
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys, {} seals)", self.keys.len(), self.sealing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_in_the_row_it_was_sealed_for() {
        let keys = KeyRing::generate("a");
        let (row, other) = (Uuid::now_v7(), Uuid::now_v7());

        let sealed = keys.seal("agents.secret", row, "the clé-ключ");

        assert_eq!(keys.open("agents.secret", row, &sealed).unwrap().expose(), "the clé-ключ");
        assert!(keys.open("agents.secret", other, &sealed).is_err());
        assert!(keys.open("apps.secret", row, &sealed).is_err());
        assert!(!sealed.contains("the cl"), "what is sealed is base64, without spaces");
    }

    #[test]
    fn an_old_key_opens_what_it_sealed_after_a_new_one_was_put_in_front() {
        let old = KeyRing::generate("old");
        let row = Uuid::now_v7();
        let sealed = old.seal("c", row, "s");

        let written =
            format!("{},{}", KeyRing::generate("new").expose().expose(), old.expose().expose());
        let ring: KeyRing = written.parse().unwrap();

        assert_eq!(ring.open("c", row, &sealed).unwrap().expose(), "s");
        assert!(ring.seal("c", row, "s").starts_with("new:"));
        assert_eq!((ring.sealing_key(), ring.former_keys().collect()), ("new", vec!["old"]));
        let resealed = ring.reseal("c", row, &sealed).unwrap();
        assert!(resealed.starts_with("new:"));
        assert_eq!(ring.open("c", row, &resealed).unwrap().expose(), "s");
        assert!(old.open("c", row, &ring.seal("c", row, "s")).is_err());
    }

    #[test]
    fn a_broken_ring_is_refused() {
        for text in ["", ",", "a", "a:", "a:AAAA", ":AAAA", "a:not base64"] {
            assert!(text.parse::<KeyRing>().is_err(), "{text}");
        }
        let twins = [KeyRing::generate("k1"), KeyRing::generate("k1")];
        let twins = twins.map(|ring| ring.expose().expose().to_owned()).join(",");
        assert!(twins.parse::<KeyRing>().is_err(), "which of them seals nobody could tell");
    }

    #[test]
    fn secrets_and_keys_are_never_printed() {
        assert_eq!(format!("{0:?} {0}", Secret::new("hunter2")), "*** ***");
        assert_eq!(format!("{:?}", KeyRing::generate("k")), "KeyRing(1 keys, k seals)");
    }
}
