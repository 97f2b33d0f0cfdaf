//! What is promised on PostgreSQL in particular.

#[path = "../common/mod.rs"]
mod common;

mod failures;
mod migrations;
mod plans;
mod races;
mod room;
mod secrets;
mod statements;
mod watch;
