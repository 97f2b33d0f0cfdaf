//! The promises that every store keeps.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;
#[path = "common/hearing.rs"]
mod hearing;

use common::{Database, fresh_store};
use hearing::hearing;
use nexo_store_postgres::{PostgresHub, PostgresStore};

/// The hubs of two servers on one database.
async fn fresh_hubs() -> ((PostgresHub, PostgresHub), (PostgresStore, PostgresStore, Database)) {
    let (one, database) = fresh_store().await;
    let two = database.connect().await;
    let hubs = (hearing(&one).await, hearing(&two).await);
    (hubs, (one, two, database))
}

nexo_core::store_conformance!(fresh_store);
nexo_core::accounts_conformance!(fresh_store);
nexo_core::hub_conformance!(fresh_hubs);
