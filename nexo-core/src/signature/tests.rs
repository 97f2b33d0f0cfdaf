use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{ManualClock, Timestamp};

const NOW: i64 = 1_767_225_600;
const PAYLOAD: &str = r#"{"version":"1.0","event":"message_received","app":{"id":"5b0c1a52-7a5f-4a0e-9f0d-0d6a3f1c2b11","name":"Bakery desk"},"thread":{"id":"9d1f6a0e-2c34-4b7e-8c55-6f2f0f8a7d22","customer_id":"cust-42"},"message":{"id":"c7e2b9d4-1f63-4c9a-b1d0-3a5e8f9c4e33","seq":2,"role":"user","content":"Is the rye bread vegan?","content_json":{}},"history_tail":[{"role":"assistant","content":"Welcome! Ask me anything.","content_json":{"source":"system"}},{"role":"user","content":"Is the rye bread vegan?","content_json":{}}],"timestamp":"2026-01-01T00:00:00.000000+00:00"}"#;

#[test]
fn the_plain_signature_is_the_one_that_existing_receivers_expect() {
    for (secret, timestamp, body, hex) in [
        (
            "nexo-vector-key",
            NOW,
            r#"{"ping":"pong"}"#,
            "2289d808cc98d288c3a5a5fae5dc80fe55b51e02215133c1b761fe227cde5de5",
        ),
        (
            "nexo-vector-key",
            NOW,
            r#"{"text":"Grüße, señor 😀 你好"}"#,
            "0849eae686f923923a55b6c9705af28a18213e5e5fa9c9437eac3ea2fdfc4701",
        ),
        (
            "nexo-vector-key",
            0,
            "",
            "73b1c2fbe580cf7631fbc47879558b083063ca7771865f405f8cc9e3b76aa405",
        ),
        (
            "clé-ключ",
            NOW,
            r#"{"ping":"pong"}"#,
            "270eb821532c6ba4236e143c900251b6b65dd6617e0f5b8fdf88e0eb18a9eeca",
        ),
        (
            "nexo-vector-key",
            NOW,
            PAYLOAD,
            "4287f7d34cfb8c933f2f5f45264d6b329157244de986c3a9e06d5947a65ff070",
        ),
    ] {
        let signature = sign(secret.as_bytes(), timestamp, body.as_bytes());
        assert_eq!(signature, format!("sha256={hex}"), "{body}");
    }
}

#[test]
fn an_escaped_body_has_another_signature_than_a_literal_one() {
    let escaped = r#"{"text":"Gr\u00fc\u00dfe, se\u00f1or \ud83d\ude00 \u4f60\u597d"}"#;

    assert_eq!(escaped.len(), 64);
    assert_eq!(
        sign(b"nexo-vector-key", NOW, escaped.as_bytes()),
        "sha256=7218ff86720d54519af4b5262e4dcdd12c4817bb8fa667f2a67c6476f78e2931"
    );
}

#[test]
fn the_standard_signature_is_the_one_of_the_reference_suites() {
    let first = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let second = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    for (secret, id, timestamp, body, base64) in [
        (
            first,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            second,
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (
            second,
            "msg_1",
            1_700_000_000,
            r#"{"reply":"héllo 世界 🙂"}"#,
            "o8f+4StD+DQnoAcBULdOJXn26NvNCKbEh5kiZg6pAYk=",
        ),
    ] {
        let signature = sign_standard(&[secret.into()], id, timestamp, body.as_bytes());
        assert_eq!(signature, format!("v1,{base64}"));
    }
}

#[test]
fn hmac_agrees_with_another_published_vector() {
    let mac = mac(b"It's a Secret to Everybody", &[b"Hello, World!"]);

    assert_eq!(
        hex::encode(mac.finalize().into_bytes()),
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    );
}

#[test]
fn each_active_secret_signs_in_the_standard_form() {
    let (new, old) = (Secret::from("new"), Secret::from("old"));

    let both = sign_standard(&[new.clone(), old.clone()], "id", NOW, b"body");

    let alone = |secret| sign_standard(&[secret], "id", NOW, b"body");
    assert_eq!(both, format!("{} {}", alone(new), alone(old)));
    for secret in ["new", "old"] {
        assert_eq!(verify_standard(secret, Some("id"), Some("1767225600"), Some(&both)), Ok(()));
    }
}

#[test]
fn a_secret_of_any_text_signs_and_verifies() {
    for secret in ["a", "whsec_", "whsec_***", "clé-ключ", "\u{0}\n", "whsec_QQ", "whsec_QQ=="]
    {
        let signed = sign_standard(&[secret.into()], "id", NOW, b"body");
        let timestamp = NOW.to_string();

        let verified = verify_standard(secret, Some("id"), Some(&timestamp), Some(&signed));

        assert_eq!(verified, Ok(()), "{secret:?}");
    }
}

fn at_now(verifier: Verifier) -> Verifier {
    verifier.with_clock(Arc::new(ManualClock::new(Timestamp::from_micros(NOW * 1_000_000))))
}

/// Verifies with the headers that are there, and gives the id that was signed.
fn verify(
    verifier: Verifier,
    headers: &[(&str, Option<&str>)],
    body: &[u8],
) -> Result<Option<String>, InvalidSignature> {
    let headers = headers.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    at_now(verifier).verify(headers, body).map(|verified| verified.id)
}

fn verify_standard(
    secret: &str,
    id: Option<&str>,
    timestamp: Option<&str>,
    signature: Option<&str>,
) -> Result<(), InvalidSignature> {
    let headers =
        [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)];
    let verified = verify(Verifier::new([secret]), &headers, b"body")?;
    assert_eq!(verified.as_deref(), id);
    Ok(())
}

#[test]
fn what_the_reference_suites_refuse_is_refused() {
    use InvalidSignature::{BadTimestamp, Malformed, Mismatch, Missing, NoSecret, TooNew, TooOld};
    let at = |timestamp: i64| {
        (timestamp.to_string(), sign_standard(&["s".into()], "id", timestamp, b"body"))
    };
    let (now, good) = at(NOW);
    let (old, old_signed) = at(NOW - 301);
    let (new, new_signed) = at(NOW + 301);
    let wrong = sign_standard(&["other".into()], "id", NOW, b"body");
    let second_version = good.replace("v1,", "v2,");
    let dotted = sign_standard(&["s".into()], "i.d", NOW, b"body");
    for (secret, id, timestamp, signature, error) in [
        ("s", None, Some(&now), Some(&good), Missing),
        ("s", Some(""), Some(&now), Some(&good), Missing),
        ("s", Some("id"), None, Some(&good), Missing),
        ("s", Some("id"), Some(&now), None, Missing),
        ("s", Some("id"), Some(&"soon".to_owned()), Some(&good), BadTimestamp),
        ("s", Some("id"), Some(&"1767225600.5".to_owned()), Some(&good), BadTimestamp),
        ("s", Some("id"), Some(&old), Some(&old_signed), TooOld),
        ("s", Some("id"), Some(&new), Some(&new_signed), TooNew),
        ("s", Some("id"), Some(&now), Some(&wrong), Mismatch),
        ("s", Some("id"), Some(&"+1767225600".to_owned()), Some(&good), BadTimestamp),
        ("s", Some("id"), Some(&"0000001767225600".to_owned()), Some(&good), BadTimestamp),
        ("s", Some("id"), Some(&now), Some(&second_version), Malformed),
        ("s", Some("other"), Some(&now), Some(&good), Mismatch),
        ("s", Some("i.d"), Some(&now), Some(&dotted), Malformed),
        ("s", Some("id"), Some(&now), Some(&good[..20].to_owned()), Mismatch),
        ("", Some("id"), Some(&now), Some(&good), NoSecret),
    ] {
        let verified =
            verify_standard(secret, id, timestamp.map(String::as_str), signature.map(|it| &**it));
        assert_eq!(verified, Err(error), "{id:?} {timestamp:?} {signature:?}");
    }
}

#[test]
fn one_right_signature_among_others_is_enough() {
    let good = sign_standard(&["s".into()], "id", NOW, b"body");
    for list in [
        format!("v1,AAAA v2,BBBB nonsense {good}"),
        format!("{good} v1a,CCCC"),
        format!("v1,! {good} v1,"),
    ] {
        assert_eq!(verify_standard("s", Some("id"), Some("1767225600"), Some(&list)), Ok(()));
    }
}

#[test]
fn the_edges_of_the_tolerance_are_within_it() {
    for timestamp in [NOW - 300, NOW + 300] {
        let signed = sign_standard(&["s".into()], "id", timestamp, b"body");
        let verified =
            verify_standard("s", Some("id"), Some(&timestamp.to_string()), Some(&signed));
        assert_eq!(verified, Ok(()));
    }
}

#[test]
fn the_plain_form_is_verified_under_the_names_that_were_configured() {
    let signature = sign("clé".as_bytes(), NOW, b"body");
    let verify = |verifier: Verifier, signature: &str, body: &[u8]| {
        let headers = [("my-time", Some("1767225600")), ("MY-SIGNATURE", Some(signature))];
        verify(verifier, &headers, body)
    };
    let named = |secrets: [&str; 2]| Verifier::new(secrets).with_headers("My-Time", "My-Signature");

    assert_eq!(verify(named(["old", "clé"]), &signature, b"body"), Ok(None));
    for (verifier, signature, body, error) in [
        (named(["old", "clé"]), &*signature, &b"body "[..], InvalidSignature::Mismatch),
        (named(["old", "new"]), &signature, b"body", InvalidSignature::Mismatch),
        (named(["old", "clé"]), &signature[7..], b"body", InvalidSignature::Malformed),
        (named(["old", "clé"]), &signature.to_uppercase(), b"body", InvalidSignature::Malformed),
        (Verifier::new(["clé"]), &signature, b"body", InvalidSignature::Missing),
    ] {
        assert_eq!(verify(verifier, signature, body), Err(error), "{signature}");
    }
}

/// Whoever caught a request could else have its weaker signature looked at, under a new id.
#[test]
fn the_plain_signature_stands_in_for_no_part_of_the_standard_one() {
    let (plain, standard) =
        (sign(b"s", NOW, b"body"), sign_standard(&["s".into()], "id", NOW, b"body"));
    let headers = |id, timestamp, signature| {
        [
            ("X-Timestamp", Some("1767225600")),
            ("X-Signature", Some(plain.as_str())),
            ("webhook-id", id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        ]
    };
    let (id, timestamp, signature) = (Some("id"), Some("1767225600"), Some(standard.as_str()));
    let lenient = |headers: &[_]| verify(Verifier::new(["s"]), headers, b"body");
    let strict = |headers: &[_]| verify(Verifier::new(["s"]).standard_only(), headers, b"body");

    for all in
        [lenient(&headers(id, timestamp, signature)), strict(&headers(id, timestamp, signature))]
    {
        assert_eq!(all, Ok(Some("id".to_owned())));
    }
    for (headers, error) in [
        (headers(Some("other"), timestamp, signature), InvalidSignature::Mismatch),
        (headers(Some("other"), timestamp, None), InvalidSignature::Missing),
        (headers(Some("other"), None, None), InvalidSignature::Missing),
        (headers(None, timestamp, None), InvalidSignature::Missing),
        (headers(None, None, signature), InvalidSignature::Missing),
    ] {
        assert_eq!(lenient(&headers), Err(error), "{headers:?}");
    }
    let only_plain = headers(None, None, None);
    assert_eq!(lenient(&only_plain), Ok(None));
    assert_eq!(strict(&only_plain), Err(InvalidSignature::Missing));
}

/// Everything that is signed, or signs, in both forms.
#[derive(Clone, Debug)]
struct SignedRequest {
    id: Vec<u8>,
    timestamp: Vec<u8>,
    plain: Vec<u8>,
    standard: Vec<u8>,
    body: Vec<u8>,
}

impl SignedRequest {
    fn new(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Self {
        Self {
            id: id.into(),
            timestamp: timestamp.to_string().into(),
            plain: sign(secret.as_bytes(), timestamp, body).into(),
            standard: sign_standard(&[secret.into()], id, timestamp, body).into(),
            body: body.to_vec(),
        }
    }

    fn verifies_plain(&self, secret: &str) -> bool {
        let headers = [("x-timestamp", &self.timestamp), ("x-signature", &self.plain)];
        at_now(Verifier::new([secret])).verify(headers, &self.body).is_ok()
    }

    fn verifies_standard(&self, secret: &str) -> bool {
        let headers = [
            ("webhook-id", &self.id),
            ("webhook-timestamp", &self.timestamp),
            ("webhook-signature", &self.standard),
        ];
        at_now(Verifier::new([secret])).verify(headers, &self.body).is_ok()
    }

    /// The same with one byte changed, for each byte of it. A body also loses its last byte.
    fn changed(&self, by: u8) -> Vec<Self> {
        let parts: [fn(&mut Self) -> &mut Vec<u8>; 5] = [
            |it| &mut it.id,
            |it| &mut it.timestamp,
            |it| &mut it.plain,
            |it| &mut it.standard,
            |it| &mut it.body,
        ];
        let mut all = Vec::new();
        for part in parts {
            for at in 0..part(&mut self.clone()).len() {
                let mut changed = self.clone();
                part(&mut changed)[at] ^= by;
                all.push(changed);
            }
        }
        all
    }
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_with_any_byte_changed_it_does_not(
        secret in "(whsec_)?[A-Za-z0-9+/é]{1,40}",
        id in "[0-9a-z_-]{1,40}",
        ago in -300_i64..=300,
        body in proptest::collection::vec(any::<u8>(), 1..80),
        by in 1_u8..,
    ) {
        let request = SignedRequest::new(&secret, &id, NOW - ago, &body);

        prop_assert!(request.verifies_plain(&secret) && request.verifies_standard(&secret));
        for changed in request.changed(by) {
            let is_plain_same = (&changed.plain, &changed.timestamp, &changed.body)
                == (&request.plain, &request.timestamp, &request.body);
            let is_standard_same = (&changed.standard, &changed.id, &changed.timestamp, &changed.body)
                == (&request.standard, &request.id, &request.timestamp, &request.body);
            prop_assert_eq!(changed.verifies_plain(&secret), is_plain_same, "{:?}", changed);
            prop_assert_eq!(changed.verifies_standard(&secret), is_standard_same, "{:?}", changed);
        }
    }
}
