//! Handoffs: an agent asks that somebody else goes on.

use serde::Serialize;

use crate::JsonObject;

/// An agent's wish that another agent or a human holds the thread after its reply.
///
/// **Servers do not act on it yet.** They take the reply's text and ignore the member
/// `handoff`, as they do with every member that they do not know, so that the same agent goes
/// on. Say in the text what the customer should know, and bring the human in by other means.
/// Agents that write handoffs today need no change when servers follow them. Only a reply in
/// one piece has a place for it, a stream has none.
///
/// ```
/// # use nexo_core::{JsonObject, agent::{Handoff, Reply}};
/// let order = JsonObject::empty().with("order", 1042);
/// let handoff = Handoff::to_agent("billing").with_reason("a refund").with_context(order);
///
/// let reply = Reply::new("I pass you on to billing.").with_handoff(handoff.returning());
///
/// assert_eq!(
///     reply.to_json(),
///     r#"{"reply":"I pass you on to billing.","handoff":{"to":"billing","reason":"a refund","context":{"order":1042},"return":true}}"#
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Handoff {
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<JsonObject>,
    #[serde(rename = "return")]
    returns: bool,
}

impl Handoff {
    /// To the agent of this name in the same app.
    #[must_use]
    pub fn to_agent(name: impl Into<String>) -> Self {
        Self { to: name.into(), reason: None, context: None, returns: false }
    }

    /// To a person.
    #[must_use]
    pub fn to_human() -> Self {
        Self::to_agent("human")
    }

    /// To the app's default agent.
    #[must_use]
    pub fn to_default() -> Self {
        Self::to_agent("default")
    }

    /// Why, for people.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// What the one who goes on should know.
    #[must_use]
    pub fn with_context(mut self, context: JsonObject) -> Self {
        self.context = Some(context);
        self
    }

    /// The thread shall come back to this agent afterwards.
    #[must_use]
    pub fn returning(mut self) -> Self {
        self.returns = true;
        self
    }
}
