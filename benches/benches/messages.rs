//! Messages: appending one, durably where the store is.

use std::{
    cell::LazyCell,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};
use nexo_core::Thread;
use tokio::{sync::Mutex, task::JoinSet};
use uuid::Uuid;

use crate::stores::{self, Desk, Kind, Raw};

/// How many append at once, each to a thread of its own.
const WRITERS: u64 = 32;

const TABLE: &str = "create table if not exists bench_peer (id text primary key, content text)";
const INSERT: &str = "insert into bench_peer (id, content) values ($1, $2)";

pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = stores::runtime();
    let mut group = criterion.benchmark_group("append a message");
    group.throughput(Throughput::Elements(1));
    for kind in Kind::all() {
        let name = kind.name();
        let desk = LazyCell::new(|| Arc::new(runtime.block_on(Desk::open(kind))));
        if kind != Kind::Memory {
            let raw = LazyCell::new(|| Mutex::new(runtime.block_on(peer(&desk))));
            group.bench_function(format!("{name}/peer: one bare insert"), |b| {
                let raw = &*raw;
                b.to_async(&runtime).iter(async || insert(&mut *raw.lock().await).await);
            });
        }
        group.bench_function(format!("{name}/one writer"), |b| {
            let desk = &*desk;
            b.to_async(&runtime).iter_custom(|count| one_after_another(desk, count));
        });
        group.bench_function(format!("{name}/{WRITERS} writers"), |b| {
            let desk = &*desk;
            b.to_async(&runtime).iter_custom(|count| at_once(Arc::clone(desk), count));
        });
    }
    group.finish();
}

/// How long `count` messages take in one new thread.
async fn one_after_another(desk: &Desk, count: u64) -> Duration {
    let thread = desk.new_thread().await;
    let started = Instant::now();
    append(desk, &thread, count).await;
    let elapsed = started.elapsed();
    desk.forget(&thread).await;
    elapsed
}

/// How long `count` messages take in many new threads at once.
async fn at_once(desk: Arc<Desk>, count: u64) -> Duration {
    let mut threads = Vec::new();
    for _ in 0..WRITERS {
        threads.push(desk.new_thread().await);
    }
    let started = Instant::now();
    let mut writers = JoinSet::new();
    for (nth, thread) in (0..).zip(threads.clone()) {
        let (desk, share) = (Arc::clone(&desk), (count + nth) / WRITERS);
        writers.spawn(async move { append(&desk, &thread, share).await });
    }
    writers.join_all().await;
    let elapsed = started.elapsed();
    for thread in &threads {
        desk.forget(thread).await;
    }
    elapsed
}

async fn append(desk: &Desk, thread: &Thread, count: u64) {
    for _ in 0..count {
        desk.say(thread).await;
    }
}

/// A connection to the store's database, with a table that has nothing to do with it.
async fn peer(desk: &Desk) -> Raw {
    let mut raw = desk.raw().await.expect("there is a database");
    match &mut raw {
        Raw::Sqlite(it) => sqlx::query(TABLE).execute(it).await.map(drop),
        Raw::Postgres(it) => sqlx::query(TABLE).execute(it).await.map(drop),
    }
    .expect("a table can be made");
    raw
}

/// What no store can do without: one row, committed.
async fn insert(raw: &mut Raw) {
    let (id, content) = (Uuid::now_v7().to_string(), "Is the rye bread vegan?");
    match raw {
        Raw::Sqlite(it) => sqlx::query(INSERT).bind(id).bind(content).execute(it).await.map(drop),
        Raw::Postgres(it) => sqlx::query(INSERT).bind(id).bind(content).execute(it).await.map(drop),
    }
    .expect("a row can be inserted");
}
