//! The same on PostgreSQL: `scripts/with-postgres cargo test -p nexo-http-axum`.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;
#[path = "../../nexo-store-postgres/tests/common/mod.rs"]
mod database;

use nexo_http::Api;

async fn serve(api: Api) -> common::Running {
    common::serve_router(nexo_http_axum::router(&api)).await
}

nexo_http::http_conformance!(serve, database::fresh_store);
