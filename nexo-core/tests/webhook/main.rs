//! The webhook dispatcher against real sockets. All of them are on loopback.
#![cfg(feature = "webhook")]
#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod agent;
mod answers;
mod clocks;
mod conformance;
mod fixture;
mod limits;
mod network;
mod other_side;
mod requests;
mod streams;
