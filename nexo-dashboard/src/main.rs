//! Nexo's reference server, and the commands around it.

#[cfg(not(any(feature = "axum", feature = "actix")))]
compile_error!("the server needs the feature `axum` or `actix`");

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!("the server needs the feature `sqlite` or `postgres`");

mod backend;
mod cli;
mod commands;
mod config;
mod error;
mod mail;
mod ops;
mod secrets;
mod serve;
mod server;
mod signals;
mod telemetry;
mod ui;
mod welcome;
mod wiring;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use tokio::runtime::{self, Runtime};

use crate::{
    cli::{Cli, Command, UserCommand},
    config::{Config, Sources},
    error::{Context, Failure, Result},
};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Password hashing, files and look-ups of names run beside the workers. Look-ups have 128 of
/// these at most, however long they take: the rest is for all else.
const MAX_BLOCKING_THREADS: usize = 160;
/// A blocking call that does not end is not waited for.
const RUNTIME_END: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(failure) => {
            // Where it can't be told, there is nobody to tell.
            let _ = writeln!(io::stderr(), "nexo-dashboard: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let sources = Sources::collect(cli.flags(), cli.config.as_deref()).map_err(Failure::new)?;
    let config = Config::read(&sources)?;
    telemetry::start_log(&config.log);
    if cli.print_config {
        config.print(&mut io::stdout().lock()).context("the configuration can't be printed")?;
        return Ok(ExitCode::SUCCESS);
    }
    // Fails only if it was done already.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let runtime = start_runtime()?;
    let done = runtime.block_on(execute(cli.command.unwrap_or_default(), &config));
    runtime.shutdown_timeout(RUNTIME_END);
    done
}

fn start_runtime() -> Result<Runtime> {
    runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build()
        .context("the runtime can't be started")
}

async fn execute(command: Command, config: &Config) -> Result<ExitCode> {
    let mut out = io::stdout();
    match command {
        Command::Serve => serve::run(config).await?,
        Command::Migrate => commands::migrate(config, &mut out).await?,
        Command::Openapi { served } => commands::openapi(config, served, &mut out)?,
        Command::Seed { personas } => commands::seed(config, &personas, &mut out).await?,
        Command::User { command: UserCommand::Create(options) } => {
            commands::create_user(config, options, &mut out).await?;
        }
        Command::User { command: UserCommand::Promote { email } } => {
            commands::promote_user(config, &email, &mut out).await?;
        }
        Command::User { command: UserCommand::ResetPassword(options) } => {
            commands::reset_password(config, options, &mut out).await?;
        }
        Command::Doctor => return commands::doctor(config, &mut out).await,
    }
    Ok(ExitCode::SUCCESS)
}
