//! What the unit tests share.

use nexo_core::KeyRing;
use tempfile::TempDir;

use crate::SqliteStore;

/// A new store, and the directory that has to live as long.
pub(crate) async fn fresh_store() -> (SqliteStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nexo.db");
    let store = SqliteStore::open(path, KeyRing::generate("k")).await.unwrap();
    store.migrate().await.unwrap();
    (store, directory)
}

/// Brings about what no method of the store does.
pub(crate) async fn execute(store: &SqliteStore, statement: &'static str) {
    let done = store.write(move |tx| {
        Box::pin(async move {
            sqlx::query(statement).execute(tx.connection).await?;
            Ok(())
        })
    });
    done.await.unwrap();
}
