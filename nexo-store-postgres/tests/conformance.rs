//! The promises that every store keeps.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;

use common::fresh_store;

nexo_core::store_conformance!(fresh_store);
nexo_core::accounts_conformance!(fresh_store);
