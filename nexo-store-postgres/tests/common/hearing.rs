//! Hubs that are up.

use std::time::Duration;

use nexo_core::StreamHub as _;
use nexo_store_postgres::{PostgresHub, PostgresStore};

/// A server's hub on its store, once it hears others.
pub(crate) async fn hearing(store: &PostgresStore) -> PostgresHub {
    let hub = PostgresHub::start(store);
    let heard = async {
        while !hub.reaches_others() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, heard).await.expect("others are never heard");
    hub
}
