//! Runs: attempts to answer a thread. The unit of durability, streaming and inspection.
//!
//! A run is stored before its agent is asked, and finished in one step with the reply. It
//! is `queued → running → completed | failed | cancelled | superseded | expired`, with
//! `waiting` for an agent that answers later. At most one run of a thread is active, that is
//! `running` or `waiting`; any number may be queued behind it. The run of a server that died
//! is queued again, and claimed by another.

mod plan;
mod store;

use std::time::Duration;

pub use plan::{Overlap, Plan, Step};
pub use store::RunStore;

use serde::{Deserialize, Serialize};

use crate::{
    Agent, AgentId, App, AppId, Error, Failure, FailureKind, Handlers, JsonObject, Message,
    MessageId, Result, RunId, ServerId, Thread, ThreadId, Timestamp,
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
    /// The handler that the agent needs on the run's server, if it needs one.
    pub handler: Option<String>,
    /// The message that is answered.
    pub message: MessageId,
    /// That message's number in the thread.
    pub message_seq: i64,
    /// Where it stands.
    pub state: RunState,
    /// How many times it was begun; 0 for one that never was.
    pub attempt: i32,
    /// How many of the attempts ended because a server shut down in good order.
    pub handbacks: i32,
    /// Rises with each claim: who holds the highest may finish it.
    pub fence: i64,
    /// The thread's epoch when it started.
    pub epoch: i64,
    /// The server that runs it.
    pub server: Option<ServerId>,
    /// How it has to end, if somebody wants it to stop.
    pub stop: Option<Stop>,
    /// The message that was stored as its reply.
    pub reply: Option<MessageId>,
    /// Why it failed; the detail is not for clients.
    pub failure: Option<Failure>,
    /// When a queued run may begin; `None` while it is behind another.
    pub available_at: Option<Timestamp>,
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

/// Why a run that is under way has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// Somebody does not want the answer any more: what was said so far is kept.
    Cancel,
    /// Another run answers in its place: what was said so far is not spoken.
    Supersede,
}

impl Stop {
    /// Both reasons.
    pub const ALL: [Self; 2] = [Self::Cancel, Self::Supersede];

    /// The reason as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Supersede => "supersede",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stop| stop.as_str() == name)
    }

    /// The state that a stopped run ends in.
    #[must_use]
    pub const fn state(self) -> RunState {
        match self {
            Self::Cancel => RunState::Cancelled,
            Self::Supersede => RunState::Superseded,
        }
    }

    /// What its watchers are told, if nothing of it is kept.
    #[must_use]
    pub fn failure(self) -> Failure {
        match self {
            Self::Cancel => Failure::new(FailureKind::RunCancelled, "somebody stopped the run"),
            Self::Supersede => {
                Failure::new(FailureKind::RunSuperseded, "another run answers in its place")
            }
        }
    }
}

impl Run {
    /// The run, if it is the app's.
    ///
    /// # Errors
    ///
    /// [`Error::RunNotFound`] if it is another one's.
    pub fn of(self, app: AppId) -> Result<Self> {
        if self.app == app { Ok(self) } else { Err(Error::RunNotFound) }
    }

    /// Whether a queued run may begin now, unless its thread is busy.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.state == RunState::Queued && self.available_at.is_some_and(|at| at <= now)
    }

    /// The run as it ends without a reply.
    #[must_use]
    pub fn ended(self, state: RunState, failure: Failure, now: Timestamp) -> Self {
        let finished_at = Some(now.max(self.created_at));
        Self { state, failure: Some(failure), finished_at, available_at: None, ..self }
    }

    /// The run as it ends because it was stopped before its agent said anything.
    #[must_use]
    pub fn stopped(self, stop: Stop, now: Timestamp) -> Self {
        self.ended(stop.state(), stop.failure(), now)
    }

    /// The run as it ends because what its agent has to know can't be read.
    #[must_use]
    pub fn unreadable(self, error: &Error, now: Timestamp) -> Self {
        let failure = Failure::new(FailureKind::Internal, error.to_string());
        self.ended(RunState::Failed, failure, now)
    }

    /// The run as it waits for another server to go on with it.
    #[must_use]
    pub fn requeued(self, now: Timestamp) -> Self {
        Self { state: RunState::Queued, server: None, available_at: Some(now), ..self }
    }

    /// The run as a sweep leaves it, where nobody carries it: ended if it was to stop or its
    /// time is over, else queued again. `None` if nothing has to be done about it.
    #[must_use]
    pub fn swept(&self, now: Timestamp) -> Option<Self> {
        let run = self.clone();
        match (self.stop, self.state) {
            (_, state) if state.is_terminal() => None,
            (Some(stop), _) => Some(run.stopped(stop, now)),
            _ if self.is_expired(now) => {
                let failure = Failure::new(FailureKind::RunExpired, "nobody answered in time");
                Some(run.ended(RunState::Expired, failure, now))
            }
            (None, RunState::Running) => Some(run.requeued(now)),
            (None, _) => None,
        }
    }

    /// The run as `server` begins it: one more attempt, under a fence that nobody has yet.
    ///
    /// A run that never began gets its time from now on, and is answered by whoever holds the
    /// thread now, which is `holder`. Where that needs a handler which the server does not have,
    /// the run stays queued, for a server that has it.
    #[must_use]
    pub fn claimed(
        self,
        claim: &ClaimRuns,
        thread: &Thread,
        holder: Answerer,
        now: Timestamp,
    ) -> Self {
        let is_new = self.attempt == 0;
        let run = if is_new { self.answered_by(holder) } else { self };
        if !claim.handlers.have(run.handler.as_deref()) {
            return run;
        }
        let begun = Self {
            state: RunState::Running,
            attempt: run.attempt + 1,
            fence: run.fence + 1,
            server: Some(claim.server),
            available_at: None,
            ..run
        };
        if !is_new {
            return begun;
        }
        Self { epoch: thread.epoch, deadline_at: now.plus(claim.deadline), ..begun }
    }

    fn answered_by(self, Answerer { agent, handler }: Answerer) -> Self {
        Self { agent, handler, ..self }
    }

    /// The run as it ends because no server has what its agent needs.
    #[must_use]
    pub fn unhandled(self, now: Timestamp) -> Self {
        let handler = self.handler.as_deref().unwrap_or_default();
        let why = format!("no server has the handler `{handler}`");
        let failure = Failure::new(FailureKind::AgentUnavailable, why);
        self.ended(RunState::Failed, failure, now)
    }

    /// Why a queued run does not begin at all: somebody had it stop, or the thread changed hands
    /// since it began, or is in a person's by now.
    #[must_use]
    pub fn withdrawn(&self, thread: &Thread) -> Option<Stop> {
        let moved = self.attempt > 0 && self.epoch != thread.epoch;
        let overtaken = thread.is_held_by_a_person() || moved;
        self.stop.or(overtaken.then_some(Stop::Supersede))
    }

    /// Whether the run has no time left. One that never began has all of it: what it waits for
    /// has an end of its own.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        let began = self.attempt > 0;
        began && self.deadline_at <= now
    }

    /// How much time a run that has begun has before it expires.
    #[must_use]
    pub fn time_left(&self, now: Timestamp) -> Duration {
        self.deadline_at.since(now)
    }
}

/// Who answers a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answerer {
    /// The agent.
    pub agent: AgentId,
    /// The handler that it needs on the run's server, if it needs one ([`Agent::handler`]).
    pub handler: Option<String>,
}

impl From<&Agent> for Answerer {
    fn from(agent: &Agent) -> Self {
        Self { agent: agent.id, handler: agent.handler() }
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
    /// The server that will run it, if it has what the agent needs.
    pub server: ServerId,
    /// The handlers that the server has.
    pub handlers: Handlers,
    /// How many of the newest messages the agent is told.
    pub history: u32,
    /// How long it may take.
    pub deadline: Duration,
    /// What to do if the thread is busy; the app's own rule if nothing is said.
    pub overlap: Option<Overlap>,
    /// For how long to wait for a burst of messages to end; the app's own rule if nothing is said.
    pub debounce: Option<Duration>,
    /// The `seq` of the message that is meant, if it must not be another one.
    pub message_seq: Option<i64>,
}

impl StartRun {
    /// The run that the wish makes, as one that has not begun: for this message, which is the
    /// newest of a user.
    #[must_use]
    pub fn queued(
        &self,
        thread: &Thread,
        holder: Answerer,
        asked: (MessageId, i64),
        now: Timestamp,
    ) -> Run {
        let (message, message_seq) = asked;
        let Answerer { agent, handler } = holder;
        Run {
            id: self.run,
            app: self.app,
            thread: self.thread,
            agent,
            handler,
            message,
            message_seq,
            state: RunState::Queued,
            attempt: 0,
            handbacks: 0,
            fence: 0,
            epoch: thread.epoch,
            server: None,
            stop: None,
            reply: None,
            failure: None,
            available_at: None,
            created_at: now,
            first_delta_at: None,
            finished_at: None,
            deadline_at: now.plus(self.deadline),
        }
    }

    /// The claim by which the server begins the run at once.
    #[must_use]
    pub fn claim(&self) -> ClaimRuns {
        ClaimRuns {
            server: self.server,
            handlers: self.handlers.clone(),
            limit: 1,
            history: self.history,
            deadline: self.deadline,
        }
    }
}

/// What came of a [`StartRun`].
#[derive(Clone, Debug)]
pub enum StartedRun {
    /// The run was made, and is `running`.
    Started(Box<RunStart>),
    /// There is a run that answers the message, or will: this one, made now or before.
    Standing(Box<Run>),
}

impl StartedRun {
    /// The run that answers.
    #[must_use]
    pub const fn run(&self) -> &Run {
        match self {
            Self::Started(start) => &start.run,
            Self::Standing(run) => run,
        }
    }
}

/// A server's wish for runs to carry.
#[derive(Clone, Debug)]
pub struct ClaimRuns {
    /// The server that will run them.
    pub server: ServerId,
    /// The handlers that it has: it is given no run that needs another.
    pub handlers: Handlers,
    /// At most so many.
    pub limit: u32,
    /// How many of the newest messages the agents are told.
    pub history: u32,
    /// How long one may take that never began before.
    pub deadline: Duration,
}

/// What a sweep goes by.
#[derive(Clone, Debug)]
pub struct SweepRuns {
    /// The server that sweeps.
    pub server: ServerId,
    /// The runs that it carries.
    pub carried: Vec<RunId>,
    /// After how long without a sign of life a server counts as gone.
    pub silence: Duration,
    /// How long a run that is due may wait for a server that has its handler.
    pub handler_patience: Duration,
}

impl SweepRuns {
    /// After how long without a sign of life a server counts as one that has no handlers any
    /// more: one that starts anew gets some time to come back.
    #[must_use]
    pub fn handler_silence(&self) -> Duration {
        self.silence.max(self.handler_patience)
    }
}

/// What a sweep changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweptRuns {
    /// The runs that can be claimed now.
    pub queued: Vec<RunId>,
    /// The runs that ended.
    pub ended: Vec<RunId>,
}

/// Which runs of an app to list; every set field narrows.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only those of this thread.
    pub thread: Option<ThreadId>,
    /// Only those in one of these states; an empty list finds nothing.
    pub states: Option<Vec<RunState>>,
}

impl RunFilter {
    /// Whether a run passes.
    #[must_use]
    pub fn takes(&self, run: &Run) -> bool {
        self.thread.is_none_or(|thread| run.thread == thread)
            && self.states.as_ref().is_none_or(|states| states.contains(&run.state))
    }
}

/// The sort key of a list of runs: the newest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPosition {
    /// Which it is; ids rise with time.
    pub id: RunId,
}

impl From<&Run> for RunPosition {
    fn from(run: &Run) -> Self {
        Self { id: run.id }
    }
}

/// A run that has just begun, with all that its agent has to know.
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
    /// The message that is answered.
    pub message: Message,
    /// The newest messages in rising order of `seq`, the answered one among them if it is that new.
    pub history: Vec<Message>,
    /// How much of its time is left, by the store's clock ([`Run::time_left`]).
    pub time_left: Duration,
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

/// What came of a [`FinishRun`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FinishedRun {
    /// The stored reply, if there was one.
    pub reply: Option<Message>,
    /// Whether a run that was behind this one can be claimed now.
    pub released: bool,
}
