//! The server's life: start, serve, end in good order.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use nexo_core::{KeyRing, Store, accounts::AccountStore};
use nexo_http::Api;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    backend::{Backend, ServerLock},
    config::Config,
    error::{Context, Result},
    mail::{Carrier, Postman},
    ops::Ops,
    secrets::{self, Secrets},
    server::{self, Connections},
    signals, telemetry, ui, welcome,
    wiring::{self, Parts, Stores},
};

/// How long answers and background work may still take when no run is left.
const LINGER: Duration = Duration::from_secs(5);
const METRICS_UPKEEP_EVERY: Duration = Duration::from_secs(5);
const ORDER_EVERY: Duration = Duration::from_secs(5 * 60);

/// Runs the server until it is told to stop.
pub(crate) async fn run(config: &Config) -> Result<()> {
    config.check_production()?;
    for warning in config.warnings() {
        warn!("{warning}");
    }
    secrets::prepare_directory(&config.data_dir)?;
    let stop = signals::stop_on_signal();
    let listener = server::bind(&config.listen).await?;
    let own = listener.local_addr().context("the listening port is not known")?;
    let _lock = ServerLock::take(config)?;
    let secrets = Secrets::load(config)?;
    let backend = Backend::prepare(config, &secrets).await?;
    info!("the tables are up to date");
    let server = Server::new(config, backend, &secrets, own)?;
    server.run(listener, own, stop).await
}

struct Server<'a> {
    config: &'a Config,
    backend: Backend,
    parts: Parts,
    keys: KeyRing,
    postman: Postman,
    metrics: PrometheusHandle,
}

impl<'a> Server<'a> {
    fn new(
        config: &'a Config,
        backend: Backend,
        secrets: &Secrets,
        own: SocketAddr,
    ) -> Result<Self> {
        let stores = Stores {
            store: Arc::clone(&backend.store),
            accounts: Arc::clone(&backend.accounts),
            hub: backend.hub(config),
            is_exclusive: backend.is_exclusive(),
        };
        let parts = wiring::parts(config, stores, &secrets.tokens, Some(own));
        let postman = Postman {
            store: Arc::clone(&backend.accounts),
            tokens: parts.tokens.clone(),
            carrier: Carrier::new(config)?,
            frontend_url: config.frontend_url(own.port()),
        };
        let metrics = telemetry::start_metrics().context("metrics can't be collected")?;
        let keys = secrets.keys.clone();
        Ok(Self { config, backend, parts, keys, postman, metrics })
    }

    async fn run(
        self,
        listener: TcpListener,
        own: SocketAddr,
        stop: CancellationToken,
    ) -> Result<()> {
        let engine = self.parts.nexo.engine().clone();
        engine.sign_on().await.context("the server can't sign on")?;
        let mut connections = Connections::new(&self.api(&stop), &self.config.listen).await?;
        let closing = after(stop, self.config.listen.shutdown_delay);
        let Self { config, backend, parts, keys, postman, metrics } = self;
        let work = TaskTracker::new();
        work.spawn(parts.nexo.retain(config.retention));
        let (store, accounts) = (Arc::clone(&backend.store), Arc::clone(&backend.accounts));
        work.spawn(keep_order(store, accounts, keys, closing.clone()));
        work.spawn(postman.run(closing.clone()));
        work.spawn(keep_metrics(metrics, closing.clone()));
        welcome::print(config, own, &mut io::stdout().lock())
            .unwrap_or_else(|error| warn!(%error, "nobody reads the standard output"));
        info!("listening on {own}");

        server::accept(listener, &mut connections, &config.listen, &closing).await;
        info!("shutting down: runs under way are finished");
        let connections = tokio::spawn(connections.end());
        engine.shutdown(config.listen.shutdown_grace).await;
        if tokio::time::timeout(LINGER, connections).await.is_err() {
            warn!("some connections were still open, and are cut");
        }
        work.close();
        if tokio::time::timeout(LINGER, work.wait()).await.is_err() {
            warn!("some background work was not finished");
        }
        backend.close().await;
        info!("the server has ended");
        Ok(())
    }

    /// The API with all that is served beside it.
    fn api(&self, stop: &CancellationToken) -> Api {
        let ops = Ops {
            store: Arc::clone(&self.backend.store),
            stop: stop.clone(),
            metrics: self.metrics.clone(),
            metrics_token: self.config.metrics_token.clone(),
        };
        ops.beside(self.parts.api.clone()).with_pages(ui::answer)
    }
}

/// A token that is cancelled a while after `stop`: load balancers that ask whether the server is
/// ready need time to see that it is not.
fn after(stop: CancellationToken, delay: Duration) -> CancellationToken {
    let later = CancellationToken::new();
    let cancel = later.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        tokio::time::sleep(delay).await;
        cancel.cancel();
    });
    later
}

/// Removes rate limits that nobody comes up against any more, and notices when an encryption key
/// is not needed any more.
async fn keep_order(
    store: Arc<dyn Store>,
    accounts: Arc<dyn AccountStore>,
    keys: KeyRing,
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(tokio::time::sleep(ORDER_EVERY)).await.is_some() {
        if let Err(error) = accounts.prune_limits().await {
            warn!(%error, "outdated rate limits can't be removed");
        }
        if let Err(error) = secrets::follow_the_key(&*store, &keys).await {
            warn!(%error, "which encryption keys are needed can't be told");
        }
    }
}

/// Without it, samples that nobody collects would pile up.
async fn keep_metrics(metrics: PrometheusHandle, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(METRICS_UPKEEP_EVERY)).await.is_some() {
        metrics.run_upkeep();
    }
}
