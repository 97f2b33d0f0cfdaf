//! Readers: what one run says, shown to all who watch it.

use std::{
    cell::LazyCell,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};
use nexo_core::{
    App, BoxError, LiveTurn, NewMessage, NewThread, Nexo, Role, RunEvent, RunWatch, Scope, ThreadId,
};
use tokio::{
    sync::{Semaphore, broadcast},
    task::JoinSet,
};

use crate::stores;

const READERS: [u64; 3] = [1, 100, 1_000];
const DELTAS: u64 = 64;
const DELTA: &str = "twenty characters ..";

/// One iteration is one run of 64 deltas, from the first to the end that the last reader sees;
/// an element is one delta that one reader sees.
pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = stores::runtime();
    let stage = LazyCell::new(|| runtime.block_on(Stage::new()));
    let mut group = criterion.benchmark_group("fan-out of 64 deltas");
    group.sample_size(20);
    for readers in READERS {
        group.throughput(Throughput::Elements(DELTAS * readers));
        group.bench_function(format!("{readers} watching/peer: tokio's broadcast"), |b| {
            b.to_async(&runtime).iter_custom(|count| repeat(count, || broadcast(readers)));
        });
        group.bench_function(format!("{readers} watching/run"), |b| {
            let stage = &*stage;
            b.to_async(&runtime).iter_custom(|count| repeat(count, || stage.play(readers)));
        });
    }
    group.finish();
}

async fn repeat<F: Future<Output = Duration>>(count: u64, once: impl Fn() -> F) -> Duration {
    let mut elapsed = Duration::ZERO;
    for _ in 0..count {
        elapsed += once().await;
    }
    elapsed
}

/// An app whose agent talks as soon as it may.
struct Stage {
    nexo: Nexo,
    app: App,
    scope: Scope,
    curtain: Arc<Semaphore>,
}

impl Stage {
    async fn new() -> Self {
        let curtain = Arc::new(Semaphore::new(0));
        let raised = Arc::clone(&curtain);
        let talk = move |turn: LiveTurn| talk(turn, Arc::clone(&raised));
        let nexo = Nexo::builder().agent("talker", talk).build();
        let owner = "bakery".parse().expect("it is short");
        let app = nexo.ensure_app(owner, "Bakery desk", ["talker"]).await;
        let app = app.expect("a new store takes an app");
        Self { scope: Scope::App(app.id), nexo, app, curtain }
    }

    /// How long it takes until all readers have seen everything.
    async fn play(&self, readers: u64) -> Duration {
        let thread = self.new_thread().await;
        let engine = self.nexo.engine();
        let run = engine.start(&self.scope, self.app.id, thread).await.expect("it can be answered");
        let mut reading = JoinSet::new();
        for _ in 0..readers {
            let watch = engine.watch(&self.scope, run.run()).await.expect("the run is there");
            reading.spawn(read(watch));
        }
        let started = Instant::now();
        self.curtain.add_permits(1);
        for seen in reading.join_all().await {
            assert_eq!(seen, DELTAS, "a reader missed something");
        }
        let elapsed = started.elapsed();
        let forgotten = self.nexo.store().delete_thread(&self.scope, thread).await;
        forgotten.expect("the thread is there");
        elapsed
    }

    /// A thread in which there is something to answer.
    async fn new_thread(&self) -> ThreadId {
        let (store, app) = (self.nexo.store(), self.app.id);
        let created = store.create_thread(&self.scope, app, NewThread::default()).await;
        let thread = created.expect("the app is there").0.id;
        let question = NewMessage::new(Role::User, "Is the rye bread vegan?");
        let said = store.append_message(&self.scope, app, thread, question).await;
        said.expect("the thread is there");
        thread
    }
}

async fn talk(turn: LiveTurn, raised: Arc<Semaphore>) -> Result<(), BoxError> {
    raised.acquire().await?.forget();
    for _ in 0..DELTAS {
        turn.say(DELTA).await;
    }
    Ok(())
}

/// How many deltas a reader sees.
async fn read(mut watch: RunWatch) -> u64 {
    let mut deltas = 0;
    while let Some(event) = watch.next().await {
        deltas += u64::from(matches!(event, RunEvent::Delta(_)));
    }
    deltas
}

/// What no fan-out in this process can do without: each text handed to each reader's task.
async fn broadcast(readers: u64) -> Duration {
    let (sender, _) = broadcast::channel::<Arc<str>>(128);
    let mut reading = JoinSet::new();
    for _ in 0..readers {
        let mut receiver = sender.subscribe();
        reading.spawn(async move { while receiver.recv().await.is_ok() {} });
    }
    let started = Instant::now();
    for _ in 0..DELTAS {
        // It fails if nobody listens, and all do.
        let _ = sender.send(DELTA.into());
        tokio::task::yield_now().await;
    }
    drop(sender);
    reading.join_all().await;
    started.elapsed()
}
