//! The server's PostgreSQL, for what can be had of it without the server.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{self, Stdio},
    time::Duration,
};

use nexo_bench::stats::Stats;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{drive::Crowd, statement::Statement};

/// A PostgreSQL, with the programs that come with it.
#[derive(Debug)]
pub(crate) struct Database {
    url: String,
}

impl Database {
    pub(crate) fn new(url: String) -> Self {
        Self { url }
    }

    /// What statements of ours give, a row a line and its columns set apart by `|`.
    pub(crate) async fn ask(&self, sql: &str) -> io::Result<String> {
        let mut command = Command::new("psql");
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"]);
        command.args(["--set", "ON_ERROR_STOP=1", &self.url]);
        told(&mut command, sql).await
    }

    /// The statement with these words that a server said last on one of its connections.
    ///
    /// `None` if there is none, or if the database does not show the whole of it: that is a
    /// matter of its setting `track_activity_query_size`.
    pub(crate) async fn last_said(&self, words: &str) -> io::Result<Option<Statement>> {
        let sql = format!(
            "select query from pg_stat_activity
            where query like '%{words}%' and pid <> pg_backend_pid()
                and octet_length(query) < pg_size_bytes(current_setting('track_activity_query_size')) - 1
            order by query_start desc limit 1"
        );
        let text = self.ask(&sql).await?;
        Ok((!text.is_empty()).then_some(Statement(text)))
    }

    /// Whose app this is, as the statements say it.
    pub(crate) async fn owner(&self, app: &str) -> io::Result<String> {
        self.ask(&format!("select owner from nexo_apps where id = '{app}'")).await
    }

    /// Has this done again and again by so many clients, who know these variables. A client
    /// has a number, `:client_id`.
    pub(crate) async fn bench(
        &self,
        script: &str,
        variables: &[(&str, &str)],
        crowd: Crowd,
    ) -> io::Result<Stats> {
        let log = Log::new()?;
        let mut command = Command::new("pgbench");
        command.args(["--no-vacuum", "--protocol=prepared", "--file=-", "--log"]);
        command.arg(format!("--log-prefix={}", log.0.join("log").display()));
        command.arg(format!("--client={}", crowd.clients));
        command.arg(format!("--jobs={}", crowd.clients.min(2)));
        command.arg(format!("--time={}", crowd.time.as_secs()));
        for (name, value) in variables {
            command.arg(format!("--define={name}={value}"));
        }
        told(command.arg(&self.url), script).await?;
        // Its time begins when all clients are connected.
        Ok(Stats::new(log.latencies()?, crowd.time, 0))
    }
}

/// Tells a program something, and gives what it says.
async fn told(command: &mut Command, input: &str) -> io::Result<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(|error| {
        let program = command.as_std().get_program().display();
        io::Error::new(error.kind(), format!("{program} can't be started: {error}"))
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Where it is written how long each transaction took. It is taken away with this.
struct Log(PathBuf);

impl Log {
    fn new() -> io::Result<Self> {
        let dir = env::temp_dir().join(format!("nexo-load.{}", process::id()));
        fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    fn latencies(&self) -> io::Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        for file in fs::read_dir(&self.0)? {
            latencies.extend(latencies_of(&file?.path())?);
        }
        Ok(latencies)
    }
}

/// The third word of a line is the time in microseconds.
fn latencies_of(file: &Path) -> io::Result<Vec<Duration>> {
    let text = fs::read_to_string(file)?;
    let micros = text.lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok());
    Ok(micros.map(Duration::from_micros).collect())
}

impl Drop for Log {
    fn drop(&mut self) {
        // Nothing depends on it: it is a folder for temporary things.
        let _ = fs::remove_dir_all(&self.0);
    }
}
