//! Agents that are Rust code in this process.
//!
//! The code of such an agent is a [`Handler`], registered under a name
//! ([`NexoBuilder::agent`](crate::NexoBuilder::agent)). An app's agent of the kind
//! [`IN_PROCESS`] names it in its configuration, as `handler`.
//!
//! It is held to what holds for agents elsewhere: its reply has at most
//! [`MAX_REPLY_BYTES`], long deltas are passed on in pieces of at most 1 KiB, and what it says
//! waits to be taken. If it panics it has failed. It is dropped, wherever it stands, as soon as
//! nobody wants its answer any more. Nothing is sent, so there are no deliveries.

mod handler;
mod hearing;
mod turn;

use std::{collections::BTreeMap, fmt, sync::Arc};

pub use handler::{Answer, Handler};
pub use turn::LiveTurn;

use handler::AnyHandler;

use super::{AgentStream, Dispatcher, MAX_REPLY_BYTES, Turn, events, pieces::pieces};
use crate::{Failure, FailureKind};

/// The kind of agents that are code in this process.
pub const IN_PROCESS: &str = "in_process";

/// Asks the handlers of this process.
#[derive(Clone, Default)]
pub struct InProcess {
    handlers: BTreeMap<String, Arc<dyn AnyHandler>>,
}

impl InProcess {
    /// The same with one more handler, in the place of any that had its name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, handler: impl Handler) -> Self {
        self.handlers.insert(name.into(), Arc::new(handler));
        self
    }

    /// The names of the handlers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.handlers.keys().map(String::as_str)
    }

    /// The handler that an agent names.
    fn handler(&self, turn: &Turn) -> Result<Arc<dyn AnyHandler>, Failure> {
        let unavailable = |why| Failure::new(FailureKind::AgentUnavailable, why);
        let name = turn.agent.handler();
        let name = name.ok_or_else(|| unavailable("the agent names no handler".to_owned()))?;
        let found = self.handlers.get(&name).cloned();
        found.ok_or_else(|| unavailable(format!("there is no handler `{name}` here")))
    }
}

impl Dispatcher for InProcess {
    fn dispatch(&self, turn: Arc<Turn>) -> AgentStream {
        let handler = self.handler(&turn);
        events::stream(move |events| hearing::run(handler, turn, events))
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InProcess").field(&self.handlers.keys()).finish()
    }
}
