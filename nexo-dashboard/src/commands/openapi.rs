//! `openapi`: the document, without a server.

use std::{fs, io::Write, sync::Arc};

use nexo_core::{LocalHub, MemoryStore};
use nexo_http::TokenSecrets;

use super::say;
use crate::{
    config::Config,
    error::{Context, Result},
    wiring::{self, Stores},
};

/// Writes the document.
pub(crate) fn openapi(config: &Config, served: bool, out: &mut impl Write) -> Result<()> {
    let api = api(config);
    let document = if served { api.openapi() } else { api.openapi_for_clients() };
    let text = serde_json::to_string_pretty(&document).context("the document can't be written")?;
    match &config.openapi_output_file {
        Some(path) => {
            let shown = path.display();
            fs::write(path, text + "\n").context(format!("{shown} can't be written"))?;
            say(out, &format!("the OpenAPI document is in {shown}"))
        }
        None => say(out, &text),
    }
}

/// The document depends on the settings only, so this API never answers anybody.
fn api(config: &Config) -> nexo_http::Api {
    let store = Arc::new(MemoryStore::new());
    let hub = Arc::new(LocalHub::default());
    let stores = Stores { store: store.clone(), accounts: store, hub, is_exclusive: false };
    let secrets = TokenSecrets {
        access: "unused".into(),
        reset_password: "unused".into(),
        verification: "unused".into(),
    };
    wiring::parts(config, stores, &secrets, None).api
}
