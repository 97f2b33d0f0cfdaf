//! Retention: what is kept for a while only goes in the background.

use std::{sync::Arc, time::Duration};

use nexo_core::{IDEMPOTENCY_KEY_LIFETIME, Result, Store, accounts::AccountStore};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

const PRUNE_EVERY: Duration = Duration::from_secs(5 * 60);
/// So many rows of one kind go at once: a database that serves others must not be held up by it.
const SLICE: u32 = 1_000;

/// Removes what is outdated.
pub(crate) struct Retention {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) accounts: Arc<dyn AccountStore>,
    /// How long deliveries are kept.
    pub(crate) deliveries: Duration,
}

impl Retention {
    /// Removes it every few minutes, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(PRUNE_EVERY)).await.is_some() {
            self.prune(&stop).await;
        }
    }

    async fn prune(&self, stop: &CancellationToken) {
        if let Err(error) = self.accounts.prune_limits().await {
            warn!(%error, "outdated rate limits can't be removed");
        }
        if let Err(error) = self.store.prune().await {
            warn!(%error, "ended secrets and servers can't be removed");
        }
        match self.prune_deliveries(stop).await {
            Ok(0) => {}
            Ok(count) => info!(count, "{count} deliveries were old enough to be removed"),
            Err(error) => warn!(%error, "old deliveries can't be removed"),
        }
        if let Err(error) = self.prune_idempotency_keys(stop).await {
            warn!(%error, "old idempotency keys can't be removed");
        }
    }

    async fn prune_deliveries(&self, stop: &CancellationToken) -> Result<u64> {
        in_slices(stop, || self.store.prune_deliveries(self.deliveries, SLICE)).await
    }

    async fn prune_idempotency_keys(&self, stop: &CancellationToken) -> Result<u64> {
        let age = IDEMPOTENCY_KEY_LIFETIME;
        in_slices(stop, || self.store.prune_idempotency_keys(age, SLICE)).await
    }
}

/// Goes on slice by slice, since there may be many at the first time.
async fn in_slices<F>(stop: &CancellationToken, mut prune: impl FnMut() -> F) -> Result<u64>
where
    F: Future<Output = Result<u64>>,
{
    let mut count = 0;
    while !stop.is_cancelled() {
        let slice = prune().await?;
        count += slice;
        if slice < u64::from(SLICE) {
            break;
        }
    }
    Ok(count)
}
