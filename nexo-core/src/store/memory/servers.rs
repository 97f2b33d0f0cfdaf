//! Servers.

use std::collections::HashSet;

use async_trait::async_trait;

use super::{
    MemoryStore,
    state::{ServerRow, State},
};
use crate::{Handlers, Result, SERVER_FORGOTTEN_AFTER, ServerId, ServerStore, Timestamp};

impl State {
    /// Forgets the servers that have not beaten since `alive` and run nothing.
    fn forget_servers(&mut self, alive: Timestamp) {
        let running = self.standing.iter().filter_map(|run| self.runs.get(run)?.run.server);
        let busy: HashSet<ServerId> = running.collect();
        self.servers.retain(|server, row| row.beat_at >= alive || busy.contains(server));
    }
}

#[async_trait]
impl ServerStore for MemoryStore {
    async fn beat(&self, server: ServerId, handlers: &Handlers) -> Result<()> {
        let handlers = handlers.clone();
        self.step(|state, now| state.servers.insert(server, ServerRow { beat_at: now, handlers }));
        Ok(())
    }

    async fn retire(&self, server: ServerId) -> Result<()> {
        self.step(|state, _| state.servers.remove(&server));
        Ok(())
    }

    async fn pin_setting(&self, name: &str, value: &str) -> Result<String> {
        self.step(|state, _| {
            let setting = state.settings.entry(name.to_owned());
            Ok(setting.or_insert_with(|| value.to_owned()).clone())
        })
    }

    async fn replace_setting(&self, name: &str, from: &str, to: &str) -> Result<bool> {
        self.step(|state, _| {
            let setting = state.settings.get_mut(name).filter(|standing| *standing == from);
            Ok(setting.map(|standing| *standing = to.to_owned()).is_some())
        })
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn prune(&self) -> Result<()> {
        self.step(|state, now| {
            for row in state.apps.values_mut() {
                row.app.previous_secret.take_if(|previous| previous.expires_at <= now);
                row.keys.retain(|key| key.expires_at.is_none_or(|end| end > now));
            }
            state.forget_servers(now.minus(SERVER_FORGOTTEN_AFTER));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::ManualClock;

    #[tokio::test]
    async fn a_server_that_was_silent_for_a_day_is_forgotten() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
        let store = MemoryStore::with_clock(clock.clone());
        let (gone, live) = (ServerId::new(), ServerId::new());
        store.beat(gone, &Handlers::default()).await.unwrap();
        clock.advance(SERVER_FORGOTTEN_AFTER + Duration::from_secs(1));
        store.beat(live, &Handlers::default()).await.unwrap();

        store.prune().await.unwrap();

        let known = store.step(|state, _| state.servers.keys().copied().collect::<Vec<_>>());
        assert_eq!(known, [live]);
    }
}
