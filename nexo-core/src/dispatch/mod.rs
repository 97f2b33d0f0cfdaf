//! Dispatchers: how an agent is reached.
//!
//! A dispatcher is handed a [`Turn`] and gives back what the agent answers, as a stream. An
//! answer that comes at once and one that comes piece by piece are the same thing to the
//! engine. A dispatcher never retries: it says what went wrong, and the engine decides.

mod events;
mod in_process;
mod pieces;
mod sample;
mod simulator;
#[cfg(feature = "webhook")]
pub mod webhook;

use std::{fmt, pin::pin, sync::Arc};

use futures::{
    future::{Either, select},
    stream::BoxStream,
};
use tokio_util::sync::CancellationToken;

pub use events::{Events, stream};
pub use in_process::{Answer, Handler, IN_PROCESS, InProcess, LiveTurn};
pub use simulator::Simulator;

use crate::{
    Agent, App, AppConfig, Delivery, Failure, FailureKind, JsonObject, MAIN_AGENT_KIND, Message,
    ReplayId, Run, RunStart, Secret, Thread, Timestamp,
};

/// The most text of one reply, in bytes, whichever way it comes. A dispatcher that is told more
/// fails with [`FailureKind::WebhookTooLarge`].
pub const MAX_REPLY_BYTES: usize = 256 * 1024;

/// What an agent is asked: to answer a message of a thread, knowing what was said before.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The run that the turn belongs to.
    pub run: Run,
    /// The app.
    pub app: App,
    /// The app's configuration, as far as nexo interprets it.
    pub config: AppConfig,
    /// The agent that is asked.
    pub agent: Agent,
    /// The thread.
    pub thread: Thread,
    /// The message to answer.
    pub message: Message,
    /// The newest messages in rising order of `seq`, the one to answer among them if it is that
    /// new; none in a sample.
    pub history: Vec<Message>,
    /// What it is asked for.
    pub purpose: Purpose,
    /// Whether anybody still wants the answer.
    pub interest: Interest,
}

/// Whether anybody still wants an answer. Clones are about the same answer.
#[derive(Clone, Debug, Default)]
pub struct Interest(CancellationToken);

impl Interest {
    /// Waits until nobody wants the answer any more: somebody stopped the run, or its time is
    /// over. The stream of the answer is dropped a moment later. A dispatcher that hears of it
    /// here can say before what it has sent ([`AgentEvent::Delivery`]).
    pub async fn lost(&self) {
        self.0.cancelled().await;
    }

    /// Nobody wants the answer any more.
    pub fn lose(&self) {
        self.0.cancel();
    }

    /// Does something for as long as the answer is wanted; it fails where that ends first. The
    /// caller pins it where it is: if it were handed over, it would take its room twice.
    async fn while_wanted<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Unpin,
    ) -> Result<T, Failure> {
        match select(pin!(self.lost()), work).await {
            Either::Left(_) => {
                let why = "the rest of the answer was not wanted any more";
                Err(Failure::new(FailureKind::RunCancelled, why))
            }
            Either::Right((outcome, _)) => outcome,
        }
    }
}

/// What an agent is asked for.
#[derive(Clone, Debug, Default)]
pub enum Purpose {
    /// To have the thread answered.
    #[default]
    Answer,
    /// To see what it says, which nobody else will: the turn is that of a run from before.
    Replay(ReplayId),
    /// To see what it says to the bytes of this delivery, which are sent again as they are.
    Resend(Arc<Delivery>),
}

impl Turn {
    /// What was said in the message to answer; empty if it has no text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.message.content.as_deref().unwrap_or_default()
    }

    /// The replay that the turn belongs to, if it is one of a replay.
    #[must_use]
    pub fn replay(&self) -> Option<ReplayId> {
        match &self.purpose {
            Purpose::Answer => None,
            Purpose::Replay(replay) => Some(*replay),
            Purpose::Resend(delivery) => delivery.replay,
        }
    }

    /// The address at which the agent is called over HTTP, if it has one that is not empty.
    ///
    /// The main agent's is the app's own, others have theirs as `url` in their configuration.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let url = if self.is_main_agent() {
            self.app.webhook_url.clone()
        } else {
            self.agent.config.get("url").and_then(|url| url.as_str().map(str::to_owned))
        };
        url.filter(|url| !url.trim().is_empty())
    }

    /// The secrets that requests to the agent are signed with, the newest first.
    #[must_use]
    pub fn signing_secrets(&self, now: Timestamp) -> Vec<Secret> {
        if self.is_main_agent() {
            self.app.signing_secrets(now)
        } else {
            self.agent.secret.iter().cloned().collect()
        }
    }

    fn is_main_agent(&self) -> bool {
        self.agent.kind == MAIN_AGENT_KIND
    }
}

impl From<RunStart> for Turn {
    fn from(start: RunStart) -> Self {
        Self {
            config: AppConfig::read(&start.app.config),
            run: start.run,
            app: start.app,
            agent: start.agent,
            thread: start.thread,
            message: start.message,
            history: start.history,
            purpose: Purpose::Answer,
            interest: Interest::default(),
        }
    }
}

/// Something that comes from an agent while it answers.
#[derive(Clone, Debug)]
pub enum AgentEvent {
    /// The agent took the turn; its answer is on the way.
    Accepted,
    /// The next piece of the reply's text; the reply is all of them together.
    Delta(String),
    /// The whole reply at once; no delta comes before or after.
    Reply {
        /// The text.
        text: String,
        /// What the agent says about it. It is not stored with the message; what was sent and
        /// received has it, where there is such a record.
        metadata: Option<JsonObject>,
    },
    /// The answer broke off without saying that it was complete. The last event but the delivery.
    Truncated,
    /// The agent will answer later. The last event but the delivery.
    Pending,
    /// What was sent and received, for the record. Exactly once if something was sent, as the
    /// last event before the end or the error.
    Delivery(Box<Delivery>),
}

/// What an agent answers to one turn, in the order it came. Dropping it cancels the request.
pub type AgentStream = BoxStream<'static, Result<AgentEvent, Failure>>;

/// Reaches agents of one kind.
///
/// `nexo_core::dispatcher_conformance!` (feature `conformance`) proves that one keeps what is
/// promised here and at [`AgentEvent`].
pub trait Dispatcher: fmt::Debug + Send + Sync + 'static {
    /// Hands one turn to an agent. Nothing is done before the stream is first polled; every
    /// failure comes through the stream, as its last item, and says whether it may help to ask
    /// again ([`Failure::is_passing`]). What the agent said before is told before.
    fn dispatch(&self, turn: Arc<Turn>) -> AgentStream;
}
