//! What is promised on PostgreSQL in particular.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/hearing.rs"]
mod hearing;

mod dark_network;
mod delivery_plans;
mod failures;
mod feed_plans;
mod hub;
mod idempotency;
mod lost_connections;
mod migrations;
mod plans;
mod queue;
mod races;
mod retention;
mod room;
mod run_plans;
mod secrets;
mod statements;
mod watch;
