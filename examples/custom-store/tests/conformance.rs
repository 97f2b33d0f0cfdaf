//! The store keeps every promise, whichever store keeps the rest: one line each, and a function
//! that gives an empty one.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod over_memory {
    use custom_store::FiledDeliveries;
    use nexo_core::MemoryStore;
    use tempfile::TempDir;

    /// The directory has to live as long as the store.
    async fn fresh_store() -> (FiledDeliveries<MemoryStore>, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let store = FiledDeliveries::open(directory.path(), MemoryStore::new()).unwrap();
        (store, directory)
    }

    nexo_core::store_conformance!(fresh_store);
}

mod over_sqlite {
    use custom_store::FiledDeliveries;
    use nexo_core::KeyRing;
    use nexo_store_sqlite::SqliteStore;
    use tempfile::TempDir;

    async fn fresh_store() -> (FiledDeliveries<SqliteStore>, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("nexo.db");
        let rest = SqliteStore::open(database, KeyRing::generate("k1")).await.unwrap();
        rest.migrate().await.unwrap();
        let store = FiledDeliveries::open(directory.path().join("deliveries"), rest).unwrap();
        (store, directory)
    }

    nexo_core::store_conformance!(fresh_store);
}
