//! The engine: makes runs, and carries each to its end in a task of its own.
//!
//! A run never lives in the request that asked for it: whoever asked may go away, and the
//! reply is completed and stored all the same.

mod lease;
mod routing;
mod turn;

pub(crate) use routing::SIMULATOR;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::OnceCell, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    AppId, Dispatcher, Error, Message, MessageRange, Result, Role, Run, RunId, Scope, ServerId,
    StartRun, StartedRun, Store, ThreadId,
    hub::{Hub, RunEnd, RunEvent, RunWatch},
};

/// How often the store is asked about a run that another server carries.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// How long runs may take to end once they are told to.
const STOPPING_PATIENCE: Duration = Duration::from_secs(5);
/// The most messages that are looked at to see whether a newer one waits for an answer.
const NEWER_MESSAGES: u32 = 200;

/// What the engine does not decide by itself.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How many of the newest messages an agent is told.
    pub(crate) history: u32,
    /// How long a run may take in all.
    pub(crate) deadline: Duration,
    /// Whether no other server can be working on the store.
    pub(crate) exclusive: bool,
}

/// Makes runs, and carries them to their end.
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    dispatchers: HashMap<String, Arc<dyn Dispatcher>>,
    hub: Hub,
    server: ServerId,
    settings: Settings,
    handle: Handle,
    tasks: TaskTracker,
    signed_on: OnceCell<()>,
    /// No new runs.
    draining: CancellationToken,
    /// Runs under way end now.
    stopping: CancellationToken,
}

impl Engine {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        dispatchers: HashMap<String, Arc<dyn Dispatcher>>,
        settings: Settings,
        handle: Handle,
    ) -> Self {
        let inner = Inner {
            store,
            dispatchers,
            hub: Hub::default(),
            server: ServerId::new(),
            settings,
            handle,
            tasks: TaskTracker::new(),
            signed_on: OnceCell::new(),
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The server that this engine is, as the store knows it.
    #[must_use]
    pub fn server(&self) -> ServerId {
        self.inner.server
    }

    /// Answers the newest user message of a thread, and gives a watch on that run.
    ///
    /// A run that answers it already is joined. While one answers an older message, this
    /// waits for its turn. The first call signs the server on ([`Engine::sign_on`]).
    ///
    /// # Errors
    ///
    /// Those of [`RunStore::start_run`](crate::RunStore::start_run);
    /// [`Error::Unavailable`] while the server shuts down, or if the turn does not come
    /// within the time that a run may take.
    pub async fn start(&self, scope: &Scope, app: AppId, thread: ThreadId) -> Result<RunWatch> {
        self.sign_on().await?;
        let deadline = Instant::now() + self.inner.settings.deadline;
        let mut before = None;
        loop {
            let active = match self.begin(scope, app, thread).await? {
                Begun::Started(watch) => return Ok(watch),
                Begun::Active(run) => run,
            };
            if before.replace(active.id) == Some(active.id) {
                // It has ended, and its end is still on the way to the store.
                pause(deadline).await?;
            }
            let watch = self.watch(&active, deadline).await?;
            if !self.has_newer_message(scope, &active).await? {
                return Ok(watch);
            }
            tokio::time::timeout_at(deadline, watch.end()).await.map_err(|_| busy())?;
        }
    }

    /// Makes a run, and a task that carries it.
    ///
    /// Both happen in a task, since a caller that goes away in between must not leave a run
    /// behind that nobody carries.
    async fn begin(&self, scope: &Scope, app: AppId, thread: ThreadId) -> Result<Begun> {
        if self.inner.draining.is_cancelled() {
            return Err(Error::Unavailable("the server is shutting down".into()));
        }
        let (inner, scope) = (Arc::clone(&self.inner), scope.clone());
        let begun = async move { inner.begin(&scope, app, thread).await };
        let begun = self.inner.tasks.spawn_on(begun, &self.inner.handle);
        begun.await.map_err(|panicked| Error::Store(panicked.into()))?
    }

    /// Whether a user has said something since what the run answers.
    async fn has_newer_message(&self, scope: &Scope, run: &Run) -> Result<bool> {
        let after = MessageRange::After(run.message_seq);
        let store = &self.inner.store;
        let newer = store.list_messages(scope, run.app, run.thread, after, NEWER_MESSAGES).await?;
        Ok(newer.iter().any(|message| message.role == Role::User))
    }

    /// Watches a run from its start, wherever it is carried: one that another server carries
    /// is replayed from what is stored, once it has ended.
    async fn watch(&self, run: &Run, deadline: Instant) -> Result<RunWatch> {
        loop {
            if let Some(watch) = self.inner.hub.watch(run.id) {
                return Ok(watch);
            }
            let found = self.inner.store.get_run(&Scope::Everything, run.id).await?;
            if found.state.is_terminal() {
                return Ok(RunWatch::replay(run.id, self.replayed(found).await?));
            }
            pause(deadline).await?;
        }
    }

    async fn replayed(&self, run: Run) -> Result<Vec<RunEvent>> {
        let message = match run.reply {
            Some(reply) => Some(self.inner.store.get_message(&Scope::Everything, reply).await?),
            None => None,
        };
        let mut events = vec![meta(message.as_ref())];
        if let Some(text) = message.as_ref().and_then(|message| message.content.as_deref()) {
            events.extend(turn::deltas(text));
        }
        let end = RunEnd { state: run.state, message, failure: run.failure };
        events.push(RunEvent::End(Arc::new(end)));
        Ok(events)
    }

    /// Finishes what is under way: no new runs from now on, those running get `grace`, and
    /// what is left then ends as failed with `RUN_INTERRUPTED`.
    pub async fn shutdown(&self, grace: Duration) {
        self.inner.draining.cancel();
        self.inner.tasks.close();
        if tokio::time::timeout(grace, self.inner.tasks.wait()).await.is_err() {
            self.inner.stopping.cancel();
            let stopped = tokio::time::timeout(STOPPING_PATIENCE, self.inner.tasks.wait());
            if stopped.await.is_err() {
                tracing::warn!("some runs could not be ended; they are when the server is missed");
            }
        }
        // A sign of life after signing off would sign it on again.
        self.inner.stopping.cancel();
        if let Err(error) = self.inner.store.retire(self.inner.server).await {
            tracing::warn!(%error, "the server could not sign off");
        }
    }
}

impl Inner {
    /// The run is known to the hub before it is to the store, so that whoever joins it finds
    /// it there.
    async fn begin(self: Arc<Self>, scope: &Scope, app: AppId, thread: ThreadId) -> Result<Begun> {
        let run = RunId::new();
        let publisher = self.hub.open(run);
        let start = StartRun {
            run,
            app,
            thread,
            server: self.server,
            history: self.settings.history,
            deadline: self.settings.deadline,
            overlap: None,
            debounce: None,
        };
        match self.store.start_run(scope, start).await? {
            StartedRun::Standing(run) => Ok(Begun::Active(run)),
            StartedRun::Started(start) => {
                let watch = publisher.watch();
                let carried = turn::drive(Arc::clone(&self), *start, publisher);
                self.tasks.spawn_on(carried, &self.handle);
                Ok(Begun::Started(watch))
            }
        }
    }
}

/// What came of the wish to have a thread answered.
enum Begun {
    /// A run was made, and is carried here.
    Started(RunWatch),
    /// There is one already.
    Active(Box<Run>),
}

fn busy() -> Error {
    Error::Unavailable("the thread is busy".into())
}

async fn pause(deadline: Instant) -> Result<()> {
    let pause = tokio::time::sleep(FOLLOW_EVERY);
    tokio::time::timeout_at(deadline, pause).await.map_err(|_| busy())
}

/// Who answered, as the stored reply says it.
fn meta(reply: Option<&Message>) -> RunEvent {
    let said = |name| {
        let member = reply.and_then(|reply| reply.content_json.get(name));
        member.and_then(|member| member.as_str().map(Arc::from))
    };
    RunEvent::Meta {
        source: said("source").unwrap_or_else(|| routing::WEBHOOK.into()),
        reason: said("reason"),
    }
}
