//! The fault laboratory that is real: servers on a PostgreSQL of their own are killed, stopped
//! and shut down, and their database is restarted, while customers talk over them. What happened
//! is judged from outside, and every promise is printed with its figure.
//!
//! `scripts/chaos` sets up what it needs. The same promises are tried in one process and with
//! many more histories by the core's own laboratory.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

mod agent;
mod call;
mod customer;
mod database;
mod drains;
mod events;
mod fleet;
mod history;
mod hung;
mod judge;
mod keys;
mod kills;
mod lab;
mod outages;
mod reader;
mod remains;
mod report;
mod script;
mod server;
mod takeover;
mod world;
mod zombies;

use std::{future::Future, io, process::ExitCode};

use lab::Lab;
use report::Report;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, timeout_at},
};

#[tokio::main]
async fn main() -> ExitCode {
    let held = tokio::select! {
        held = experiments() => held,
        told = told_to_end() => told.map(|()| false),
    };
    match held {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does one experiment after the other, and gives whether every promise held.
async fn experiments() -> io::Result<bool> {
    let lab = Lab::from_env()?;
    let course = Course { deadline: Instant::now() + lab.deadline, lab: &lab };
    let reports = [
        course.follow("kills", kills::kills(&lab)).await,
        course.follow("zombies", zombies::zombies(&lab)).await,
        course.follow("outages", outages::outages(&lab)).await,
        course.follow("hung", hung::hung(&lab)).await,
        course.follow("drains", drains::drains(&lab)).await,
        course.follow("keys", keys::keys(&lab)).await,
    ];
    let reports: Vec<Report> = reports.into_iter().flatten().collect();
    reports.iter().for_each(Report::print);
    Ok(reports.iter().all(Report::holds))
}

struct Course<'a> {
    lab: &'a Lab,
    deadline: Instant,
}

impl Course<'_> {
    /// Does an experiment if it is wanted, for as long as there is time.
    async fn follow(
        &self,
        name: &str,
        experiment: impl Future<Output = io::Result<Report>>,
    ) -> Option<Report> {
        if !self.lab.wants(name) {
            return None;
        }
        eprintln!("chaos: {name}");
        Some(match timeout_at(self.deadline, experiment).await {
            Ok(Ok(report)) => report,
            Ok(Err(error)) => Report::new(name).failed(error),
            Err(_) => Report::new(name).failed("there was no more time"),
        })
    }
}

async fn told_to_end() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    Ok(())
}
