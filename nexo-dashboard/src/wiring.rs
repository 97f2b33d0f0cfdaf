//! Puts the parts together: store, engine, API, as the configuration says.

use std::{net::SocketAddr, sync::Arc};

use nexo_core::{
    Nexo, Store, StreamHub,
    accounts::AccountStore,
    dispatch::webhook::{Guard, HeaderNames, Loopback, WebhookDispatcher},
};
use nexo_http::{
    Accounts, Api, Cors, Limits, PartnerHeaders, PasswordSettings, Passwords, Settings, Throttle,
    TokenSecrets, Tokens,
};

use crate::config::Config;

/// Where the API keeps what it has to keep.
pub(crate) struct Stores {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) accounts: Arc<dyn AccountStore>,
    /// What carries word of their changes.
    pub(crate) hub: Arc<dyn StreamHub>,
    /// Whether no other server can be working on them.
    pub(crate) is_exclusive: bool,
}

/// The parts that serve requests.
pub(crate) struct Parts {
    pub(crate) nexo: Nexo,
    pub(crate) api: Api,
    pub(crate) tokens: Tokens,
}

/// Puts the parts together for a server that listens at `own`.
pub(crate) fn parts(
    config: &Config,
    stores: Stores,
    secrets: &TokenSecrets,
    own: Option<SocketAddr>,
) -> Parts {
    let webhooks =
        WebhookDispatcher::new(guard(config, own)).with_header_names(header_names(config));
    let nexo = nexo(config, &stores, webhooks);
    let tokens = Tokens::new(secrets, config.accounts.access_lifetime);
    let accounts = Accounts::new(Arc::clone(&stores.accounts), passwords(config), tokens.clone())
        .with_registration(config.accounts.is_registration_open);
    let throttle = if config.accounts.has_rate_limits {
        Throttle::shared(Limits::default(), stores.accounts)
    } else {
        Throttle::off()
    };
    let api = Api::with_accounts(nexo.clone(), accounts)
        .with_throttle(throttle)
        .with_settings(settings(config));
    Parts { nexo, api, tokens }
}

fn nexo(config: &Config, stores: &Stores, webhooks: WebhookDispatcher) -> Nexo {
    let builder = Nexo::builder()
        .store(Arc::clone(&stores.store))
        .hub(Arc::clone(&stores.hub))
        .webhooks(webhooks)
        .calls_at_once(config.webhooks.calls_at_once);
    if stores.is_exclusive { builder.exclusive().build() } else { builder.build() }
}

/// Hashes passwords at the configured cost.
pub(crate) fn passwords(config: &Config) -> Passwords {
    Passwords::new(PasswordSettings {
        memory_kib: config.accounts.hash_memory_kib,
        passes: config.accounts.hash_passes,
        ..PasswordSettings::default()
    })
}

fn guard(config: &Config, own: Option<SocketAddr>) -> Guard {
    let loopback = if config.is_loopback_allowed() { Loopback::Allowed } else { Loopback::Denied };
    Guard::new()
        .with_loopback(loopback)
        .with_https_only(config.webhooks.https_only)
        .with_ports(config.webhooks.ports.iter().copied())
        .with_allowed(config.webhooks.allow.iter().cloned())
        .with_own_addresses(own)
}

fn header_names(config: &Config) -> HeaderNames {
    let headers = &config.api.headers;
    HeaderNames {
        app_id: headers.app_id.clone(),
        thread_id: headers.thread_id.clone(),
        timestamp: headers.timestamp.clone(),
        signature: headers.signature.clone(),
    }
}

fn settings(config: &Config) -> Settings {
    let (api, headers) = (&config.api, &config.api.headers);
    Settings {
        headers: PartnerHeaders {
            app_id: headers.app_id.clone(),
            app_secret: headers.app_secret.clone(),
        },
        cors: Cors::new(api.cors_origins.iter().cloned()),
        secret_overlap: api.secret_overlap,
        run_wait: api.run_wait,
        post_to_deleted: api.post_to_deleted_threads,
        trust_forwarded_for: config.listen.trust_forwarded_for,
        openapi_path: api.openapi_path.clone().into(),
        ..Settings::default()
    }
}
