//! Agents: what can answer a turn.

use std::fmt;

use async_trait::async_trait;

use crate::{AgentId, AppId, JsonObject, Result, Scope, Secret, Timestamp};

/// Something that can answer a turn, in one app.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// The agent's id.
    pub id: AgentId,
    /// The app it answers in.
    pub app: AppId,
    /// Its name, unique in the app.
    pub name: String,
    /// How it is reached: the dispatcher's kind, or [`crate::MAIN_AGENT_KIND`].
    pub kind: String,
    /// What its dispatcher needs to know.
    pub config: JsonObject,
    /// What its requests are signed with.
    pub secret: Option<Secret>,
    /// Which state it may read and write.
    pub grants: JsonObject,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Where agents are kept. An app's main agent comes and goes with the app.
///
/// Every method is one atomic step, done whole or not at all.
#[async_trait]
pub trait AgentStore: fmt::Debug + Send + Sync + 'static {
    /// Gets an agent of an app.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] if there is no such app in the scope,
    /// [`crate::Error::AgentNotFound`] if the app has no such agent.
    async fn get_agent(&self, scope: &Scope, app: AppId, agent: AgentId) -> Result<Agent>;

    /// Lists the agents of an app, oldest first, then by id.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] if there is no such app in the scope.
    async fn list_agents(&self, scope: &Scope, app: AppId) -> Result<Vec<Agent>>;
}
