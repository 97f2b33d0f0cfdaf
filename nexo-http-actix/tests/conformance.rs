//! The adapter serves the API as clients expect it, whichever store is behind it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;

use actix_web::{App, web};
use nexo_core::MemoryStore;
use nexo_http::Api;
use tokio::runtime::Handle;

async fn serve(api: Api) -> common::Running {
    let nexo = nexo_http_actix::configure(&api, Some(Handle::current()));
    common::serve_app("", move || App::new().configure(nexo.clone()))
}

async fn memory() -> MemoryStore {
    MemoryStore::new()
}

mod memory {
    nexo_http::http_conformance!(super::serve, super::memory);
}

mod nested {
    use super::*;

    async fn serve(api: Api) -> common::Running {
        let nexo = nexo_http_actix::configure(&api, Some(Handle::current()));
        common::serve_app("/api/v1", move || {
            App::new().service(web::scope("/api/v1").configure(nexo.clone()))
        })
    }

    nexo_http::http_conformance!(serve, memory);
}

mod on_the_worker {
    use super::*;

    async fn serve(api: Api) -> common::Running {
        let nexo = nexo_http_actix::configure(&api, None);
        common::serve_app("", move || App::new().configure(nexo.clone()))
    }

    nexo_http::http_conformance!(serve, memory);
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
