//! The PostgreSQL that all servers share, as its operator sees it.

use std::{io, path::PathBuf, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

const PATIENCE: Duration = Duration::from_secs(60);

/// The PostgreSQL that all servers share.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) url: String,
    /// Its `pg_ctl`, which knows which database is meant.
    pub(crate) control: PathBuf,
}

/// How it is stopped before it starts again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// Its clients are cut off, and everything is written down.
    Fast,
    /// Nothing is written down: as if the power failed.
    Immediate,
}

impl Database {
    /// Restarts it, and comes back when it takes connections.
    pub(crate) async fn restart(&self, manner: Manner) -> io::Result<()> {
        let mode = match manner {
            Manner::Fast => "fast",
            Manner::Immediate => "immediate",
        };
        let mut command = Command::new(&self.control);
        run(command.args(["restart", "-m", mode])).await.map(drop)
    }

    /// What a query gives: a text for each row, its columns separated by `|`.
    pub(crate) async fn rows(&self, sql: &str) -> io::Result<Vec<String>> {
        let mut command = Command::new("psql");
        let command = command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        let rows = run(command.args(["--command", sql, &self.url])).await?;
        Ok(rows.lines().map(str::to_owned).collect())
    }
}

async fn run(command: &mut Command) -> io::Result<String> {
    let command = command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await??;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{:?} failed: {said}", command.as_std().get_program())))
}
