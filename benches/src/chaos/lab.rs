//! The laboratory: what the experiments run on, and how much of it.

use std::{env, fs, io, path::PathBuf, str::FromStr, time::Duration};

use crate::database::Database;

/// What the experiments run on, and how much of it. All of it comes from the environment.
#[derive(Clone, Debug)]
pub(crate) struct Lab {
    /// The server's executable.
    pub(crate) server: PathBuf,
    pub(crate) database: Database,
    /// Where histories, logs and the servers' own files go.
    pub(crate) dir: PathBuf,
    /// What all servers keep for themselves: they have to have the same secrets.
    pub(crate) data: PathBuf,
    /// Where it is noted which processes there are.
    pub(crate) processes: PathBuf,
    /// The only experiments to do, if any are named.
    only: Vec<String>,
    /// How many times a server is killed.
    pub(crate) kills: usize,
    /// How many servers are stopped for longer than they may be silent.
    pub(crate) zombies: usize,
    /// For how long the database is restarted again and again.
    pub(crate) outages: Duration,
    /// How many agent calls hang.
    pub(crate) hung: usize,
    /// How many servers are shut down under load.
    pub(crate) drains: usize,
    /// How many times one request is sent.
    pub(crate) copies: usize,
    /// After how long everything ends, whatever has come of it.
    pub(crate) deadline: Duration,
}

impl Lab {
    /// Reads the settings.
    pub(crate) fn from_env() -> io::Result<Self> {
        let dir = PathBuf::from(needed("CHAOS_DIR")?);
        let seconds =
            |name, default| Ok::<_, io::Error>(Duration::from_secs(number(name, default)?));
        Ok(Self {
            server: needed("CHAOS_SERVER")?.into(),
            database: Database {
                url: needed("TEST_DATABASE_URL")?,
                control: needed("TEST_DATABASE_CONTROL")?.into(),
            },
            data: dir.join("data"),
            processes: dir.join("processes"),
            dir,
            only: names(&env::var("CHAOS_ONLY").unwrap_or_default()),
            kills: number("CHAOS_KILLS", 100)?,
            zombies: number("CHAOS_ZOMBIES", 50)?,
            outages: seconds("CHAOS_OUTAGES_SECONDS", 300)?,
            hung: number("CHAOS_HUNG", 1_000)?,
            drains: number("CHAOS_DRAINS", 6)?,
            copies: number("CHAOS_COPIES", 100)?,
            deadline: seconds("CHAOS_DEADLINE_SECONDS", 14 * 60)?,
        })
    }

    /// The same, with a folder of its own for an experiment.
    pub(crate) fn room(&self, experiment: &str) -> io::Result<Self> {
        let dir = self.dir.join(experiment);
        fs::create_dir_all(&dir)?;
        Ok(Self { dir, ..self.clone() })
    }

    pub(crate) fn wants(&self, experiment: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|it| it == experiment)
    }
}

fn names(text: &str) -> Vec<String> {
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn needed(name: &str) -> io::Result<String> {
    env::var(name).map_err(|_| io::Error::other(format!("{name} is not set; use scripts/chaos")))
}

fn number<T: FromStr>(name: &str, default: T) -> io::Result<T> {
    match env::var(name) {
        Ok(text) => text.parse().map_err(|_| io::Error::other(format!("{name} is no number"))),
        Err(_) => Ok(default),
    }
}
