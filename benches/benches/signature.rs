//! Signatures: signing a webhook and verifying it, by the size of its body.

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, Throughput};
use hmac::{Hmac, KeyInit, Mac};
use nexo_core::{
    ManualClock, Secret, Timestamp,
    signature::{Verifier, sign, sign_standard},
};
use sha2::Sha256;

const SECRET: &str = "a secret of some length, as it is shared with an agent";
const ID: &str = "msg_0197f3a2c5d07e1e8f4b6a9d";
const AT: i64 = 1_767_225_600;
const SIZES: [usize; 3] = [256, 4 * 1024, 64 * 1024];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signature");
    for bytes in SIZES {
        let body = vec![b'x'; bytes];
        let secrets = [Secret::new(SECRET)];
        let signed = sign_standard(&secrets, ID, AT, &body);
        let plain = sign(SECRET.as_bytes(), AT, &body);
        let at = AT.to_string();
        let standard_headers =
            [("webhook-id", ID), ("webhook-timestamp", &at), ("webhook-signature", &signed)];
        let plain_headers = [("x-timestamp", &*at), ("x-signature", &*plain)];
        let verifier = verifier();

        group.throughput(Throughput::Bytes(bytes as u64));
        let id = |name| BenchmarkId::new(name, format!("{bytes} B"));
        group.bench_function(id("peer: HMAC alone"), |b| b.iter(|| hmac(black_box(&body))));
        group.bench_function(id("sign plain"), |b| {
            b.iter(|| sign(SECRET.as_bytes(), AT, black_box(&body)));
        });
        group.bench_function(id("sign standard"), |b| {
            b.iter(|| sign_standard(&secrets, ID, AT, black_box(&body)));
        });
        group.bench_function(id("verify plain"), |b| {
            b.iter(|| verifier.verify(plain_headers, black_box(&body)).expect("it is signed"));
        });
        group.bench_function(id("verify standard"), |b| {
            b.iter(|| verifier.verify(standard_headers, black_box(&body)).expect("it is signed"));
        });
    }
    group.finish();
}

/// At the time of the signature, so that it does not grow too old.
fn verifier() -> Verifier {
    let clock = ManualClock::new(Timestamp::from_micros(AT * 1_000_000));
    Verifier::new([SECRET]).with_clock(Arc::new(clock))
}

/// What no signature can do without.
fn hmac(body: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key will do");
    mac.update(body);
    mac.finalize().into_bytes().into()
}
