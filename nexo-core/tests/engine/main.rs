//! What the run engine promises, with scripted agents on the store in memory.

#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod elsewhere;
mod handlers;
mod hints;
mod overlap;
mod replays;
mod replies;
mod resends;
mod resume;
mod stage;
mod survival;
