//! Signatures of webhooks: how an agent knows that a request is nexo's, and nobody changed it.
//!
//! Every signed request carries two signatures over the same bytes: the plain one,
//! `sha256=` and hex over `{timestamp}.{body}`, and the one of [Standard Webhooks 1.0],
//! `v1,` and base64 over `{id}.{timestamp}.{body}`. A receiver checks whichever it likes,
//! with [`Verifier`] or a library in its own language.
//!
//! [Standard Webhooks 1.0]: https://github.com/standard-webhooks/standard-webhooks

use std::time::Duration;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Secret;

/// How far a request's timestamp may be from the receiver's clock.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

const PLAIN_PREFIX: &str = "sha256=";
const STANDARD_PREFIX: &str = "v1,";
const KEY_PREFIX: &str = "whsec_";

/// Base64 with or without padding: implementations differ in which of them they write.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Signs one request in the plain form.
///
/// The signed text is `{timestamp}.{body}`: the body byte for byte as it is sent, never
/// re-serialised, and the timestamp so that a receiver can turn away replays.
/// `timestamp` is in whole seconds since the Unix epoch. The result is `sha256=` and 64
/// lower-case hex digits (HMAC-SHA256, RFC 2104).
///
/// ```
/// # use nexo_core::signature::sign;
/// let signature = sign(b"nexo-vector-key", 1_767_225_600, br#"{"ping":"pong"}"#);
/// assert!(signature.starts_with("sha256=2289d808cc98d288"));
/// ```
#[must_use]
pub fn sign(secret: &[u8], timestamp: i64, body: &[u8]) -> String {
    let mac = mac(secret, &[timestamp.to_string().as_bytes(), b".", body]);
    format!("{PLAIN_PREFIX}{}", hex::encode(mac.finalize().into_bytes()))
}

/// Signs one request as Standard Webhooks 1.0 says, with every secret that is active.
///
/// The signed text is `{id}.{timestamp}.{body}`; the result has one `v1,` and base64 for each
/// secret, separated by spaces, so that a receiver can change its secret at any time.
/// The key is what the base64 after `whsec_` stands for; a secret that isn't written like
/// that is used as it is, in UTF-8.
#[must_use]
pub fn sign_standard(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let timestamp = timestamp.to_string();
    let signatures: Vec<String> = secrets
        .iter()
        .map(|secret| {
            let mac = standard_mac(secret, id, &timestamp, body);
            format!("{STANDARD_PREFIX}{}", STANDARD.encode(mac.finalize().into_bytes()))
        })
        .collect();
    signatures.join(" ")
}

/// Why a request is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignature {
    /// There is no secret that is not empty, so nothing can be checked.
    #[error("no secret to verify with")]
    NoSecret,
    /// A header that is needed is absent or empty.
    #[error("a signature header is missing")]
    Missing,
    /// The timestamp is not a whole number of seconds.
    #[error("the timestamp is not a number")]
    BadTimestamp,
    /// The timestamp is too long ago: perhaps a replay.
    #[error("the timestamp is too old")]
    TooOld,
    /// The timestamp is too far in the future.
    #[error("the timestamp is in the future")]
    TooNew,
    /// No signature fits any of the secrets.
    #[error("the signature does not match")]
    Mismatch,
}

/// Checks that a request comes from who has the secret, unchanged and just now.
///
/// It reads the headers of Standard Webhooks if they are there, else the plain ones.
///
/// ```
/// # use nexo_core::signature::{Verifier, sign};
/// let (now, body) = (1_767_225_600, br#"{"ping":"pong"}"#);
/// let signature = sign(b"hunter2", now, body);
/// let header = |name: &str| match name {
///     "X-Timestamp" => Some("1767225600"),
///     "X-Signature" => Some(signature.as_str()),
///     _ => None,
/// };
///
/// let verifier = Verifier::new(["hunter2"]);
/// assert!(verifier.verify(header, body, now).is_ok());
/// assert!(verifier.verify(header, b"changed", now).is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Verifier {
    secrets: Vec<Secret>,
    tolerance: Duration,
    timestamp_header: String,
    signature_header: String,
}

impl Verifier {
    /// Accepts what is signed with any of these secrets; empty ones are left out. The
    /// timestamp may be [`TOLERANCE`] away, the plain headers are `X-Timestamp` and
    /// `X-Signature`.
    pub fn new(secrets: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let secrets = secrets.into_iter().map(|secret| Secret::new(secret));
        Self {
            secrets: secrets.filter(|secret| !secret.expose().is_empty()).collect(),
            tolerance: TOLERANCE,
            timestamp_header: "X-Timestamp".to_owned(),
            signature_header: "X-Signature".to_owned(),
        }
    }

    /// How far the timestamp may be from the clock, either way.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// What the plain headers are called, where the server was told other names.
    #[must_use]
    pub fn with_headers(mut self, timestamp: &str, signature: &str) -> Self {
        timestamp.clone_into(&mut self.timestamp_header);
        signature.clone_into(&mut self.signature_header);
        self
    }

    /// Verifies a request. `header` gives the value of a header (names are case-insensitive
    /// in HTTP), `body` is what was received, byte for byte, and `now` the time in seconds
    /// since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`InvalidSignature`], which says what is wrong: for the receiver's log, not for the
    /// answer.
    pub fn verify<'a>(
        &self,
        header: impl Fn(&str) -> Option<&'a str>,
        body: &[u8],
        now: i64,
    ) -> Result<(), InvalidSignature> {
        let header = |name: &str| header(name).filter(|value| !value.is_empty());
        match header("webhook-signature") {
            Some(signatures) => {
                let id = header("webhook-id").ok_or(InvalidSignature::Missing)?;
                self.verify_standard(id, header("webhook-timestamp"), signatures, body, now)
            }
            None => {
                let signature = header(&self.signature_header).ok_or(InvalidSignature::Missing)?;
                self.verify_plain(header(&self.timestamp_header), signature, body, now)
            }
        }
    }

    /// An id with a dot is refused: what follows the dot could be taken for the timestamp,
    /// and an old request replayed under another id.
    fn verify_standard(
        &self,
        id: &str,
        timestamp: Option<&str>,
        signatures: &str,
        body: &[u8],
        now: i64,
    ) -> Result<(), InvalidSignature> {
        let timestamp = self.check_timestamp(timestamp, now)?;
        if id.contains('.') {
            return Err(InvalidSignature::Mismatch);
        }
        let candidates = signatures.split(' ').filter_map(|it| it.strip_prefix(STANDARD_PREFIX));
        let candidates: Vec<_> = candidates.filter_map(|it| LENIENT.decode(it).ok()).collect();
        self.any_secret(&candidates, |secret| standard_mac(secret, id, timestamp, body))
    }

    fn verify_plain(
        &self,
        timestamp: Option<&str>,
        signature: &str,
        body: &[u8],
        now: i64,
    ) -> Result<(), InvalidSignature> {
        let timestamp = self.check_timestamp(timestamp, now)?;
        let candidate = signature.strip_prefix(PLAIN_PREFIX).and_then(|it| hex::decode(it).ok());
        let candidate = candidate.ok_or(InvalidSignature::Mismatch)?;
        self.any_secret(&[candidate], |secret| {
            mac(secret.expose().as_bytes(), &[timestamp.as_bytes(), b".", body])
        })
    }

    /// The comparison takes the same time wherever the first difference is.
    fn any_secret(
        &self,
        candidates: &[Vec<u8>],
        mac: impl Fn(&Secret) -> Hmac<Sha256>,
    ) -> Result<(), InvalidSignature> {
        if self.secrets.is_empty() {
            return Err(InvalidSignature::NoSecret);
        }
        let fits = self.secrets.iter().any(|secret| {
            let mac = mac(secret);
            candidates.iter().any(|candidate| mac.clone().verify_slice(candidate).is_ok())
        });
        if fits { Ok(()) } else { Err(InvalidSignature::Mismatch) }
    }

    fn check_timestamp<'a>(
        &self,
        timestamp: Option<&'a str>,
        now: i64,
    ) -> Result<&'a str, InvalidSignature> {
        let text = timestamp.ok_or(InvalidSignature::Missing)?;
        let at: i64 = text.parse().map_err(|_| InvalidSignature::BadTimestamp)?;
        let tolerance = i64::try_from(self.tolerance.as_secs()).unwrap_or(i64::MAX);
        if at < now.saturating_sub(tolerance) {
            Err(InvalidSignature::TooOld)
        } else if at > now.saturating_add(tolerance) {
            Err(InvalidSignature::TooNew)
        } else {
            Ok(text)
        }
    }
}

fn standard_mac(secret: &Secret, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let key = standard_key(secret.expose());
    mac(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body])
}

/// A secret that only looks like base64 after `whsec_` is used as it is: any text works.
fn standard_key(secret: &str) -> Vec<u8> {
    let decoded = secret.strip_prefix(KEY_PREFIX).and_then(|text| LENIENT.decode(text).ok());
    decoded.filter(|key| !key.is_empty()).unwrap_or_else(|| secret.as_bytes().to_vec())
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests;
