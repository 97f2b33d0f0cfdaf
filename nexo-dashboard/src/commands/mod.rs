//! The commands beside `serve`.

mod doctor;
mod openapi;
mod password;
mod seed;
mod users;

use std::io::Write;

pub(crate) use doctor::doctor;
pub(crate) use openapi::openapi;
pub(crate) use seed::seed;
pub(crate) use users::{create_user, promote_user, reset_password};

use crate::{
    backend::Backend,
    config::Config,
    error::{Context, Result},
    secrets::Secrets,
};

/// Brings the database's tables to this version.
pub(crate) async fn migrate(config: &Config, out: &mut impl Write) -> Result<()> {
    let backend = open(config).await?;
    backend.close().await;
    say(out, &format!("{}: the tables are up to date", config.database.target))
}

/// The database with its tables up to date. A running server is not disturbed.
async fn open(config: &Config) -> Result<Backend> {
    Backend::prepare(config, &Secrets::load(config)?).await
}

fn say(out: &mut impl Write, line: &str) -> Result<()> {
    writeln!(out, "{line}").context("standard output is closed")
}
