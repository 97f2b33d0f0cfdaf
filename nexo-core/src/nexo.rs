//! Nexo as one value: a store, and the engine that works on it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::runtime::Handle;

use crate::{
    App, Dispatcher, Feed, Handler, Handlers, LocalHub, MAIN_AGENT, MemoryStore, NewAgent, NewApp,
    OwnerId, Result, Store, StreamHub,
    dispatch::{IN_PROCESS, InProcess, Simulator},
    engine::{Engine, Ports, SIMULATOR, Settings},
};
#[cfg(feature = "webhook")]
use crate::{dispatch::webhook::WebhookDispatcher, engine::WEBHOOK};

const HISTORY: u32 = 10;
const RUN_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// More than any agent takes that is not meant to take that many.
const CALLS_AT_ONCE: usize = 5_000;
const REPLY_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// A store, and the engine that works on it. Cheap to clone; two in one process do not meet.
///
/// ```
/// use nexo_core::{AppStore, NewApp, NewMessage, NewThread, MessageStore, Nexo, Role, Scope, ThreadStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> nexo_core::Result<()> {
/// let nexo = Nexo::builder().build();
/// let store = nexo.store();
/// let app = store.create_app(NewApp::new("bakery".parse().unwrap(), "Bakery desk")).await?;
/// let scope = Scope::App(app.id);
/// let (thread, _) = store.create_thread(&scope, app.id, NewThread::default()).await?;
/// let question = NewMessage::new(Role::User, "Is the rye bread vegan?");
/// store.append_message(&scope, app.id, thread.id, question).await?;
///
/// let run = nexo.engine().start(&scope, app.id, thread.id).await?;
/// let reply = run.end().await.unwrap().message.clone().unwrap();
/// assert_eq!(reply.content.as_deref(), Some("Echo: Is the rye bread vegan?"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Nexo {
    store: Arc<dyn Store>,
    hub: Arc<dyn StreamHub>,
    engine: Engine,
    feed: Feed,
    #[cfg(feature = "webhook")]
    webhooks: WebhookDispatcher,
}

impl Nexo {
    /// Begins to put one together; without more it keeps everything in memory.
    #[must_use]
    pub fn builder() -> NexoBuilder {
        NexoBuilder::default()
    }

    /// Where everything is kept.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What carries word of changes. Whoever changes something through the store, and not
    /// through the engine, tells it here: who waits for it sees it sooner then.
    #[must_use]
    pub fn hub(&self) -> &Arc<dyn StreamHub> {
        &self.hub
    }

    /// Sees to it that the owner has an app of this name with these agents, and gives it. A
    /// host that embeds Nexo calls it at each start; several may do so at once.
    ///
    /// A text stands for an agent that the handler of this name answers for. What is there is
    /// kept as it is, also agents that are not listed any more; see
    /// [`AppStore::ensure_app`](crate::AppStore::ensure_app).
    /// The first agent of the list answers in an app that is made.
    ///
    /// ```
    /// # use nexo_core::{LiveTurn, Nexo};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> nexo_core::Result<()> {
    /// # let nexo = Nexo::builder().agent("concierge", |_: LiveTurn| async { Ok("") }).build();
    /// let owner = "bakery".parse().unwrap();
    /// let app = nexo.ensure_app(owner, "Bakery desk", ["concierge"]).await?;
    /// assert_eq!(app.name, "Bakery desk");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn ensure_app(
        &self,
        owner: OwnerId,
        name: impl Into<String>,
        agents: impl IntoIterator<Item = impl Into<NewAgent>>,
    ) -> Result<App> {
        let agents = agents.into_iter().map(Into::into).collect();
        self.store.ensure_app(NewApp::new(owner, name), agents).await
    }

    /// What calls agents over HTTP; its guard says which addresses may be called.
    #[cfg(feature = "webhook")]
    #[must_use]
    pub fn webhooks(&self) -> &WebhookDispatcher {
        &self.webhooks
    }

    /// What carries the runs.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What shows changes of threads and apps to those who watch them.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.feed
    }
}

/// Puts a [`Nexo`] together.
#[derive(Debug)]
pub struct NexoBuilder {
    store: Option<Arc<dyn Store>>,
    hub: Option<Arc<dyn StreamHub>>,
    dispatchers: HashMap<String, Arc<dyn Dispatcher>>,
    handlers: InProcess,
    #[cfg(feature = "webhook")]
    webhooks: WebhookDispatcher,
    settings: Settings,
}

impl Default for NexoBuilder {
    fn default() -> Self {
        let simulator: Arc<dyn Dispatcher> = Arc::new(Simulator);
        Self {
            store: None,
            hub: None,
            dispatchers: HashMap::from([(SIMULATOR.to_owned(), simulator)]),
            handlers: InProcess::default(),
            #[cfg(feature = "webhook")]
            webhooks: WebhookDispatcher::default(),
            settings: Settings {
                history: HISTORY,
                deadline: RUN_DEADLINE,
                patience: REPLY_PATIENCE,
                calls_at_once: CALLS_AT_ONCE,
                exclusive: false,
                handlers: Handlers::default(),
            },
        }
    }
}

impl NexoBuilder {
    /// Where everything is kept; in memory if it is not said.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// What carries word of changes to other servers on the same store; if it is not said, it
    /// stays within this one, and others see changes when they next look.
    #[must_use]
    pub fn hub(mut self, hub: Arc<dyn StreamHub>) -> Self {
        self.hub = Some(hub);
        self
    }

    /// An agent that is Rust code in this process, under the name of its handler: an
    /// `async fn`, or a type; see [`Handler`]. [`Nexo::ensure_app`] has apps answered by it.
    ///
    /// ```
    /// # use nexo_core::{LiveTurn, Nexo};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let nexo = Nexo::builder()
    ///     .agent("echo", |turn: LiveTurn| async move { Ok(format!("You said {}", turn.text())) })
    ///     .build();
    /// # drop(nexo);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the name is `main`: each app's own agent has it, which is called over HTTP or is the
    /// simulator.
    #[must_use]
    pub fn agent(mut self, handler: impl Into<String>, answers: impl Handler) -> Self {
        let handler = handler.into();
        assert_ne!(handler, MAIN_AGENT, "`main` is the name of each app's own agent");
        self.handlers = self.handlers.with(handler, answers);
        self
    }

    /// How agents are called over HTTP; if it is not said, as [`WebhookDispatcher::default`] does.
    #[cfg(feature = "webhook")]
    #[must_use]
    pub fn webhooks(mut self, webhooks: WebhookDispatcher) -> Self {
        self.webhooks = webhooks;
        self
    }

    /// How agents of one kind are reached. The kinds `simulator`, `in_process` and, with the
    /// feature of that name, `webhook` are there from the start; `in_process` is always that of
    /// [`NexoBuilder::agent`].
    #[must_use]
    pub fn dispatcher(mut self, kind: impl Into<String>, dispatcher: Arc<dyn Dispatcher>) -> Self {
        self.dispatchers.insert(kind.into(), dispatcher);
        self
    }

    /// How many of the newest messages an agent is told; 10 if it is not said.
    #[must_use]
    pub fn history(mut self, messages: u32) -> Self {
        self.settings.history = messages;
        self
    }

    /// How long a run may take in all; 15 minutes if it is not said.
    #[must_use]
    pub fn run_deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = deadline;
        self
    }

    /// How long a run waits for an agent that answers later; an hour if it is not said.
    #[must_use]
    pub fn reply_patience(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }

    /// How many calls of one agent may be under way at once on this server; 5,000 if it is not
    /// said. Further ones wait for half a minute for one of these to end.
    #[must_use]
    pub fn calls_at_once(mut self, calls: usize) -> Self {
        self.settings.calls_at_once = calls;
        self
    }

    /// No other server can be working on the store: runs found under way when it signs on
    /// were left behind, and need not be waited for.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.settings.exclusive = true;
        self
    }

    /// Puts it together. Runs will live on the tokio runtime that this is called in.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn build(self) -> Nexo {
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let hub = self.hub.unwrap_or_else(|| Arc::new(LocalHub::default()));
        let ports = Ports { store: Arc::clone(&store), hub: Arc::clone(&hub) };
        let handle = Handle::current();
        let settings = Settings { handlers: self.handlers.names().collect(), ..self.settings };
        let mut dispatchers = self.dispatchers;
        dispatchers.insert(IN_PROCESS.to_owned(), Arc::new(self.handlers));
        #[cfg(feature = "webhook")]
        dispatchers.entry(WEBHOOK.to_owned()).or_insert_with(|| Arc::new(self.webhooks.clone()));
        let engine = Engine::new(ports, dispatchers, settings, handle.clone());
        let feed = Feed::new(Arc::clone(&store), Arc::clone(&hub), handle, engine.draining());
        Nexo {
            store,
            hub,
            engine,
            feed,
            #[cfg(feature = "webhook")]
            webhooks: self.webhooks,
        }
    }
}
