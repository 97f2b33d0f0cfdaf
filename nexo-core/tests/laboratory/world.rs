//! Servers on one store, in a time of their own.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexo_core::{
    AppId, Clock, LocalHub, MemoryStore, MessageRange, NewApp, NewThread, Nexo, Run, RunFilter,
    Scope, Store, StreamHub, ThreadId, Timestamp,
};

use crate::{
    agent::Agent,
    chance::Chance,
    gate::{Gate, GatedStore, Lie, Standing},
    history::History,
    hub::LossyHub,
    judge::Remains,
};

/// More than any list of a history has.
const ALL: u32 = 10_000;

/// The store's clock, which goes with that of the servers.
#[derive(Debug)]
struct WorldClock(Arc<History>);

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) number: usize,
    pub(crate) nexo: Nexo,
    pub(crate) gate: Arc<Gate>,
}

/// Servers on one store, in a time of their own.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) history: Arc<History>,
    pub(crate) scope: Scope,
    pub(crate) app: AppId,
    pub(crate) threads: Vec<ThreadId>,
    store: Arc<dyn Store>,
    lie: Option<Lie>,
    /// What servers tell each other with, if they do.
    hub: Option<LossyHub>,
    servers: Mutex<Vec<Server>>,
    opened: AtomicUsize,
    chance: Mutex<Chance>,
}

impl World {
    pub(crate) async fn new(mut chance: Chance, lie: Option<Lie>) -> Arc<Self> {
        let history = Arc::new(History::new());
        let clock = Arc::new(WorldClock(Arc::clone(&history)));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::with_clock(clock));
        let app = NewApp {
            webhook_url: Some("https://agent.example.com".into()),
            // The pause before a second retry is chance of the engine's own.
            config: r#"{"integration":{"mode":"webhook"},"runs":{"retries":1}}"#.parse().unwrap(),
            ..NewApp::new("owner".parse().unwrap(), "app")
        };
        let app = store.create_app(app).await.unwrap().id;
        let scope = Scope::App(app);
        let mut threads = Vec::new();
        for _ in 0..2 + chance.below(3) {
            let thread = store.create_thread(&scope, app, NewThread::default()).await.unwrap().0;
            threads.push(thread.id);
        }
        let servers = 2 + chance.below(2);
        let hub = chance.percent(70).then(|| LossyHub::new(chance.fork()));
        let world = Arc::new(Self {
            history,
            scope,
            app,
            threads,
            store,
            lie,
            hub,
            servers: Mutex::default(),
            opened: AtomicUsize::new(0),
            chance: Mutex::new(chance),
        });
        (0..servers).for_each(|_| world.open());
        world
    }

    /// Chance for somebody new.
    pub(crate) fn chance(&self) -> Chance {
        self.chance.lock().unwrap().fork()
    }

    /// One more server.
    pub(crate) fn open(self: &Arc<Self>) {
        let number = self.opened.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::new(Gate::new(number, self.chance(), Arc::clone(&self.history)));
        let behind = Arc::clone(&self.store);
        let store = GatedStore { gate: Arc::clone(&gate), behind, lie: self.lie };
        let world = Arc::downgrade(self);
        let agent = Agent { server: number, gate: Arc::clone(&gate), world };
        let hub: Arc<dyn StreamHub> = match &self.hub {
            Some(hub) => Arc::new(hub.clone()),
            None => Arc::new(LocalHub::default()),
        };
        let nexo = Nexo::builder()
            .store(Arc::new(store))
            .hub(hub)
            .run_deadline(Duration::from_secs(40))
            .reply_patience(Duration::from_secs(20))
            .dispatcher("webhook", Arc::new(agent))
            .build();
        let engine = nexo.engine().clone();
        tokio::spawn(async move {
            // As the binary does: a server that can't sign on tries again.
            while engine.sign_on().await.is_err() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        self.history.note(|| format!("s{number} opens"));
        self.servers.lock().unwrap().push(Server { number, nexo, gate });
    }

    /// A server that is, or seems to be, there.
    pub(crate) fn server(&self, chance: &mut Chance) -> Server {
        chance.pick(&self.servers()).cloned().expect("there is always one")
    }

    pub(crate) fn servers(&self) -> Vec<Server> {
        self.servers.lock().unwrap().clone()
    }

    /// Takes a server away from the clients, and puts a new one in its place.
    pub(crate) fn replace(self: &Arc<Self>, server: &Server) {
        self.servers.lock().unwrap().retain(|it| it.number != server.number);
        self.open();
    }

    /// All trouble is over.
    pub(crate) fn heal(&self) {
        self.history.note(|| "all is well from now on".into());
        for server in self.servers.lock().unwrap().iter() {
            server.gate.set(Standing::Alive);
            server.gate.flake(0);
        }
    }

    async fn runs(&self) -> Vec<Run> {
        let filter = RunFilter::default();
        self.store.list_runs(&self.scope, self.app, &filter, None, ALL).await.unwrap().items
    }

    /// Waits until no run is left that has not ended; not for ever.
    pub(crate) async fn settle(&self) {
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            if self.runs().await.iter().all(|run| run.state.is_terminal()) {
                return;
            }
        }
    }

    /// All that the store holds.
    pub(crate) async fn remains(&self) -> Remains {
        let mut messages = Vec::new();
        for thread in &self.threads {
            let range = MessageRange::After(0);
            let store = &self.store;
            let all = store.list_messages(&self.scope, self.app, *thread, range, ALL).await;
            messages.push((*thread, all.unwrap()));
        }
        Remains { messages, runs: self.runs().await }
    }
}
