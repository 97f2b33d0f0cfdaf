//! Verifying: the receiver's side of a signature.

use std::{sync::Arc, time::Duration};

use subtle::ConstantTimeEq;

use super::{
    PLAIN_PREFIX, STANDARD_PREFIX,
    headers::{self, Headers},
    plain, standard,
};
use crate::{Clock, Secret, SystemClock};

/// How far a request's timestamp may be from the receiver's clock.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// More digits than any timestamp has: 15 of them last for 30 million years.
const MAX_TIMESTAMP_DIGITS: usize = 15;

const HEX_DIGITS: usize = 64;

/// Why a request is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignature {
    /// There is no secret that is not empty, so nothing can be checked.
    #[error("no secret to verify with")]
    NoSecret,
    /// A header that is needed is absent or empty.
    #[error("a signature header is missing")]
    Missing,
    /// The timestamp is not a whole number of seconds, written in digits.
    #[error("the timestamp is not a number")]
    BadTimestamp,
    /// The timestamp is too long ago: perhaps a replay.
    #[error("the timestamp is too old")]
    TooOld,
    /// The timestamp is too far in the future.
    #[error("the timestamp is in the future")]
    TooNew,
    /// The signature, or the id that it covers, does not have the form that it must have.
    #[error("the signature is malformed")]
    Malformed,
    /// No signature fits any of the secrets: another secret, or something was changed.
    #[error("the signature does not match")]
    Mismatch,
}

/// What is known of a request that was verified, beside its body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The request's `webhook-id`, by which repetitions are told. `None` if the request had
    /// only the plain signature, which covers no id.
    pub id: Option<String>,
}

/// Checks that a request comes from who has the secret, unchanged and just now.
///
/// A request with any of the headers of Standard Webhooks must have all of them, and their
/// signature counts, whatever the plain one says. Only a request with none of them may have
/// just the plain signature, unless [`Verifier::standard_only`] refuses that as well. So nobody
/// can have a weaker signature looked at instead of a wrong one. During a rotation the plain
/// signature is made with the newer secret alone, the other with both.
///
/// ```
/// # use std::sync::Arc;
/// # use nexo_core::{ManualClock, Timestamp, signature::{Verifier, sign}};
/// let (at, body) = (1_767_225_600, br#"{"ping":"pong"}"#);
/// let signature = sign(b"hunter2", at, body);
/// let headers = [("X-Timestamp", "1767225600"), ("X-Signature", &signature)];
///
/// let verifier = Verifier::new(["hunter2"]);
/// # let clock = Arc::new(ManualClock::new(Timestamp::from_micros(at * 1_000_000)));
/// # let verifier = verifier.with_clock(clock);
/// assert!(verifier.verify(headers, body).is_ok());
/// assert!(verifier.verify(headers, b"changed").is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Verifier {
    secrets: Vec<Secret>,
    tolerance: Duration,
    clock: Arc<dyn Clock>,
    takes_plain: bool,
    timestamp_header: String,
    signature_header: String,
}

impl Verifier {
    /// Accepts what is signed with any of these secrets; empty ones are left out, and with
    /// none left nothing is accepted. The timestamp may be [`TOLERANCE`] away from the
    /// machine's clock, the plain headers are `X-Timestamp` and `X-Signature`.
    pub fn new(secrets: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let secrets = secrets.into_iter().map(|secret| Secret::new(secret));
        Self {
            secrets: secrets.filter(|secret| !secret.expose().is_empty()).collect(),
            tolerance: TOLERANCE,
            clock: Arc::new(SystemClock),
            takes_plain: true,
            timestamp_header: headers::PLAIN_TIMESTAMP.to_owned(),
            signature_header: headers::PLAIN_SIGNATURE.to_owned(),
        }
    }

    /// How far the timestamp may be from the clock, either way.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// What time it is; the machine's by default.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What the plain headers are called, where the server was told other names.
    #[must_use]
    pub fn with_headers(mut self, timestamp: &str, signature: &str) -> Self {
        timestamp.clone_into(&mut self.timestamp_header);
        signature.clone_into(&mut self.signature_header);
        self
    }

    /// Refuses requests that have only the plain signature. Nexo signs in both forms, so that
    /// nothing of its own is lost, and every request has an id that is signed: one that
    /// somebody caught can't come again as another within the tolerance.
    #[must_use]
    pub fn standard_only(mut self) -> Self {
        self.takes_plain = false;
        self
    }

    /// Verifies a request. `headers` are its headers as pairs of name and value, such as
    /// `&http::HeaderMap` gives them; `body` is what was received, byte for byte.
    ///
    /// # Errors
    ///
    /// [`InvalidSignature`], which says what is wrong: for the receiver's log, not for the
    /// answer.
    pub fn verify(
        &self,
        headers: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<[u8]>)>,
        body: &[u8],
    ) -> Result<Verified, InvalidSignature> {
        self.verify_headers(&Headers::read(headers), body)
    }

    pub(crate) fn verify_headers(
        &self,
        headers: &Headers,
        body: &[u8],
    ) -> Result<Verified, InvalidSignature> {
        if self.secrets.is_empty() {
            return Err(InvalidSignature::NoSecret);
        }
        let names = [headers::ID, headers::TIMESTAMP, headers::SIGNATURE];
        let is_standard = names.iter().any(|name| headers.get(name).is_some());
        if is_standard || !self.takes_plain {
            self.verify_standard(headers, body)
        } else {
            self.verify_plain(headers, body)
        }
    }

    /// An id with a dot is refused: what follows the dot could be taken for the timestamp,
    /// and an old request replayed under another id.
    fn verify_standard(
        &self,
        headers: &Headers,
        body: &[u8],
    ) -> Result<Verified, InvalidSignature> {
        let [id, timestamp, signatures] =
            required(headers, [headers::ID, headers::TIMESTAMP, headers::SIGNATURE])?;
        self.check_timestamp(timestamp)?;
        let candidates: Vec<&str> =
            signatures.split(' ').filter(|it| it.starts_with(STANDARD_PREFIX)).collect();
        if id.contains('.') || candidates.is_empty() {
            return Err(InvalidSignature::Malformed);
        }
        self.check(&candidates, |secret| standard(secret, id, timestamp, body))?;
        Ok(Verified { id: Some(id.to_owned()) })
    }

    fn verify_plain(&self, headers: &Headers, body: &[u8]) -> Result<Verified, InvalidSignature> {
        let [timestamp, signature] =
            required(headers, [&self.timestamp_header, &self.signature_header])?;
        self.check_timestamp(timestamp)?;
        if !is_plain_signature(signature) {
            return Err(InvalidSignature::Malformed);
        }
        self.check(&[signature], |secret| plain(secret.expose().as_bytes(), timestamp, body))?;
        Ok(Verified { id: None })
    }

    /// Whether one of the candidates is what one of the secrets gives. The comparison takes the
    /// same time wherever the first difference is.
    fn check(
        &self,
        candidates: &[&str],
        sign: impl Fn(&Secret) -> String,
    ) -> Result<(), InvalidSignature> {
        let fits = self.secrets.iter().any(|secret| {
            let expected = sign(secret);
            candidates.iter().any(|it| it.as_bytes().ct_eq(expected.as_bytes()).into())
        });
        if fits { Ok(()) } else { Err(InvalidSignature::Mismatch) }
    }

    fn check_timestamp(&self, text: &str) -> Result<(), InvalidSignature> {
        let at = seconds(text).ok_or(InvalidSignature::BadTimestamp)?;
        let now = self.clock.now().as_seconds();
        let tolerance = i64::try_from(self.tolerance.as_secs()).unwrap_or(i64::MAX);
        if at < now.saturating_sub(tolerance) {
            Err(InvalidSignature::TooOld)
        } else if at > now.saturating_add(tolerance) {
            Err(InvalidSignature::TooNew)
        } else {
            Ok(())
        }
    }
}

fn required<'a, const N: usize>(
    headers: &'a Headers,
    names: [&str; N],
) -> Result<[&'a str; N], InvalidSignature> {
    let mut values = [""; N];
    for (value, name) in values.iter_mut().zip(names) {
        *value = headers.get(name).ok_or(InvalidSignature::Missing)?;
    }
    Ok(values)
}

/// Digits and nothing else: no sign, no fraction, no space.
fn seconds(text: &str) -> Option<i64> {
    let is_number =
        text.len() <= MAX_TIMESTAMP_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// One spelling for one signature: hex in lower case.
fn is_plain_signature(text: &str) -> bool {
    let digits = text.strip_prefix(PLAIN_PREFIX).unwrap_or_default();
    digits.len() == HEX_DIGITS && digits.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}
