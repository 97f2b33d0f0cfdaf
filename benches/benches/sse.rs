//! Server-sent events: reading an agent's stream, and writing events to readers.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use nexo_core::sse::{Decoder, Event, encode, encode_with_id};

/// How many deltas the agent's stream has; more than most replies do.
const DELTAS: usize = 1_000;

/// How many bytes come at once: one byte is the worst that a network can do, an event of about
/// 45 bytes is what most agents write, and a full buffer is what a busy reader finds.
const PIECES: [usize; 3] = [1, 45, 16 * 1024];

/// What the text of a delta has, in bytes.
const TEXTS: [usize; 2] = [20, 1024];

pub(crate) fn bench(criterion: &mut Criterion) {
    read(criterion);
    write(criterion);
}

/// One iteration is a stream of 1,000 deltas.
fn read(criterion: &mut Criterion) {
    let stream = stream();
    let mut group = criterion.benchmark_group("SSE in");
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function("peer: line ends and UTF-8 alone", |b| {
        b.iter(|| lines(black_box(&stream)));
    });
    for piece in PIECES {
        let id = BenchmarkId::new("decode 1,000 deltas", format!("{piece} B at once"));
        group.bench_function(id, |b| b.iter(|| decode(black_box(&stream), piece)));
    }
    group.finish();
}

/// One iteration is one event.
fn write(criterion: &mut Criterion) {
    const CURSOR: &str = "0197f3a2-c5d0-7e1e-8f4b-6a9d00000000.1.4096.3";
    let mut group = criterion.benchmark_group("SSE out");
    for bytes in TEXTS {
        let json = format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes));
        let encoded = encode_with_id(CURSOR, "delta", &json);
        group.throughput(Throughput::Bytes(encoded.len() as u64));
        let id = |name| BenchmarkId::new(name, format!("{bytes} B of text"));
        group.bench_function(id("peer: a copy of the bytes"), |b| {
            b.iter(|| black_box(&encoded).to_vec());
        });
        group.bench_function(id("encode"), |b| b.iter(|| encode("delta", black_box(&json))));
        group.bench_function(id("encode with id"), |b| {
            b.iter(|| encode_with_id(CURSOR, "delta", black_box(&json)));
        });
    }
    group.finish();
}

fn stream() -> Vec<u8> {
    let delta = |n| format!("event: delta\ndata: {{\"text\":\"delta {n:>8}\"}}\n\n");
    (0..DELTAS).flat_map(|n| delta(n).into_bytes()).collect()
}

fn decode(stream: &[u8], piece: usize) -> Vec<Event> {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    for bytes in stream.chunks(piece) {
        decoder.feed(bytes, &mut events).expect("the stream is well formed");
    }
    assert_eq!(events.len(), DELTAS);
    events
}

/// What no reader can do without.
fn lines(stream: &[u8]) -> usize {
    str::from_utf8(stream).expect("the stream is text").lines().count()
}
