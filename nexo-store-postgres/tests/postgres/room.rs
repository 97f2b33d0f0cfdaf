//! An app with a thread in it, to begin with.

use std::{net::SocketAddr, time::Duration};

use nexo_core::{
    App, AppId, AppStore as _, ClaimRuns, FinishRun, KeyedRequest, Message, MessageStore as _,
    NewApp, NewMessage, NewThread, OwnerId, Reply, Result, Role, Run, RunId, RunStart, RunState,
    RunStore as _, Scope, ServerId, StartRun, StartedRun, SweepRuns, SweptRuns, Thread, ThreadId,
    ThreadStore as _,
};
use nexo_store_postgres::PostgresStore;

use crate::common::{Database, fresh_store};

/// A store with an app and a thread of one customer.
pub(crate) struct Room {
    pub(crate) store: PostgresStore,
    pub(crate) database: Database,
    pub(crate) app: App,
    pub(crate) thread: Thread,
}

impl Room {
    pub(crate) async fn new() -> Self {
        let (store, database) = fresh_store().await;
        let app = store.create_app(NewApp::new(owner(), "Shop")).await.unwrap();
        let customer = NewThread { customer_id: Some("ann".into()), ..NewThread::default() };
        let (thread, _) = store.create_thread(&Scope::Everything, app.id, customer).await.unwrap();
        Self { store, database, app, thread }
    }

    /// The address of the database's server, and the database's URL by way of a proxy.
    pub(crate) fn database_behind(&self, proxy: SocketAddr) -> (String, String) {
        let url = self.database.url();
        let (head, rest) = url.split_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        (server.into(), format!("{head}@{proxy}/{database}"))
    }

    pub(crate) async fn say(&self, text: &str) -> Result<Message> {
        let message = NewMessage::new(Role::User, text);
        self.store.append_message(&self.scope(), self.app.id, self.thread.id, message).await
    }

    /// The owner's, as for a request.
    pub(crate) fn scope(&self) -> Scope {
        Scope::Owner(owner())
    }

    pub(crate) fn wish(&self) -> StartRun {
        wish(self.app.id, self.thread.id)
    }

    pub(crate) async fn try_start(&self) -> Result<StartedRun> {
        self.store.start_run(&self.scope(), self.wish()).await
    }

    /// A run that waits for its turn, for something more that is said.
    pub(crate) async fn queue(&self) -> Box<Run> {
        self.say("And this?").await.unwrap();
        match self.try_start().await.unwrap() {
            StartedRun::Standing(run) => run,
            StartedRun::Started(start) => panic!("{:?} began at once", start.run),
        }
    }

    /// The runs that a new server can begin now.
    pub(crate) async fn claim(&self) -> Vec<RunStart> {
        self.store.claim_runs(claim()).await.unwrap()
    }

    /// Looks after the runs that nobody carries.
    pub(crate) async fn sweep(&self) -> SweptRuns {
        self.store.sweep_runs(sweep()).await.unwrap()
    }

    /// The run as it is now.
    pub(crate) async fn run(&self, run: RunId) -> Run {
        self.store.get_run(&Scope::Everything, run).await.unwrap()
    }

    /// Brings about what no method of the store does.
    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(self.store.pool()).await.unwrap();
    }

    pub(crate) async fn start(&self) -> Box<RunStart> {
        match self.try_start().await.unwrap() {
            StartedRun::Started(start) => start,
            StartedRun::Standing(run) => panic!("{run:?} stands already"),
        }
    }
}

/// A request with this key.
pub(crate) fn keyed(key: &str) -> KeyedRequest {
    KeyedRequest {
        key: key.parse().unwrap(),
        route: "POST /".into(),
        body_sha256: [7; 32],
        lifetime: Duration::from_secs(3_600),
    }
}

pub(crate) fn owner() -> OwnerId {
    "owner".parse().unwrap()
}

/// A wish to have a thread answered, with no more said.
pub(crate) fn wish(app: AppId, thread: ThreadId) -> StartRun {
    StartRun {
        run: RunId::new(),
        app,
        thread,
        server: ServerId::new(),
        handlers: nexo_core::Handlers::default(),
        history: 20,
        deadline: Duration::from_secs(60),
        overlap: None,
        debounce: None,
        message_seq: None,
    }
}

/// A new server's wish for runs.
pub(crate) fn claim() -> ClaimRuns {
    let deadline = Duration::from_secs(60);
    let (server, handlers) = (ServerId::new(), nexo_core::Handlers::default());
    ClaimRuns { server, handlers, limit: 10, history: 20, deadline }
}

/// What a server sweeps by that runs nothing.
pub(crate) fn sweep() -> SweepRuns {
    let (server, carried) = (ServerId::new(), Vec::new());
    let silence = Duration::from_secs(60);
    SweepRuns { server, carried, silence, handler_patience: silence }
}

/// A finish with a reply.
pub(crate) fn answer(run: &Run, text: &str) -> FinishRun {
    let content_json = r#"{"source":"test"}"#.parse().unwrap();
    FinishRun {
        run: run.id,
        fence: run.fence,
        state: RunState::Completed,
        reply: Some(Reply { content: text.into(), content_json }),
        failure: None,
        first_delta_at: None,
    }
}
