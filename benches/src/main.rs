//! Measures a running server from the outside, as its clients see it.
//!
//! Everything runs on one machine, so server, database, agent and this client share its
//! cores: absolute figures mean little, and what counts is each figure beside its limit,
//! which is measured in the same run.
//!
//! ```text
//! load http://127.0.0.1:8000 [SECONDS PER ROW]
//! ```

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

mod agent;
mod rows;

use std::{io, time::Duration};

const DEFAULT_SECONDS: u64 = 5;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "http://127.0.0.1:8000".to_owned());
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_SECONDS);
    let agent = agent::start().await?;
    rows::measure(&server, agent, Duration::from_secs(seconds)).await
}
