//! Runs: from their start to their end, with the simulator as the agent.

use std::{
    cell::LazyCell,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};
use nexo_core::{
    FinishRun, Handlers, JsonObject, Nexo, Reply, RunId, RunState, ServerId, StartRun, StartedRun,
    Thread,
};

use crate::stores::{self, Desk, Kind};

pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = stores::runtime();
    let mut group = criterion.benchmark_group("run, from start to end");
    group.throughput(Throughput::Elements(1));
    for kind in Kind::all() {
        let name = kind.name();
        let host = LazyCell::new(|| runtime.block_on(Host::open(kind)));
        group.bench_function(format!("{name}/peer: the store's two steps alone"), |b| {
            let host = &*host;
            b.to_async(&runtime).iter_custom(|count| host.time(count, Host::steps));
        });
        group.bench_function(format!("{name}/simulator"), |b| {
            let host = &*host;
            b.to_async(&runtime).iter_custom(|count| host.time(count, Host::run));
        });
    }
    group.finish();
}

/// A store, and an engine that works on it.
struct Host {
    desk: Desk,
    nexo: Nexo,
    /// Who does the steps without an engine.
    server: ServerId,
}

impl Host {
    async fn open(kind: Kind) -> Self {
        let desk = Desk::open(kind).await;
        let nexo = Nexo::builder().store(Arc::clone(&desk.store)).build();
        let server = ServerId::new();
        let beat = desk.store.beat(server, &Handlers::default()).await;
        beat.expect("a store takes servers");
        Self { desk, nexo, server }
    }

    /// How long `count` answers take. What is answered is said between them.
    async fn time(&self, count: u64, answer: impl AsyncFn(&Self, &Thread)) -> Duration {
        let thread = self.desk.new_thread().await;
        let mut elapsed = Duration::ZERO;
        for _ in 0..count {
            self.desk.say(&thread).await;
            let started = Instant::now();
            answer(self, &thread).await;
            elapsed += started.elapsed();
        }
        self.desk.forget(&thread).await;
        elapsed
    }

    async fn run(&self, thread: &Thread) {
        let started = self.nexo.engine().start(&self.desk.scope, self.desk.app.id, thread.id).await;
        let end = started.expect("there is something to answer").end().await;
        assert_eq!(end.map(|end| end.state), Some(RunState::Completed));
    }

    /// What no run can do without: it is stored before its agent is asked, and with its reply.
    async fn steps(&self, thread: &Thread) {
        let (store, scope) = (&self.desk.store, &self.desk.scope);
        let started = store.start_run(scope, self.wish(thread)).await;
        let Ok(StartedRun::Started(start)) = started else { panic!("the thread is idle") };
        let finish = FinishRun {
            run: start.run.id,
            fence: start.run.fence,
            state: RunState::Completed,
            reply: Some(Reply {
                content: "Echo: Is the rye bread vegan?".into(),
                content_json: JsonObject::empty(),
            }),
            failure: None,
            first_delta_at: None,
        };
        store.finish_run(finish).await.expect("nobody else carries it");
    }

    fn wish(&self, thread: &Thread) -> StartRun {
        StartRun {
            run: RunId::new(),
            app: self.desk.app.id,
            thread: thread.id,
            server: self.server,
            handlers: Handlers::default(),
            history: 10,
            deadline: Duration::from_secs(60),
            overlap: None,
            debounce: None,
            message_seq: None,
        }
    }
}
