//! The database, whichever it is.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
};

use nexo_core::{KeyRing, LocalHub, Store, StreamHub, accounts::AccountStore};
#[cfg(feature = "postgres")]
use nexo_store_postgres::{PostgresHub, PostgresOptions, PostgresStore};
#[cfg(feature = "sqlite")]
use nexo_store_sqlite::{SqliteOptions, SqliteStore};

use crate::{
    config::{Config, Target},
    error::{Context, Failure, Result},
    secrets::{self, Secrets},
};

/// An open database.
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) accounts: Arc<dyn AccountStore>,
    opened: Opened,
}

#[derive(Clone)]
enum Opened {
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteStore),
    #[cfg(feature = "postgres")]
    Postgres(PostgresStore),
}

impl Backend {
    /// Opens the database as it is.
    pub(crate) async fn open(config: &Config, keys: KeyRing) -> Result<Self> {
        let target = &config.database.target;
        let opened = match target {
            Target::Sqlite(path) => open_sqlite(path, config, keys).await,
            Target::Postgres(url) => open_postgres(url.expose(), config, keys).await,
        };
        Ok(opened.map_err(|failure| Failure::new(format!("{target}: {failure}")))?.into())
    }

    /// Opens the database, brings its tables up to date, and compares the secrets.
    pub(crate) async fn prepare(config: &Config, secrets: &Secrets) -> Result<Self> {
        let backend = Self::open(config, secrets.keys.clone()).await?;
        backend.migrate().await?;
        secrets::pin(&*backend.store, secrets).await?;
        Ok(backend)
    }

    /// Brings the tables up to date.
    pub(crate) async fn migrate(&self) -> Result<()> {
        let migrated = match &self.opened {
            #[cfg(feature = "sqlite")]
            Opened::Sqlite(store) => store.migrate().await,
            #[cfg(feature = "postgres")]
            Opened::Postgres(store) => store.migrate().await,
        };
        migrated.context("the tables can't be brought up to date")
    }

    /// Whether the data is whole, where a check can tell.
    pub(crate) async fn check_integrity(&self) -> Result<()> {
        match &self.opened {
            #[cfg(feature = "sqlite")]
            Opened::Sqlite(store) => {
                let found = store.check_integrity().await.context("it can't be checked")?;
                let damage = found.join("; ");
                if damage.is_empty() { Ok(()) } else { Err(Failure::new(damage)) }
            }
            #[cfg(feature = "postgres")]
            Opened::Postgres(_) => Ok(()),
        }
    }

    /// What carries word of its changes, as far as it has to.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(unused_variables, reason = "a file is not shared")
    )]
    pub(crate) fn hub(&self, config: &Config) -> Arc<dyn StreamHub> {
        match &self.opened {
            #[cfg(feature = "postgres")]
            Opened::Postgres(store) if config.database.notify => {
                Arc::new(PostgresHub::start(store))
            }
            _ => Arc::new(LocalHub::default()),
        }
    }

    /// Whether only one server can work on it.
    pub(crate) fn is_exclusive(&self) -> bool {
        match &self.opened {
            #[cfg(feature = "sqlite")]
            Opened::Sqlite(_) => true,
            #[cfg(feature = "postgres")]
            Opened::Postgres(_) => false,
        }
    }

    /// Ends what was begun.
    pub(crate) async fn close(&self) {
        match &self.opened {
            #[cfg(feature = "sqlite")]
            Opened::Sqlite(store) => store.close().await,
            #[cfg(feature = "postgres")]
            Opened::Postgres(store) => store.pool().close().await,
        }
    }
}

impl From<Opened> for Backend {
    fn from(opened: Opened) -> Self {
        let (store, accounts): (Arc<dyn Store>, Arc<dyn AccountStore>) = match &opened {
            #[cfg(feature = "sqlite")]
            Opened::Sqlite(store) => (Arc::new(store.clone()), Arc::new(store.clone())),
            #[cfg(feature = "postgres")]
            Opened::Postgres(store) => (Arc::new(store.clone()), Arc::new(store.clone())),
        };
        Self { store, accounts, opened }
    }
}

#[cfg(feature = "sqlite")]
async fn open_sqlite(path: &Path, config: &Config, keys: KeyRing) -> Result<Opened> {
    // A file elsewhere needs no such directory to be looked at.
    let absolute = |path: &Path| std::path::absolute(path).context("the working directory is gone");
    if absolute(path)?.starts_with(absolute(config.data_dir.as_path())?) {
        secrets::prepare_directory(&config.data_dir)?;
    }
    let readers = config.database.max_connections.min(MAX_READERS);
    let options = SqliteOptions::new(path).with_max_readers(readers);
    let store = SqliteStore::open_with(options, keys).await;
    Ok(Opened::Sqlite(store.context("the file can't be opened")?))
}

/// Each reader of a file is a thread with a cache; more of them read no faster.
#[cfg(feature = "sqlite")]
const MAX_READERS: u32 = 4;

#[cfg(not(feature = "sqlite"))]
async fn open_sqlite(_: &Path, _: &Config, _: KeyRing) -> Result<Opened> {
    Err(Failure::new("this server was built without SQLite"))
}

#[cfg(feature = "postgres")]
async fn open_postgres(url: &str, config: &Config, keys: KeyRing) -> Result<Opened> {
    let options = PostgresOptions::new()
        .with_max_connections(config.database.max_connections)
        .with_min_connections(1)
        .with_max_lifetime(config.database.max_lifetime);
    let store = PostgresStore::connect(url, options, keys).await;
    Ok(Opened::Postgres(store.context("the database can't be reached")?))
}

#[cfg(not(feature = "postgres"))]
async fn open_postgres(_: &str, _: &Config, _: KeyRing) -> Result<Opened> {
    Err(Failure::new("this server was built without PostgreSQL"))
}

/// Makes sure that no other server works on the same file; held as long as this lives. The
/// system gives it back however the process ends.
pub(crate) struct ServerLock {
    _held: Option<File>,
}

impl ServerLock {
    pub(crate) fn take(config: &Config) -> Result<Self> {
        match &config.database.target {
            Target::Sqlite(path) => lock(path).map(|file| Self { _held: Some(file) }),
            Target::Postgres(_) => Ok(Self { _held: None }),
        }
    }
}

fn lock(database: &Path) -> Result<File> {
    // A link to the file is the same file.
    let database = database.canonicalize().unwrap_or_else(|_| database.to_owned());
    has_one_name(&database)?;
    let mut path = database.clone().into_os_string();
    path.push(".lock");
    let path = PathBuf::from(path);
    let shown = path.display();
    let file = secrets::private().create(true).truncate(false).open(&path);
    let file = file.context(format!("{shown} can't be made"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::new(format!(
            "another server works on {} already; stop it first, or use PostgreSQL to run several",
            database.display()
        ))),
        Err(TryLockError::Error(error)) => Err(error).context(format!("{shown} can't be locked")),
    }
}

/// Under another name a file has another lock, and SQLite another journal.
#[cfg(unix)]
fn has_one_name(database: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;

    match database.metadata() {
        Ok(about) if about.nlink() > 1 => Err(Failure::new(format!(
            "{} has another name besides (a hard link), under which another server could work on \
             it: remove that, or copy the file",
            database.display()
        ))),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn has_one_name(_: &Path) -> Result<()> {
    Ok(())
}
