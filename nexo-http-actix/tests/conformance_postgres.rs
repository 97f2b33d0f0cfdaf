//! The same on PostgreSQL: `scripts/with-postgres cargo test -p nexo-http-actix`.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;
#[path = "../../nexo-store-postgres/tests/common/mod.rs"]
mod database;

use actix_web::App;
use nexo_http::Api;
use tokio::runtime::Handle;

async fn serve(api: Api) -> common::Running {
    let nexo = nexo_http_actix::configure(&api, Some(Handle::current()));
    common::serve_app("", move || App::new().configure(nexo.clone()))
}

nexo_http::http_conformance!(serve, database::fresh_store);
