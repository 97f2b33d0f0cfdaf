//! The adapter serves the API as clients expect it, whichever store is behind it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;

use nexo_http::Api;

async fn serve(api: Api) -> common::Running {
    common::serve_router(nexo_http_axum::router(&api)).await
}

mod memory {
    use nexo_core::MemoryStore;

    async fn fresh_store() -> MemoryStore {
        MemoryStore::new()
    }

    nexo_http::http_conformance!(super::serve, fresh_store);
}

mod nested {
    use axum::Router;
    use nexo_core::MemoryStore;
    use nexo_http::Api;

    use super::common;

    async fn serve(api: Api) -> common::Running {
        let host = Router::new().nest("/api/v1", nexo_http_axum::router(&api));
        common::serve_below("/api/v1", host).await
    }

    async fn fresh_store() -> MemoryStore {
        MemoryStore::new()
    }

    nexo_http::http_conformance!(serve, fresh_store);
}

mod sqlite {
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

    nexo_http::http_conformance!(super::serve, fresh_store);
}
