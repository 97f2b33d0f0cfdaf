//! Apps: what customers talk to. An app owns its agents, subscribers and threads.

mod config;

use std::{fmt, time::Duration};

use async_trait::async_trait;

pub use config::{AppConfig, ConfigViolation, Expected, Greeting, MAX_DEBOUNCE_MS, Mode, Scenario};

use crate::{
    AgentId, AppId, Error, JsonObject, NewAgent, OwnerId, Page, PageRequest, Result, Scope, Secret,
    Timestamp,
};

/// The name of the agent that every app is created with.
pub const MAIN_AGENT: &str = "main";

/// The kind of an app's main agent: its configuration is the app's own.
pub const MAIN_AGENT_KIND: &str = "app";

/// The largest configuration of an app, in bytes of JSON.
pub const MAX_CONFIG_BYTES: usize = 64 * 1024;

/// A product surface that customers talk to: a chatbot, a workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// The app's id; doubles as the partner's "App ID".
    pub id: AppId,
    /// Who owns it.
    pub owner: OwnerId,
    /// Its name, shown to people and agents.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Where the main agent is called in webhook mode, as it was given.
    pub webhook_url: Option<String>,
    /// What webhooks are signed with; a partner authenticates with it as well.
    pub webhook_secret: Option<Secret>,
    /// The secret before, while both are valid.
    pub previous_secret: Option<PreviousSecret>,
    /// Free-form configuration, verbatim; [`AppConfig`] reads the keys that nexo knows.
    pub config: JsonObject,
    /// Which agent answers where nothing else says so.
    pub default_agent: AgentId,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl App {
    /// The secrets a webhook is signed with at `now`: the newer first, then the one before
    /// while it is still valid.
    #[must_use]
    pub fn signing_secrets(&self, now: Timestamp) -> Vec<Secret> {
        let previous = self.previous_secret.iter().filter(|previous| previous.expires_at > now);
        self.webhook_secret
            .iter()
            .cloned()
            .chain(previous.map(|previous| previous.secret.clone()))
            .collect()
    }

    /// Applies changes, as every store does it. `now` is the store's time.
    ///
    /// # Errors
    ///
    /// [`Error::ConfigTooLarge`] if the configuration would be larger than
    /// [`MAX_CONFIG_BYTES`]; nothing is changed then.
    pub fn apply(&mut self, changes: AppChanges, now: Timestamp) -> Result<()> {
        if let Some(change) = changes.config {
            self.config = change.applied_to(&self.config)?;
        }
        if let Some(name) = changes.name {
            self.name = name;
        }
        if let Some(description) = changes.description {
            self.description = description;
        }
        if let Some(url) = changes.webhook_url {
            self.webhook_url = url;
        }
        if let Some(secret) = changes.webhook_secret {
            self.change_secret(secret, now, changes.secret_overlap);
        }
        self.updated_at = now;
        Ok(())
    }

    /// A new secret leaves the old one valid for a while; taking the secret away ends both.
    fn change_secret(&mut self, secret: Option<Secret>, now: Timestamp, overlap: Duration) {
        if secret == self.webhook_secret {
            return;
        }
        let replaced = std::mem::replace(&mut self.webhook_secret, secret);
        self.previous_secret = match replaced {
            Some(old) if self.webhook_secret.is_some() && !overlap.is_zero() => {
                Some(PreviousSecret { secret: old, expires_at: now.plus(overlap) })
            }
            _ => None,
        };
    }
}

/// A secret that was replaced, and until when it is still valid.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviousSecret {
    /// The secret.
    pub secret: Secret,
    /// The end of its validity.
    pub expires_at: Timestamp,
}

/// What a new app is made of.
#[derive(Clone, Debug)]
pub struct NewApp {
    /// Who owns it.
    pub owner: OwnerId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Where the main agent is called.
    pub webhook_url: Option<String>,
    /// What webhooks are signed with.
    pub webhook_secret: Option<Secret>,
    /// Free-form configuration.
    pub config: JsonObject,
}

impl NewApp {
    /// An app with this owner and name, and nothing else set.
    #[must_use]
    pub fn new(owner: OwnerId, name: impl Into<String>) -> Self {
        Self {
            owner,
            name: name.into(),
            description: None,
            webhook_url: None,
            webhook_secret: None,
            config: JsonObject::empty(),
        }
    }
}

/// What to change about an app: `None` leaves it, `Some(None)` clears it.
#[derive(Clone, Debug, Default)]
pub struct AppChanges {
    /// A new name.
    pub name: Option<String>,
    /// A new description.
    pub description: Option<Option<String>>,
    /// A new webhook address.
    pub webhook_url: Option<Option<String>>,
    /// A new secret.
    pub webhook_secret: Option<Option<Secret>>,
    /// For how long a replaced secret stays valid beside the new one.
    pub secret_overlap: Duration,
    /// A change of the configuration.
    pub config: Option<ConfigChange>,
}

/// How an app's configuration changes.
#[derive(Clone, Debug)]
pub enum ConfigChange {
    /// The whole object is replaced.
    Replace(JsonObject),
    /// The object is merged (RFC 7396).
    Merge(JsonObject),
}

impl ConfigChange {
    /// What the configuration becomes. A merge is measured by what comes of it.
    fn applied_to(self, config: &JsonObject) -> Result<JsonObject> {
        let changed = match self {
            Self::Replace(config) => config,
            Self::Merge(patch) => config.merged(&patch),
        };
        if changed.as_str().len() > MAX_CONFIG_BYTES {
            return Err(Error::ConfigTooLarge);
        }
        Ok(changed)
    }
}

/// Where apps are kept.
///
/// Every method is one atomic step, done whole or not at all.
#[async_trait]
pub trait AppStore: fmt::Debug + Send + Sync + 'static {
    /// Creates an app together with its main agent (name [`MAIN_AGENT`], kind
    /// [`MAIN_AGENT_KIND`]), which becomes its default agent.
    async fn create_app(&self, app: NewApp) -> Result<App>;

    /// Sees to it that the app's owner has an app of its name with these agents, and gives it:
    /// of many at once, all get the same. If the owner has several, the oldest is meant.
    ///
    /// What is there is kept as it is, and what is missing is made: the app as by
    /// [`AppStore::create_app`], each agent that the app has none of its name. Agents that are
    /// not listed are kept as well: threads may be in their hands. The default agent of an app
    /// that is made is the first of the list, that of one that is there stays.
    async fn ensure_app(&self, app: NewApp, agents: Vec<NewAgent>) -> Result<App>;

    /// Gets an app.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] if there is none, or it lies outside the scope.
    async fn get_app(&self, scope: &Scope, app: AppId) -> Result<App>;

    /// Lists an owner's apps, oldest first, then by id: an order that changes never disturb.
    /// A page past the end is empty and has the right total.
    async fn list_apps(&self, owner: &OwnerId, page: PageRequest) -> Result<Page<App>>;

    /// Changes an app as [`App::apply`] says, and gives it as it is then. Two changes at once
    /// are applied one after the other, so a merge never loses the other's members.
    ///
    /// The partner keys follow the secret: a new secret becomes a key, the one it replaced
    /// stays one until its overlap ends, and a cleared secret takes both away.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] as for [`AppStore::get_app`], and those of [`App::apply`];
    /// nothing was written then.
    async fn update_app(&self, scope: &Scope, app: AppId, changes: AppChanges) -> Result<App>;

    /// Deletes an app and all that belongs to it.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] as for [`AppStore::get_app`].
    async fn delete_app(&self, scope: &Scope, app: AppId) -> Result<()>;

    /// Seals secrets anew with the key that seals now, up to `limit` apps whose secrets another
    /// one has sealed: so the key of a store can be changed while it is used. Gives how many
    /// apps; fewer than `limit` where there are no more. No app is younger for it.
    ///
    /// A store that seals nothing has nothing to do.
    async fn reseal_secrets(&self, limit: u32) -> Result<u64>;

    /// The ids of the keys that secrets in the store are sealed with, in order, whether or not
    /// this server has them ([`KeyRing`](crate::KeyRing)).
    async fn sealing_keys(&self) -> Result<Vec<String>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> App {
        App {
            id: AppId::new(),
            owner: "owner".parse().unwrap(),
            name: "n".into(),
            description: None,
            webhook_url: None,
            webhook_secret: Some("old".into()),
            previous_secret: None,
            config: JsonObject::empty(),
            default_agent: AgentId::new(),
            created_at: Timestamp::from_micros(0),
            updated_at: Timestamp::from_micros(0),
        }
    }

    fn set(secret: Option<&str>) -> AppChanges {
        AppChanges {
            webhook_secret: Some(secret.map(Secret::from)),
            secret_overlap: Duration::from_secs(60),
            ..AppChanges::default()
        }
    }

    #[test]
    fn a_replaced_secret_signs_beside_the_new_one_until_its_time_is_over() {
        let mut app = app();
        let now = Timestamp::from_micros(1_000_000);

        app.apply(set(Some("new")), now).unwrap();

        assert_eq!(app.signing_secrets(now), [Secret::from("new"), Secret::from("old")]);
        let later = now.plus(Duration::from_secs(60));
        assert_eq!(app.signing_secrets(later), [Secret::from("new")]);
    }

    #[test]
    fn clearing_the_secret_ends_both() {
        let mut app = app();
        let now = Timestamp::from_micros(1_000_000);

        app.apply(set(Some("new")), now).unwrap();
        app.apply(set(None), now).unwrap();

        assert!(app.signing_secrets(now).is_empty());
    }

    #[test]
    fn a_merge_that_grows_too_large_changes_nothing() {
        let mut app = app();
        let now = Timestamp::from_micros(1_000_000);
        let grow = |name: &str| AppChanges {
            name: Some(name.into()),
            config: Some(ConfigChange::Merge(
                JsonObject::empty().with(name, "x".repeat(40 * 1024)),
            )),
            ..AppChanges::default()
        };
        app.apply(grow("a"), now).unwrap();
        let before = app.clone();

        let refused = app.apply(grow("b"), now);

        assert!(matches!(refused, Err(Error::ConfigTooLarge)));
        assert_eq!(app, before);
        app.apply(grow("a"), now).unwrap();
    }

    #[test]
    fn setting_the_same_secret_again_changes_nothing() {
        let mut app = app();
        let now = Timestamp::from_micros(1_000_000);

        app.apply(set(Some("old")), now).unwrap();

        assert_eq!(app.previous_secret, None);
    }
}
