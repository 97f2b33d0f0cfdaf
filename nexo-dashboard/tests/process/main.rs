//! The server as a process: started, talked to over sockets, stopped and killed.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod accounts;
mod commands;
mod harness;
mod lifecycle;
mod postgres;
mod production;
mod sink;
mod sockets;
