//! Routing: which dispatcher reaches the agent of a turn.

use crate::{MAIN_AGENT_KIND, Mode, Turn};

/// The kind of the simulator.
pub(crate) const SIMULATOR: &str = "simulator";
/// The kind of agents that are called over HTTP.
pub(crate) const WEBHOOK: &str = "webhook";

/// How a turn's agent is reached.
pub(crate) struct Route {
    /// The dispatcher's kind, which is also what watchers and the stored reply are told.
    pub(crate) kind: String,
    /// Why it is not the one that was configured.
    pub(crate) reason: Option<&'static str>,
}

/// Finds the route. The main agent's follows from the app's configuration; where that says
/// `webhook` without an address, the simulator stands in and says so.
pub(crate) fn route(turn: &Turn) -> Route {
    if turn.agent.kind != MAIN_AGENT_KIND {
        return Route { kind: turn.agent.kind.clone(), reason: None };
    }
    let (kind, reason) = match (turn.config.mode, turn.url()) {
        (Mode::Webhook, Some(_)) => (WEBHOOK, None),
        (Mode::Webhook, None) => (SIMULATOR, Some("webhook_not_configured")),
        (Mode::Simulator, _) => (SIMULATOR, None),
    };
    Route { kind: kind.to_owned(), reason }
}
