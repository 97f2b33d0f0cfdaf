//! The promises that every store keeps.

mod common;

use common::fresh_store;

nexo_core::store_conformance!(fresh_store);
nexo_core::accounts_conformance!(fresh_store);
