//! Apps, their agents and their keys.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;

use super::{
    MemoryStore,
    state::{AppRow, State},
};
use crate::{
    Agent, AgentId, AgentStore, App, AppChanges, AppId, AppKey, AppStore, Error, JsonObject,
    KeyDigest, KeyId, KeyStore, MAIN_AGENT, MAIN_AGENT_KIND, NewAgent, NewApp, OwnerId, Page,
    PageRequest, Result, Scope, Timestamp, WEBHOOK_SECRET_KEY,
};

impl App {
    fn make(new: NewApp, now: Timestamp) -> Self {
        Self {
            id: AppId::new(),
            owner: new.owner,
            name: new.name,
            description: new.description,
            webhook_url: new.webhook_url,
            webhook_secret: new.webhook_secret,
            previous_secret: None,
            config: new.config,
            default_agent: AgentId::new(),
            created_at: now,
            updated_at: now,
        }
    }

    fn main_agent(&self) -> Agent {
        Agent {
            id: self.default_agent,
            app: self.id,
            name: MAIN_AGENT.to_owned(),
            kind: MAIN_AGENT_KIND.to_owned(),
            config: JsonObject::empty(),
            secret: None,
            grants: JsonObject::empty(),
            created_at: self.created_at,
            updated_at: self.created_at,
        }
    }
}

impl AppRow {
    fn new(app: App) -> Self {
        let mut row = Self {
            agents: vec![app.main_agent()],
            keys: Vec::new(),
            customers: HashMap::new(),
            subscribers: BTreeSet::new(),
            threads: BTreeSet::new(),
            requests: HashMap::new(),
            app,
        };
        row.renew_keys(row.app.created_at);
        row
    }

    fn ensure_agent(&mut self, new: NewAgent, now: Timestamp) {
        if self.agents.iter().all(|agent| agent.name != new.name) {
            self.agents.push(new.in_app(self.app.id, now));
        }
    }

    /// Makes the keys follow the secrets: what stays a secret keeps its key.
    fn renew_keys(&mut self, now: Timestamp) {
        let mut old = std::mem::take(&mut self.keys);
        let current = self.app.webhook_secret.iter().map(|secret| (secret, None));
        let previous = self.app.previous_secret.iter();
        let previous = previous.map(|previous| (&previous.secret, Some(previous.expires_at)));
        for (secret, expires_at) in current.chain(previous) {
            let digest = KeyDigest::of(self.app.id, secret.expose());
            let kept = old.iter().position(|key| key.digest == digest);
            let key = kept.map(|at| old.swap_remove(at));
            let key = key.unwrap_or_else(|| new_key(self.app.id, digest, now));
            self.keys.push(AppKey { expires_at, ..key });
        }
    }
}

fn new_key(app: AppId, digest: KeyDigest, now: Timestamp) -> AppKey {
    AppKey {
        id: KeyId::new(),
        app,
        name: WEBHOOK_SECRET_KEY.to_owned(),
        digest,
        created_at: now,
        expires_at: None,
    }
}

impl State {
    fn insert_app(&mut self, app: App) {
        let key = (app.created_at, app.id);
        self.apps_by_owner.entry(app.owner.clone()).or_default().insert(key);
        self.apps.insert(app.id, AppRow::new(app));
    }

    fn ensure_app(&mut self, new: NewApp, agents: Vec<NewAgent>, now: Timestamp) -> App {
        let found = self.find_app(&new.owner, &new.name);
        let id = found.unwrap_or_else(|| {
            let app = App::make(new, now);
            let id = app.id;
            self.insert_app(app);
            id
        });
        let first = agents.first().map(|agent| agent.name.clone());
        let row = self.owning_app(id);
        agents.into_iter().for_each(|agent| row.ensure_agent(agent, now));
        let first = row.agents.iter().find(|agent| Some(&agent.name) == first.as_ref());
        if let Some(first) = first.filter(|_| found.is_none()) {
            row.app.default_agent = first.id;
        }
        row.app.clone()
    }

    /// The oldest app of this name that the owner has.
    fn find_app(&self, owner: &OwnerId, name: &str) -> Option<AppId> {
        let mut owned = self.apps_by_owner.get(owner)?.iter().map(|(_, app)| *app);
        owned.find(|app| self.apps.get(app).is_some_and(|row| row.app.name == name))
    }

    fn remove_app(&mut self, app: AppId) {
        let threads: Vec<_> = self.owning_app(app).threads.iter().map(|(_, id)| *id).collect();
        for thread in threads {
            self.remove_thread(thread);
        }
        let Some(AppRow { app, .. }) = self.apps.remove(&app) else { return };
        if let Some(owned) = self.apps_by_owner.get_mut(&app.owner) {
            owned.remove(&(app.created_at, app.id));
            if owned.is_empty() {
                self.apps_by_owner.remove(&app.owner);
            }
        }
    }

    pub(super) fn remove_apps_of(&mut self, owner: &OwnerId) {
        let owned = self.apps_by_owner.get(owner).cloned().unwrap_or_default();
        for (_, app) in owned {
            self.remove_app(app);
        }
    }

    fn page_of_apps(&self, owner: &OwnerId, page: PageRequest) -> Page<App> {
        let Some(owned) = self.apps_by_owner.get(owner) else {
            return Page { items: Vec::new(), total: 0 };
        };
        let skipped = usize::try_from(page.skipped()).unwrap_or(usize::MAX);
        let size = usize::try_from(page.size).unwrap_or(usize::MAX);
        let rows = owned.iter().skip(skipped).take(size);
        let items = rows.filter_map(|(_, id)| self.apps.get(id)).map(|row| row.app.clone());
        Page { items: items.collect(), total: owned.len() as u64 }
    }
}

#[async_trait]
impl AppStore for MemoryStore {
    async fn create_app(&self, app: NewApp) -> Result<App> {
        self.step(|state, now| {
            let app = App::make(app, now);
            state.insert_app(app.clone());
            Ok(app)
        })
    }

    async fn ensure_app(&self, app: NewApp, agents: Vec<NewAgent>) -> Result<App> {
        self.step(|state, now| Ok(state.ensure_app(app, agents, now)))
    }

    async fn get_app(&self, scope: &Scope, app: AppId) -> Result<App> {
        self.step(|state, _| Ok(state.app(scope, app)?.app.clone()))
    }

    async fn list_apps(&self, owner: &OwnerId, page: PageRequest) -> Result<Page<App>> {
        self.step(|state, _| Ok(state.page_of_apps(owner, page)))
    }

    async fn update_app(&self, scope: &Scope, app: AppId, changes: AppChanges) -> Result<App> {
        self.step(|state, now| {
            let row = state.app_mut(scope, app)?;
            row.app.apply(changes, now)?;
            row.renew_keys(now);
            Ok(row.app.clone())
        })
    }

    async fn delete_app(&self, scope: &Scope, app: AppId) -> Result<()> {
        self.step(|state, _| {
            state.app(scope, app)?;
            state.remove_app(app);
            Ok(())
        })
    }

    async fn reseal_secrets(&self, _: u32) -> Result<u64> {
        Ok(0)
    }

    async fn sealing_keys(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl AgentStore for MemoryStore {
    async fn get_agent(&self, scope: &Scope, app: AppId, agent: AgentId) -> Result<Agent> {
        self.step(|state, _| state.app(scope, app)?.agent(agent).cloned())
    }

    async fn list_agents(&self, scope: &Scope, app: AppId) -> Result<Vec<Agent>> {
        self.step(|state, _| Ok(state.app(scope, app)?.agents.clone()))
    }
}

impl AppRow {
    pub(super) fn agent(&self, agent: AgentId) -> Result<&Agent> {
        self.agents.iter().find(|row| row.id == agent).ok_or(Error::AgentNotFound)
    }
}

#[async_trait]
impl KeyStore for MemoryStore {
    async fn valid_keys(&self, app: AppId) -> Result<Vec<AppKey>> {
        self.step(|state, now| {
            let keys = state.apps.get(&app).map(|row| row.keys.clone()).unwrap_or_default();
            let valid = |key: &AppKey| key.expires_at.is_none_or(|end| end > now);
            Ok(keys.into_iter().filter(valid).collect())
        })
    }
}
