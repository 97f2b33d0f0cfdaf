//! Signatures of webhooks: how an agent knows that a request is nexo's, and nobody changed it.
//!
//! Every signed request carries two signatures over the same bytes: the plain one,
//! `sha256=` and hex over `{timestamp}.{body}`, and the one of [Standard Webhooks 1.0],
//! `v1,` and base64 over `{id}.{timestamp}.{body}`. A receiver checks whichever it likes,
//! with [`Verifier`] or a library in its own language.
//!
//! [Standard Webhooks 1.0]: https://github.com/standard-webhooks/standard-webhooks

pub(crate) mod headers;
mod verify;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Secret;
pub use verify::{InvalidSignature, TOLERANCE, Verified, Verifier};

const PLAIN_PREFIX: &str = "sha256=";
const STANDARD_PREFIX: &str = "v1,";
const KEY_PREFIX: &str = "whsec_";

/// Base64 as most libraries of the standard read a key: with or without padding, and whatever
/// the bits say that belong to no byte.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
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
    plain(secret, &timestamp.to_string(), body)
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
    let signatures = secrets.iter().map(|secret| standard(secret, id, &timestamp, body));
    signatures.collect::<Vec<_>>().join(" ")
}

/// The plain signature. The timestamp is the header's text, so that who verifies need not
/// write it anew.
fn plain(secret: &[u8], timestamp: &str, body: &[u8]) -> String {
    let mac = mac(secret, &[timestamp.as_bytes(), b".", body]);
    format!("{PLAIN_PREFIX}{}", hex::encode(mac.finalize().into_bytes()))
}

/// One signature in the list of the standard.
fn standard(secret: &Secret, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = standard_key(secret.expose());
    let mac = mac(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
    format!("{STANDARD_PREFIX}{}", STANDARD.encode(mac.finalize().into_bytes()))
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
