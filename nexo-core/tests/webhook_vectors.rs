//! Vectors that every receiver of webhooks has to agree on, whatever it is written in. The
//! signatures in them are not ours: see `vectors/webhooks.json`.
#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::{collections::BTreeMap, sync::Arc};

use nexo_core::{
    ManualClock, Timestamp,
    signature::{InvalidSignature, Verifier},
};
use serde::Deserialize;

const VECTORS: &str = include_str!("vectors/webhooks.json");

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    outcome: String,
    id: Option<String>,
    now: i64,
    secrets: Vec<String>,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Vector {
    fn verifier(&self) -> Verifier {
        let now = Timestamp::from_micros(self.now * 1_000_000);
        Verifier::new(&self.secrets).with_clock(Arc::new(ManualClock::new(now)))
    }
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str::<File>(VECTORS).unwrap().vectors
}

const fn word(error: InvalidSignature) -> &'static str {
    match error {
        InvalidSignature::NoSecret => "no_secret",
        InvalidSignature::Missing => "missing",
        InvalidSignature::BadTimestamp => "bad_timestamp",
        InvalidSignature::TooOld => "too_old",
        InvalidSignature::TooNew => "too_new",
        InvalidSignature::Malformed => "malformed",
        InvalidSignature::Mismatch => "mismatch",
    }
}

#[test]
fn every_vector_has_the_outcome_that_it_says() {
    for vector in vectors() {
        let verified = vector.verifier().verify(&vector.headers, vector.body.as_bytes());

        let (outcome, id) = match verified {
            Ok(verified) => ("verified", verified.id),
            Err(error) => (word(error), None),
        };
        assert_eq!((outcome, id), (vector.outcome.as_str(), vector.id), "{}", vector.name);
    }
}

#[test]
fn who_takes_the_standard_only_takes_just_what_has_a_signed_id() {
    for vector in vectors() {
        let strict = vector.verifier().standard_only();

        let verified = strict.verify(&vector.headers, vector.body.as_bytes());

        assert_eq!(verified.ok().and_then(|verified| verified.id), vector.id, "{}", vector.name);
    }
}
