//! Agents that are Rust code in this process: as they are written, and as runs see them.

#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod conformance;
mod handlers;
mod runs;
mod stage;
