//! The store keeps every promise of the core's traits.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use nexo_core::KeyRing;
use nexo_store_sqlite::SqliteStore;
use tempfile::TempDir;

async fn fresh_store() -> (SqliteStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nexo.db");
    let store = SqliteStore::open(path, KeyRing::generate("k")).await.unwrap();
    store.migrate().await.unwrap();
    (store, directory)
}

nexo_core::store_conformance!(fresh_store);
nexo_core::accounts_conformance!(fresh_store);
