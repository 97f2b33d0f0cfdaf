//! Servers.

use async_trait::async_trait;

use super::MemoryStore;
use crate::{Result, ServerId, ServerStore};

#[async_trait]
impl ServerStore for MemoryStore {
    async fn beat(&self, server: ServerId) -> Result<()> {
        self.step(|state, now| state.beats.insert(server, now));
        Ok(())
    }

    async fn retire(&self, server: ServerId) -> Result<()> {
        self.step(|state, _| state.beats.remove(&server));
        Ok(())
    }

    async fn pin_setting(&self, name: &str, value: &str) -> Result<String> {
        self.step(|state, _| {
            let setting = state.settings.entry(name.to_owned());
            Ok(setting.or_insert_with(|| value.to_owned()).clone())
        })
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}
