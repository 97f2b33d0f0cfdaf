//! The engine: makes runs, and carries each to its end in a task of its own.
//!
//! A run never lives in the request that asked for it: whoever asked may go away, and the
//! reply is completed and stored all the same.

mod lease;
mod routing;
mod turn;

pub(crate) use routing::SIMULATOR;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    AppId, Dispatcher, Error, Message, MessageRange, Result, Role, Run, RunId, RunStart, Scope,
    ServerId, StartRun, StartedRun, Store, ThreadId,
    hub::{Hub, RunEnd, RunEvent, RunWatch},
};

/// How often the store is asked about a run that another server carries.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
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
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Answers the newest user message of a thread, and gives a watch on that run.
    ///
    /// A run that answers it already is joined. While one answers an older message, this
    /// waits for its turn.
    ///
    /// # Errors
    ///
    /// Those of [`RunStore::start_run`](crate::RunStore::start_run);
    /// [`Error::Unavailable`] while the server shuts down, or if the turn does not come
    /// within the time that a run may take.
    pub async fn start(&self, scope: &Scope, app: AppId, thread: ThreadId) -> Result<RunWatch> {
        let deadline = Instant::now() + self.inner.settings.deadline;
        loop {
            let active = match self.start_once(scope, app, thread).await? {
                StartedRun::Started(start) => return Ok(self.launch(*start)),
                StartedRun::Active(run) => run,
            };
            let watch = self.watch(&active).await?;
            if !self.has_newer_message(scope, &active).await? {
                return Ok(watch);
            }
            let busy = || Error::Unavailable("the thread is busy".into());
            tokio::time::timeout_at(deadline, watch.end()).await.map_err(|_| busy())?;
        }
    }

    async fn start_once(&self, scope: &Scope, app: AppId, thread: ThreadId) -> Result<StartedRun> {
        if self.inner.draining.is_cancelled() {
            return Err(Error::Unavailable("the server is shutting down".into()));
        }
        let start = StartRun {
            run: RunId::new(),
            app,
            thread,
            server: self.inner.server,
            history: self.inner.settings.history,
            deadline: self.inner.settings.deadline,
        };
        self.inner.store.start_run(scope, start).await
    }

    fn launch(&self, start: RunStart) -> RunWatch {
        let publisher = self.inner.hub.open(start.run.id);
        let watch = publisher.watch();
        let inner = Arc::clone(&self.inner);
        self.inner.tasks.spawn_on(turn::drive(inner, start, publisher), &self.inner.handle);
        watch
    }

    /// Whether a user has said something since what the run answers.
    async fn has_newer_message(&self, scope: &Scope, run: &Run) -> Result<bool> {
        let after = MessageRange::After(run.message_seq);
        let store = &self.inner.store;
        let newer = store.list_messages(scope, run.app, run.thread, after, NEWER_MESSAGES).await?;
        Ok(newer.iter().any(|message| message.role == Role::User))
    }

    /// Watches a run from its start, wherever it is carried.
    async fn watch(&self, run: &Run) -> Result<RunWatch> {
        match self.inner.hub.watch(run.id) {
            Some(watch) => Ok(watch),
            None => self.follow(run.id).await,
        }
    }

    /// Waits for a run that another server carries, and replays it from what is stored.
    async fn follow(&self, run: RunId) -> Result<RunWatch> {
        loop {
            let found = self.inner.store.get_run(&Scope::Everything, run).await?;
            if found.state.is_terminal() {
                return Ok(RunWatch::replay(run, self.replayed(found).await?));
            }
            tokio::time::sleep(FOLLOW_EVERY).await;
        }
    }

    async fn replayed(&self, run: Run) -> Result<Vec<RunEvent>> {
        let message = match run.reply {
            Some(reply) => Some(self.inner.store.get_message(&Scope::Everything, reply).await?),
            None => None,
        };
        let mut events = vec![RunEvent::Meta { source: source(message.as_ref()), reason: None }];
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
            self.inner.tasks.wait().await;
        }
        // A sign of life after signing off would sign it on again.
        self.inner.stopping.cancel();
        if let Err(error) = self.inner.store.retire(self.inner.server).await {
            tracing::warn!(%error, "the server could not sign off");
        }
    }
}

/// Who answered, as the stored reply says it.
fn source(message: Option<&Message>) -> Arc<str> {
    let source = message.and_then(|message| message.content_json.get("source"));
    source.and_then(|source| source.as_str().map(Arc::from)).unwrap_or_else(|| "webhook".into())
}
