//! The engine: makes runs, and carries each to its end in a task of its own.
//!
//! A run never lives in the request that asked for it: whoever asked may go away, and the
//! reply is completed and stored all the same. Nor does it live in the server that began it:
//! when that is gone, another one goes on with it.

mod answer;
mod ask;
mod attend;
mod carried;
mod circuit;
mod deliveries;
mod follow;
mod gate;
mod lease;
mod record;
mod replay;
mod resend;
mod routing;
mod turn;

pub(crate) use routing::SIMULATOR;
#[cfg(feature = "webhook")]
pub(crate) use routing::WEBHOOK;

use std::{collections::HashMap, sync::Arc, time::Duration};

use ask::{Answering, Wish};
use carried::Carried;
use follow::Mirrors;
use gate::Gates;
use tokio::{
    runtime::Handle,
    sync::{Mutex, Notify, OnceCell},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    AppConfig, AppId, Dispatcher, Error, FinishRun, Handlers, Hint, Message, Once, Overlap, Reply,
    Result, Run, RunCursor, RunId, RunStart, RunState, Scope, ServerId, StartRun, StartedRun, Stop,
    Store, StreamHub, ThreadId, Topic, Turn,
    hub::{Hub, RunWatch, Unstored},
};

/// How long runs may take to end once they are told to.
const STOPPING_PATIENCE: Duration = Duration::from_secs(5);

/// What the engine does not decide by itself.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How many of the newest messages an agent is told.
    pub(crate) history: u32,
    /// How long a run may take in all.
    pub(crate) deadline: Duration,
    /// How long a run waits for an agent that answers later.
    pub(crate) patience: Duration,
    /// How many calls of one agent may be under way at once, on this server.
    pub(crate) calls_at_once: usize,
    /// Whether no other server can be working on the store.
    pub(crate) exclusive: bool,
    /// The handlers of agents in this process.
    pub(crate) handlers: Handlers,
}

/// What the engine works on.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hub: Arc<dyn StreamHub>,
}

/// How a thread is to be answered; the app's own rules hold where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// What to do if the thread is busy with an older message.
    pub overlap: Option<Overlap>,
    /// For how long to wait for a burst of messages to end.
    pub debounce: Option<Duration>,
    /// The `seq` of the message that is to be answered; nothing is done if a user has said
    /// something after it.
    pub message_seq: Option<i64>,
}

/// Makes runs, and carries them to their end.
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    hints: Arc<dyn StreamHub>,
    dispatchers: HashMap<String, Arc<dyn Dispatcher>>,
    hub: Hub,
    /// What was said here and is not stored yet.
    unstored: Arc<Unstored>,
    /// What is watched here and carried by others.
    mirrors: Arc<Mirrors>,
    carried: Carried,
    gates: Gates,
    server: ServerId,
    settings: Settings,
    handle: Handle,
    tasks: TaskTracker,
    signed_on: OnceCell<()>,
    /// Something may be due, or have to stop.
    news: Notify,
    /// Held while runs are taken, and while it is judged which nobody carries: what was just
    /// taken must not look as if nobody did.
    taking: Mutex<()>,
    /// No new runs.
    draining: CancellationToken,
    /// Nothing goes on from now on.
    stopping: CancellationToken,
    /// Nor when the engine is gone.
    _at_last: DropGuard,
}

impl Engine {
    pub(crate) fn new(
        ports: Ports,
        dispatchers: HashMap<String, Arc<dyn Dispatcher>>,
        settings: Settings,
        handle: Handle,
    ) -> Self {
        let stopping = CancellationToken::new();
        let inner = Inner {
            store: ports.store,
            hints: ports.hub,
            dispatchers,
            hub: Hub::default(),
            unstored: Arc::default(),
            mirrors: Arc::default(),
            carried: Carried::default(),
            gates: Gates::new(settings.calls_at_once),
            server: ServerId::new(),
            settings,
            handle,
            tasks: TaskTracker::new(),
            signed_on: OnceCell::new(),
            news: Notify::new(),
            taking: Mutex::default(),
            draining: stopping.child_token(),
            _at_last: stopping.clone().drop_guard(),
            stopping,
        };
        let inner = Arc::new(inner);
        inner.work(follow::follow(Arc::downgrade(&inner), Arc::clone(&inner.mirrors)));
        Self { inner }
    }

    /// The server that this engine is, as the store knows it.
    #[must_use]
    pub fn server(&self) -> ServerId {
        self.inner.server
    }

    /// Is cancelled as soon as the server shuts down.
    pub(crate) fn draining(&self) -> CancellationToken {
        self.inner.draining.clone()
    }

    /// Answers the newest user message of a thread as the app's rules say, and gives a watch on
    /// that run; see [`Engine::start_with`].
    ///
    /// # Errors
    ///
    /// Those of [`Engine::start_with`].
    pub async fn start(&self, scope: &Scope, app: AppId, thread: ThreadId) -> Result<RunWatch> {
        self.start_with(scope, app, thread, RunOptions::default()).await
    }

    /// Answers the newest user message of a thread, and gives a watch on that run.
    ///
    /// A run that answers it already is joined. One that has to wait for its turn is watched
    /// all the same: nothing comes until it begins, here or on another server. The first call
    /// signs the server on ([`Engine::sign_on`]).
    ///
    /// # Errors
    ///
    /// Those of [`RunStore::start_run`](crate::RunStore::start_run);
    /// [`Error::Unavailable`] while the server shuts down.
    pub async fn start_with(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        options: RunOptions,
    ) -> Result<RunWatch> {
        let wish = Wish { app, thread, options, message: None, request: None };
        Ok(self.have_answered(scope, wish).await?.made.1)
    }

    /// Makes a run and carries it.
    async fn have_answered(&self, scope: &Scope, wish: Wish) -> Result<Once<Answering>> {
        self.sign_on().await?;
        let (inner, scope) = (Arc::clone(&self.inner), scope.clone());
        self.see_through(async move { inner.begin(&scope, wish).await }).await
    }

    /// Does something to its end in a task: a caller that goes away must not leave a run behind
    /// that nobody carries, or a request of which nobody learns.
    async fn see_through<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        if self.inner.draining.is_cancelled() {
            return Err(Error::Unavailable("the server is shutting down".into()));
        }
        let done = self.inner.tasks.spawn_on(work, &self.inner.handle);
        done.await.map_err(|panicked| Error::Store(panicked.into()))?
    }

    /// Watches a run from its start, wherever it is carried, and also when it has ended.
    ///
    /// # Errors
    ///
    /// [`Error::RunNotFound`] if there is none, or it lies outside the scope.
    pub async fn watch(&self, scope: &Scope, run: RunId) -> Result<RunWatch> {
        let run = self.inner.store.get_run(scope, run).await?;
        self.inner.watch(run).await
    }

    /// Watches a run from where a reader was cut off. `None` if the reader has seen everything.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCursor`] if it names no run of the thread in the scope, or if nobody can
    /// have seen so much of it.
    pub async fn resume(
        &self,
        scope: &Scope,
        app: AppId,
        cursor: RunCursor,
    ) -> Result<Option<RunWatch>> {
        let found = self.inner.store.get_run(scope, cursor.run).await;
        let run = match found.and_then(|run| run.of(app)) {
            Err(Error::RunNotFound) => return Err(Error::InvalidCursor),
            found => found?,
        };
        if !cursor.fits(&run) {
            return Err(Error::InvalidCursor);
        }
        let over = run.state.is_terminal();
        let mut watch = self.inner.watch(run).await?;
        Ok(watch.resume(cursor, over)?.then_some(watch))
    }

    /// Has a run stop; what its agent has said by then is kept. Gives the run as it stands
    /// then: one that is under way ends a little later.
    ///
    /// # Errors
    ///
    /// Those of [`RunStore::stop_run`](crate::RunStore::stop_run).
    pub async fn cancel(&self, scope: &Scope, app: AppId, run: RunId) -> Result<Run> {
        let run = self.inner.store.stop_run(scope, app, run, Stop::Cancel).await?;
        self.inner.news.notify_one();
        self.inner.tell_of(&run);
        Ok(run)
    }

    /// Answers a run whose agent said that it answers later, in that agent's name.
    ///
    /// # Errors
    ///
    /// [`Error::RunNotFound`] if the app has no such run in the scope, [`Error::RunEnded`] if it
    /// has ended, [`Error::RunNotWaiting`] if it does not wait for an answer.
    pub async fn reply(
        &self,
        scope: &Scope,
        app: AppId,
        run: RunId,
        text: String,
    ) -> Result<Message> {
        let found = self.inner.store.get_run(scope, run).await?.of(app)?;
        match found.state {
            RunState::Waiting if found.stop.is_none() => {}
            // It is told to stop, and ends at the next sweep.
            RunState::Waiting => return Err(Error::RunEnded(run)),
            state if state.is_terminal() => return Err(Error::RunEnded(run)),
            _ => return Err(Error::RunNotWaiting(run)),
        }
        let content_json = answer::content_json(routing::WEBHOOK, None, None);
        let finish = FinishRun {
            run,
            fence: found.fence,
            state: RunState::Completed,
            reply: Some(Reply { content: text, content_json }),
            failure: None,
            first_delta_at: None,
        };
        let finished = self.inner.store.finish_run(finish).await;
        self.inner.news.notify_one();
        match finished {
            Ok(finished) => {
                self.inner.tell_of(&found);
                self.inner.tell(&found, Topic::Message);
                finished.reply.ok_or(Error::Corrupt("late reply"))
            }
            // Somebody else was faster: by an answer of their own, or by stopping it.
            Err(Error::Fenced) => Err(Error::RunEnded(run)),
            Err(error) => Err(error),
        }
    }

    /// Finishes what is under way: no new runs from now on, those running get `grace`, and
    /// what is left then is handed back, for another server or the next start to go on with.
    pub async fn shutdown(&self, grace: Duration) {
        self.inner.draining.cancel();
        self.inner.tasks.close();
        if tokio::time::timeout(grace, self.inner.at_rest()).await.is_err() {
            self.inner.carried.hand_back_all();
            let stopped = tokio::time::timeout(STOPPING_PATIENCE, self.inner.at_rest());
            if stopped.await.is_err() {
                tracing::warn!("some runs could not be handed back; others take them over");
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
    /// it there. Until its first attempt begins, it is in none: one that is queued may be claimed
    /// here while the store's answer is still on its way, and the claim's log must not be taken
    /// for the wish's.
    async fn begin(self: Arc<Self>, scope: &Scope, wish: Wish) -> Result<Once<Answering>> {
        let run = RunId::new();
        let wished = self.hub.open(run, 0);
        let (app, thread, wished_overlap) = (wish.app, wish.thread, wish.options.overlap);
        let start = StartRun {
            run,
            app,
            thread,
            server: self.server,
            handlers: self.settings.handlers.clone(),
            history: self.settings.history,
            deadline: self.settings.deadline,
            overlap: wish.options.overlap,
            debounce: wish.options.debounce,
            message_seq: wish.options.message_seq,
        };
        let Once { made: (said, started), replayed } =
            wish.put_to(&*self.store, scope, start).await?;
        if said.is_some() && !replayed {
            self.hints.tell(Hint { app, thread, topic: Topic::Message });
        }
        let is_new = started.run().id == run;
        if is_new && may_replace(wished_overlap, &started) {
            // Other runs of the thread ended, or have to stop.
            self.hints.tell(Hint { app, thread, topic: Topic::Thread });
        }
        let watch = match started {
            StartedRun::Started(start) => {
                self.tell_of(&start.run);
                let publisher = self.hub.open(run, start.run.attempt);
                let watch = publisher.watch();
                self.carry(*start, publisher);
                watch
            }
            StartedRun::Standing(standing) => {
                // It may be due, or have another one stop.
                self.news.notify_one();
                if standing.id == run {
                    self.tell_of(&standing);
                    let mirror = wished.leave();
                    mirror.follow(standing.attempt);
                    self.mirrors.add(mirror);
                }
                self.watch(*standing).await?
            }
        };
        Ok(Once { made: (said, watch), replayed })
    }

    /// Waits until nothing is under way, nor about to be: runs that are being claimed are carried
    /// by the time that the claim lets go.
    async fn at_rest(&self) {
        drop(self.taking.lock().await);
        self.tasks.wait().await;
    }

    /// Lets everybody know that a run stands elsewhere than before.
    fn tell_of(&self, run: &Run) {
        self.tell(run, Topic::Run(run.id));
    }

    /// Lets everybody know of a change in a run's thread.
    fn tell(&self, run: &Run, topic: Topic) {
        self.hints.tell(Hint { app: run.app, thread: run.thread, topic });
    }

    /// Does something in the background for as long as the engine is there.
    fn work(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(self.stopping.clone().run_until_cancelled_owned(work));
    }

    /// Carries a run in a task of its own.
    fn carry(self: &Arc<Self>, start: RunStart, publisher: crate::hub::Publisher) {
        let publisher = publisher.recorded(&self.unstored, start.run.app, start.run.thread);
        let reins = self.carried.take(start.run.id);
        let (time, turn) = (start.time_left, Arc::new(Turn::from(start)));
        let carried = turn::drive(Arc::clone(self), turn, time, publisher, reins);
        self.tasks.spawn_on(carried, &self.handle);
    }
}

/// Whether a wish that made a run may have ended others. Where the app's own rule holds and is
/// not known here, it may if there were any.
fn may_replace(wished: Option<Overlap>, started: &StartedRun) -> bool {
    match (wished, started) {
        (Some(overlap), _) => overlap.replaces(),
        (None, StartedRun::Started(start)) => AppConfig::read(&start.app.config).overlap.replaces(),
        (None, StartedRun::Standing(_)) => true,
    }
}
