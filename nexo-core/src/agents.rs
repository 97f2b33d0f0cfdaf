//! Agents: what can answer a turn.

use std::fmt;

use async_trait::async_trait;

use crate::{AgentId, AppId, JsonObject, Result, Scope, Secret, Timestamp, dispatch::IN_PROCESS};

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

impl Agent {
    /// The handler that answers for it ([`Handler`](crate::Handler)), if it is of the kind
    /// [`IN_PROCESS`] and its configuration names one, as `handler`.
    #[must_use]
    pub fn handler(&self) -> Option<String> {
        handler(&self.kind, &self.config)
    }
}

fn handler(kind: &str, config: &JsonObject) -> Option<String> {
    let named = (kind == IN_PROCESS).then(|| config.get("handler")).flatten()?;
    named.as_str().map(str::to_owned)
}

/// What a new agent is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAgent {
    /// Its name, unique in the app.
    pub name: String,
    /// How it is reached: the dispatcher's kind.
    pub kind: String,
    /// What its dispatcher needs to know.
    pub config: JsonObject,
}

impl NewAgent {
    /// An agent that the handler of the same name answers for.
    ///
    /// ```
    /// # use nexo_core::NewAgent;
    /// let agent = NewAgent::in_process("concierge");
    /// assert_eq!(agent.kind, "in_process");
    /// assert_eq!(agent.config.as_str(), r#"{"handler":"concierge"}"#);
    /// ```
    #[must_use]
    pub fn in_process(handler: impl Into<String>) -> Self {
        let name = handler.into();
        let config = JsonObject::empty().with("handler", name.as_str());
        Self { name, kind: IN_PROCESS.to_owned(), config }
    }

    /// The handler that answers for it; see [`Agent::handler`].
    #[must_use]
    pub fn handler(&self) -> Option<String> {
        handler(&self.kind, &self.config)
    }

    /// The agent as it is in an app from now on.
    #[must_use]
    pub fn in_app(self, app: AppId, now: Timestamp) -> Agent {
        Agent {
            id: AgentId::new(),
            app,
            name: self.name,
            kind: self.kind,
            config: self.config,
            secret: None,
            grants: JsonObject::empty(),
            created_at: now,
            updated_at: now,
        }
    }
}

impl From<&str> for NewAgent {
    fn from(handler: &str) -> Self {
        Self::in_process(handler)
    }
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
