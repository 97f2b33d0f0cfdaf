//! Measures a running server from the outside, as its clients see it.
//!
//! Everything runs on one machine, so server, database, agent and this client share its
//! cores: absolute figures mean little, and what counts is each figure beside its limit,
//! which is measured in the same run. `scripts/bench` sets up what it needs:
//!
//! ```text
//! LOAD_SERVER=http://127.0.0.1:8000 load [ROWS]...
//! ```
//!
//! The limits that are servers are this program as well, each in a process of its own.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

mod agent;
mod appends;
mod bare;
mod database;
mod drive;
mod helper;
mod lab;
mod pages;
mod process;
mod proxy;
mod reads;
mod report;
mod rows;
mod runs;
mod slow;
mod stage;
mod stamps;
mod statement;
mod streams;

use std::{env, io, process::ExitCode};

use lab::Lab;

/// The groups of rows, in their order. The slow streams come first, since they tell how much
/// memory a server takes that has not done anything before.
const GROUPS: [&str; 6] = ["slow", "reads", "appends", "runs", "streams", "pages"];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [role, body] if role == bare::ROLE => bare::serve(body).await,
        [role, agent] if role == proxy::ROLE => proxy::serve(agent).await,
        groups => measure(groups).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the groups that are named, or all; one that fails keeps no other from its turn.
async fn measure(named: &[String]) -> io::Result<()> {
    if let Some(unknown) = named.iter().find(|name| !GROUPS.contains(&name.as_str())) {
        return Err(io::Error::other(format!("no rows {unknown}; there are {GROUPS:?}")));
    }
    let lab = Lab::from_env().await?;
    println!("C = concurrent clients; {} s for each figure", lab.time.as_secs());
    let mut failed = Vec::new();
    for group in GROUPS {
        if !named.is_empty() && !named.iter().any(|name| name == group) {
            continue;
        }
        if let Err(error) = measure_group(group, &lab).await {
            eprintln!("load: {group}: {error}");
            failed.push(group);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(format!("these have no figures, or not all: {}", failed.join(", "))))
}

async fn measure_group(group: &str, lab: &Lab) -> io::Result<()> {
    match group {
        "slow" => slow::measure(lab).await,
        "reads" => reads::measure(lab).await,
        "appends" => appends::measure(lab).await,
        "runs" => runs::measure(lab).await,
        "streams" => streams::measure(lab).await,
        _ => pages::measure(lab).await,
    }
}
