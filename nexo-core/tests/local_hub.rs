//! The hub within one process keeps the promises of all hubs.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use nexo_core::LocalHub;

async fn fresh_hubs() -> (LocalHub, LocalHub) {
    let hub = LocalHub::default();
    (hub.clone(), hub)
}

nexo_core::hub_conformance!(fresh_hubs);
