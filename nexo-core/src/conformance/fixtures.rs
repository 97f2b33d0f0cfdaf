//! What the cases have in common.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{sync::Barrier, task::JoinSet, time::Instant};

use crate::{
    App, AppId, ClaimRuns, Cursor, CursorPage, FinishRun, Handlers, Message, MessageRange, NewApp,
    NewMessage, NewThread, OwnerId, Reply, Result, Role, Run, RunId, RunStart, RunState, Scope,
    ServerId, StartRun, StartedRun, Store, Subscriber, SubscriberId, SweepRuns, SweptRuns, Thread,
};

/// How long a case waits for what the passing of time has to bring.
const PATIENCE: Duration = Duration::from_secs(30);

/// More than any list of a case has.
pub(super) const ALL: u32 = 1_000;

/// Texts that no list's cursor looks like.
const FORGED: [&str; 6] = ["", "x", "é", "bm90IGpzb24=", "bnVsbA==", "eyJhIjoxfQ=="];

pub(super) fn owner(name: &str) -> OwnerId {
    name.parse().expect("a short name")
}

pub(super) fn forged_cursors() -> impl Iterator<Item = Cursor> {
    FORGED.into_iter().map(Cursor::from_client)
}

pub(super) async fn new_app(store: &Arc<dyn Store>, owned_by: &str) -> App {
    store.create_app(NewApp::new(owner(owned_by), "Shop")).await.unwrap()
}

/// Creates a thread of a customer; of none if the name is empty.
pub(super) async fn new_thread(store: &Arc<dyn Store>, app: AppId, customer: &str) -> Thread {
    let thread = NewThread { customer_id: Some(customer.into()), ..NewThread::default() };
    store.create_thread(&Scope::Everything, app, thread).await.unwrap().0
}

/// Everything that `page` leads to, from its first page to its last, each row once.
pub(super) async fn walk<T, F>(limit: u32, mut page: impl FnMut(Option<Cursor>) -> F) -> Vec<T>
where
    F: Future<Output = Result<CursorPage<T>>>,
{
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let found = page(cursor).await.unwrap();
        assert!(found.items.len() <= usize::try_from(limit).unwrap(), "a page is too long");
        seen.extend(found.items);
        match found.next {
            Some(next) => cursor = Some(next),
            None => return seen,
        }
        assert!(seen.len() <= usize::try_from(ALL).unwrap(), "the walk never ends");
    }
}

/// Does the same many times at once, and gives what came of each.
pub(super) async fn at_once<T, F>(count: usize, mut action: impl FnMut(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(count));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (barrier, action) = (Arc::clone(&barrier), action(number));
        tasks.spawn(async move {
            barrier.wait().await;
            action.await
        });
    }
    tasks.join_all().await
}

/// Tries again and again until it holds, for what only the store's clock can bring.
pub(super) async fn eventually<F>(what: &str, mut holds: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A thread of a customer in an app, and what is done there.
#[derive(Clone)]
pub(super) struct Room {
    pub(super) store: Arc<dyn Store>,
    pub(super) app: App,
    pub(super) thread: Thread,
}

impl Room {
    /// A room in an app of its own, owned by `ann`, for the customer `carl`.
    pub(super) async fn new(store: &Arc<dyn Store>) -> Self {
        let app = new_app(store, "ann").await;
        Self::of(store, &app, "carl").await
    }

    pub(super) async fn of(store: &Arc<dyn Store>, app: &App, customer: &str) -> Self {
        let thread = new_thread(store, app.id, customer).await;
        Self { store: Arc::clone(store), app: app.clone(), thread }
    }

    pub(super) fn subscriber_id(&self) -> SubscriberId {
        self.thread.subscriber.expect("the room has a customer")
    }

    fn customer_scope(&self) -> Scope {
        Scope::Subscriber { app: self.app.id, subscriber: self.subscriber_id() }
    }

    /// Every scope that the room lies in.
    pub(super) fn inside(&self) -> Vec<Scope> {
        vec![
            Scope::Everything,
            Scope::Owner(self.app.owner.clone()),
            Scope::App(self.app.id),
            self.customer_scope(),
        ]
    }

    /// Scopes that the room's app lies outside of: those of another owner, of another app of
    /// the same owner, and of its namesake customer there.
    pub(super) async fn outside_app(&self) -> Vec<Scope> {
        let app = self.store.create_app(NewApp::new(self.app.owner.clone(), "Other")).await;
        let other = Self::of(&self.store, &app.unwrap(), "carl").await;
        vec![Scope::Owner(owner("mallory")), Scope::App(other.app.id), other.customer_scope()]
    }

    /// The scope of another customer of the same app.
    pub(super) async fn neighbour(&self) -> Scope {
        Self::of(&self.store, &self.app, "nora").await.customer_scope()
    }

    pub(super) async fn append(&self, message: NewMessage) -> Result<Message> {
        let (app, thread) = (self.app.id, self.thread.id);
        self.store.append_message(&Scope::Everything, app, thread, message).await
    }

    pub(super) async fn say(&self, text: &str) -> Message {
        self.append(NewMessage::new(Role::User, text)).await.unwrap()
    }

    pub(super) async fn messages(&self) -> Vec<Message> {
        let (app, thread) = (self.app.id, self.thread.id);
        self.store
            .list_messages(&Scope::Everything, app, thread, MessageRange::After(0), ALL)
            .await
            .unwrap()
    }

    /// The thread as it is now.
    pub(super) async fn thread(&self) -> Thread {
        self.store.get_thread(&Scope::Everything, self.thread.id).await.unwrap()
    }

    /// The subscriber as it is now.
    pub(super) async fn subscriber(&self) -> Subscriber {
        let (app, subscriber) = (self.app.id, self.subscriber_id());
        self.store.get_subscriber(&Scope::Everything, app, subscriber).await.unwrap()
    }

    pub(super) fn start(&self) -> StartRun {
        StartRun {
            run: RunId::new(),
            app: self.app.id,
            thread: self.thread.id,
            server: ServerId::new(),
            handlers: Handlers::default(),
            history: 10,
            deadline: Duration::from_secs(60),
            overlap: None,
            debounce: None,
            message_seq: None,
        }
    }

    /// Says something more, and has it answered as `change` says.
    pub(super) async fn wish(&self, change: impl FnOnce(&mut StartRun)) -> Result<StartedRun> {
        self.say("And this?").await;
        let mut start = self.start();
        change(&mut start);
        self.store.start_run(&Scope::Everything, start).await
    }

    /// A run that waits for its turn behind another.
    pub(super) async fn queued(&self) -> Run {
        standing(self.wish(|_| {}).await)
    }

    /// The runs of this room that a new server can begin now.
    pub(super) async fn claim(&self) -> Vec<RunStart> {
        self.store.claim_runs(claim(ALL)).await.unwrap()
    }

    /// A run that was started for something that a user said.
    pub(super) async fn started(&self) -> RunStart {
        self.say("Hello?").await;
        started(self.store.start_run(&Scope::Everything, self.start()).await)
    }

    /// The run as it is now.
    pub(super) async fn run(&self, run: RunId) -> Run {
        self.store.get_run(&Scope::Everything, run).await.unwrap()
    }
}

/// The run that must have been made.
pub(super) fn started(outcome: Result<StartedRun>) -> RunStart {
    match outcome.unwrap() {
        StartedRun::Started(start) => *start,
        StartedRun::Standing(run) => panic!("run {} stands already", run.id),
    }
}

/// The run that must have been there, or have been queued.
pub(super) fn standing(outcome: Result<StartedRun>) -> Run {
    match outcome.unwrap() {
        StartedRun::Standing(run) => *run,
        StartedRun::Started(start) => panic!("run {} began at once", start.run.id),
    }
}

/// A new server's wish for runs.
pub(super) fn claim(limit: u32) -> ClaimRuns {
    ClaimRuns {
        server: ServerId::new(),
        handlers: Handlers::default(),
        limit,
        history: 10,
        deadline: Duration::from_secs(60),
    }
}

/// Ends a run well, with this reply.
pub(super) fn completed(run: &Run, content: &str) -> FinishRun {
    let content_json = r#"{"source":"webhook"}"#.parse().unwrap();
    FinishRun {
        run: run.id,
        fence: run.fence,
        state: RunState::Completed,
        reply: Some(Reply { content: content.into(), content_json }),
        failure: None,
        first_delta_at: None,
    }
}

/// Looks after the runs that nobody carries, as a server that runs nothing.
pub(super) async fn sweep(store: &Arc<dyn Store>, silence: Duration) -> SweptRuns {
    let (server, carried) = (ServerId::new(), Vec::new());
    let handler_patience = Duration::from_secs(3_600);
    let sweep = SweepRuns { server, carried, silence, handler_patience };
    store.sweep_runs(sweep).await.unwrap()
}
