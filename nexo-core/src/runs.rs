//! Runs: attempts to answer a thread. The unit of durability, streaming and inspection.
//!
//! A run is stored before its agent is asked, and finished in one step with the reply. It
//! is `queued → running → completed | failed | cancelled | superseded | expired`, with
//! `waiting` for an agent that answers later. At most one run of a thread is active, that is
//! `running` or `waiting`.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::{
    Agent, AgentId, App, AppId, Failure, JsonObject, Message, MessageId, Result, RunId, Scope,
    ServerId, Thread, ThreadId, Timestamp,
};

/// One attempt to answer a thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The run's id; agents get it as `webhook-id`.
    pub id: RunId,
    /// The app it belongs to.
    pub app: AppId,
    /// The thread it answers.
    pub thread: ThreadId,
    /// The agent that answers.
    pub agent: AgentId,
    /// The message that is answered.
    pub message: MessageId,
    /// That message's number in the thread.
    pub message_seq: i64,
    /// Where it stands.
    pub state: RunState,
    /// How many times it was begun, from 1.
    pub attempt: i32,
    /// Rises with each claim: who holds the highest may finish it.
    pub fence: i64,
    /// The thread's epoch when it started.
    pub epoch: i64,
    /// The server that runs it.
    pub server: Option<ServerId>,
    /// The message that was stored as its reply.
    pub reply: Option<MessageId>,
    /// Why it failed; the detail is not for clients.
    pub failure: Option<Failure>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its first piece of text came.
    pub first_delta_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it has to have ended.
    pub deadline_at: Timestamp,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunState {
    /// It waits for its turn.
    Queued,
    /// Its agent is being asked.
    Running,
    /// Its agent will answer later.
    Waiting,
    /// The reply is stored.
    Completed,
    /// There is no reply, or only part of one.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// The thread changed hands before it could speak.
    Superseded,
    /// Its deadline passed.
    Expired,
}

impl RunState {
    /// Every state there is.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Superseded,
        Self::Expired,
    ];

    /// The state as it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether a thread has at most one run in such a state.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Waiting)
    }

    /// Whether a run never leaves the state.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Waiting)
    }
}

/// A wish to have a thread answered now.
#[derive(Clone, Debug)]
pub struct StartRun {
    /// The id that the new run gets.
    pub run: RunId,
    /// The app.
    pub app: AppId,
    /// The thread to answer.
    pub thread: ThreadId,
    /// The server that will run it.
    pub server: ServerId,
    /// How many of the newest messages the agent is told.
    pub history: u32,
    /// How long it may take.
    pub deadline: Duration,
}

/// What came of a [`StartRun`].
#[derive(Clone, Debug)]
pub enum StartedRun {
    /// The run was made, and is `running`.
    Started(Box<RunStart>),
    /// The thread has an active run already: this one.
    Active(Box<Run>),
}

/// A run that has just been made, with all that its agent has to know.
#[derive(Clone, Debug)]
pub struct RunStart {
    /// The run.
    pub run: Run,
    /// Its app.
    pub app: App,
    /// The agent that answers.
    pub agent: Agent,
    /// The thread.
    pub thread: Thread,
    /// The message that is answered: the newest of role `user`.
    pub message: Message,
    /// The newest messages in rising order of `seq`, the answered one among them if it is that new.
    pub history: Vec<Message>,
}

/// What an agent said, as it will be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The text.
    pub content: String,
    /// Structured data beside it.
    pub content_json: JsonObject,
}

/// How a run ends.
#[derive(Clone, Debug)]
pub struct FinishRun {
    /// Which run.
    pub run: RunId,
    /// The fence under which it was run.
    pub fence: i64,
    /// The state it ends in; a terminal one.
    pub state: RunState,
    /// What is spoken: stored as the assistant's next message.
    pub reply: Option<Reply>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// When its first piece of text came.
    pub first_delta_at: Option<Timestamp>,
}

/// Where runs are kept.
///
/// Every method is one atomic step, done whole or not at all.
#[async_trait]
pub trait RunStore: fmt::Debug + Send + Sync + 'static {
    /// Makes a run for the newest user message of a thread, unless one is active there.
    ///
    /// The new run is `running`, owned by `server`, with attempt 1, fence 1 and the thread's
    /// epoch. Its agent is the thread's holder, or the app's default agent. Of many at once
    /// on one thread, one gets [`StartedRun::Started`] and all others
    /// [`StartedRun::Active`] with that run.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] if there is no such app in the scope,
    /// [`crate::Error::ThreadNotFound`] if the app has no such thread in the scope,
    /// [`crate::Error::ThreadHeld`] if a person holds it,
    /// [`crate::Error::NoUserMessages`] if no user has said anything in it. In this order; an
    /// active run is reported before the last.
    async fn start_run(&self, scope: &Scope, start: StartRun) -> Result<StartedRun>;

    /// Ends a run and speaks its reply, as one step: the run's end, and the assistant's
    /// message with the thread's next `seq`. Gives the stored message, if there was a reply.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Fenced`] if the run is not `running` under this fence any more (it was
    /// finished, taken over, or deleted), or the thread's epoch is not the run's: nothing was
    /// written then.
    async fn finish_run(&self, finish: FinishRun) -> Result<Option<Message>>;

    /// Gets a run.
    ///
    /// # Errors
    ///
    /// [`crate::Error::RunNotFound`] if there is none, or it lies outside the scope.
    async fn get_run(&self, scope: &Scope, run: RunId) -> Result<Run>;

    /// Ends with [`Failure::interrupted`] every run in state `running` that nobody carries any
    /// more. Gives their ids. These are
    ///
    /// - the runs of other servers that have not beaten
    ///   ([`ServerStore::beat`](crate::ServerStore::beat)) within `silence`, and
    /// - the runs of `server` itself that are not among `carried` and were made longer than
    ///   `silence` ago: whoever started them never learned of it, because the store's answer
    ///   was lost or not waited for. They would block their threads for ever.
    async fn interrupt_orphans(
        &self,
        server: ServerId,
        carried: &[RunId],
        silence: Duration,
    ) -> Result<Vec<RunId>>;
}
