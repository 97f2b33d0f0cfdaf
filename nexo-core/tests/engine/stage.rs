//! A thread with a scripted agent, and the servers that work on it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, channel::mpsc};
use nexo_core::{
    AgentEvent, AgentStream, AppChanges, AppId, ConfigChange, Dispatcher, Error, Failure,
    FailureKind, ManualClock, MemoryStore, MessageRange, NewApp, NewMessage, NewThread, Nexo, Role,
    Run, RunEnd, RunId, RunOptions, RunWatch, Scope, Store, ThreadId, Timestamp, Turn,
};

pub(crate) type Step = Result<AgentEvent, Failure>;

/// An agent that says what a test tells it to, when it tells it.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    pub(crate) turns: AtomicUsize,
    answers: Mutex<Vec<mpsc::UnboundedReceiver<Step>>>,
}

impl Scripted {
    /// The next turn is answered with what is sent here.
    pub(crate) fn answer(&self) -> mpsc::UnboundedSender<Step> {
        let (say, hear) = mpsc::unbounded();
        self.answers.lock().unwrap().insert(0, hear);
        say
    }

    /// The next turn is answered with this, at once.
    pub(crate) fn answer_with(&self, steps: Vec<Step>) {
        let say = self.answer();
        for step in steps {
            say.unbounded_send(step).unwrap();
        }
    }
}

impl Dispatcher for Scripted {
    fn dispatch(&self, _: Arc<Turn>) -> AgentStream {
        self.turns.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.lock().unwrap().pop();
        answer.expect("the script has an answer").boxed()
    }
}

/// A thread of an app whose agent is scripted.
pub(crate) struct Stage {
    pub(crate) nexo: Nexo,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) agent: Arc<Scripted>,
    pub(crate) scope: Scope,
    pub(crate) app: AppId,
    pub(crate) thread: ThreadId,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let agent = Arc::new(Scripted::default());
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        let nexo = server(store, agent.clone());
        let app = NewApp {
            webhook_url: Some("https://agent.example.com".into()),
            config: r#"{"integration":{"mode":"webhook"}}"#.parse().unwrap(),
            ..NewApp::new("owner".parse().unwrap(), "app")
        };
        let app = nexo.store().create_app(app).await.unwrap().id;
        let scope = Scope::App(app);
        let thread = NewThread::default();
        let (thread, _) = nexo.store().create_thread(&scope, app, thread).await.unwrap();
        Self { nexo, clock, agent, scope, app, thread: thread.id }
    }

    pub(crate) async fn say(&self, text: &str) {
        let message = NewMessage::new(Role::User, text);
        let store = self.nexo.store();
        store.append_message(&self.scope, self.app, self.thread, message).await.unwrap();
    }

    pub(crate) async fn configure(&self, config: &str) {
        let config = ConfigChange::Replace(config.parse().unwrap());
        let changes = AppChanges { config: Some(config), ..AppChanges::default() };
        self.nexo.store().update_app(&self.scope, self.app, changes).await.unwrap();
    }

    /// Another server on the same store, with the same agent.
    pub(crate) fn another_server(&self) -> Nexo {
        server(Arc::clone(self.nexo.store()), self.agent.clone())
    }

    /// Time passes, for the engines and for their store.
    pub(crate) async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Says something more, and has it answered as the options say.
    pub(crate) async fn ask(&self, text: &str, options: RunOptions) -> Result<RunWatch, Error> {
        self.say(text).await;
        self.nexo.engine().start_with(&self.scope, self.app, self.thread, options).await
    }

    pub(crate) async fn run(&self, run: RunId) -> Run {
        self.nexo.store().get_run(&self.scope, run).await.unwrap()
    }

    pub(crate) async fn start(&self) -> RunWatch {
        self.nexo.engine().start(&self.scope, self.app, self.thread).await.unwrap()
    }

    pub(crate) async fn messages(&self) -> Vec<(Role, String)> {
        let range = MessageRange::Newest { before: None };
        let store = self.nexo.store();
        let messages = store.list_messages(&self.scope, self.app, self.thread, range, 200).await;
        let text = |content: Option<String>| content.unwrap_or_default();
        messages.unwrap().into_iter().map(|it| (it.role, text(it.content))).collect()
    }
}

pub(crate) fn delta(text: &str) -> Step {
    Ok(AgentEvent::Delta(text.into()))
}

pub(crate) fn broken() -> Step {
    Err(Failure::new(FailureKind::WebhookRequestFailed, "reset"))
}

pub(crate) async fn end(watch: RunWatch) -> Arc<RunEnd> {
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, watch.end()).await.unwrap().expect("every run tells its end")
}

fn server(store: Arc<dyn Store>, agent: Arc<Scripted>) -> Nexo {
    let builder = Nexo::builder().store(store).run_deadline(Duration::from_secs(600));
    builder.dispatcher("webhook", agent).build()
}
