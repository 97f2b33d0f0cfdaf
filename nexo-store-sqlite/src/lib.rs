#![doc = include_str!("../README.md")]

mod agents;
mod apps;
mod check;
mod columns;
mod deliveries;
mod error;
mod events;
mod feed;
mod idempotency;
mod keys;
mod limits;
mod mails;
mod messages;
mod migrations;
mod options;
#[cfg(test)]
mod plans;
mod replays;
mod runs;
mod servers;
mod subscribers;
#[cfg(test)]
mod testing;
mod threads;
mod users;
mod writer;

use std::{fmt, future::Future, path::Path, pin::Pin, sync::Arc};

use nexo_core::{Clock, KeyRing, Result, SystemClock, Timestamp};
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction, pool::PoolConnection};

pub use options::SqliteOptions;

use crate::{error::Problem, writer::Writer};

/// A store in one SQLite file, for one server.
///
/// Cheap to clone: all clones work on the same file through the same writer.
#[derive(Clone)]
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
    options: SqliteOptions,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
}

/// One unit of work, inside its transaction.
struct Tx<'c> {
    connection: &'c mut SqliteConnection,
    keys: &'c KeyRing,
    /// The one instant at which all of it happens.
    now: Timestamp,
}

impl Tx<'_> {
    /// The same for a part of the work, after which it goes on.
    fn part(&mut self) -> Tx<'_> {
        Tx { connection: self.connection, keys: self.keys, now: self.now }
    }
}

/// What a unit of work gives, once it is polled to its end.
type Work<'c, T> = Pin<Box<dyn Future<Output = error::Result<T>> + Send + 'c>>;

impl SqliteStore {
    /// Opens the file with the default settings; see [`SqliteStore::open_with`].
    ///
    /// # Errors
    ///
    /// As [`SqliteStore::open_with`].
    pub async fn open(path: impl AsRef<Path>, keys: KeyRing) -> Result<Self> {
        Self::open_with(SqliteOptions::new(path), keys).await
    }

    /// Opens the file, and makes it if there is none: empty, and readable for nobody else.
    /// Has to be called within a tokio runtime. [`SqliteStore::migrate`] makes the tables.
    ///
    /// `keys` seal the secrets that have to be read back.
    ///
    /// # Errors
    ///
    /// [`nexo_core::Error::Store`] if the file can't be made or is no database,
    /// [`nexo_core::Error::Unavailable`] if another process keeps it locked.
    pub async fn open_with(options: SqliteOptions, keys: KeyRing) -> Result<Self> {
        options.create_file()?;
        // The writer comes first: it makes the file one with a write-ahead log.
        let writer = Writer::open(&options).await?;
        Ok(Self {
            writer,
            readers: options.readers(),
            options,
            keys: Arc::new(keys),
            clock: Arc::new(SystemClock),
        })
    }

    /// Decides by this clock what time it is; the machine's own is the default.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Brings the tables up to date. Does nothing where they are.
    ///
    /// # Errors
    ///
    /// [`nexo_core::Error::Store`] if the file was made by a newer version, or can't be changed.
    pub async fn migrate(&self) -> Result<()> {
        Ok(migrations::run(&self.options).await?)
    }

    /// Ends what was begun, and closes the file. Whatever is asked of the store or its clones
    /// later is [`nexo_core::Error::Unavailable`].
    ///
    /// Without it the file is closed soon after the last clone is dropped; nothing is lost
    /// either way.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Does a unit of work alone, and gives its answer when it is safely on the disk.
    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(Tx<'c>) -> Work<'c, T> + Send + 'static,
    {
        let (keys, clock) = (self.keys.clone(), self.clock.clone());
        self.writer
            .submit(move |connection| {
                Box::pin(async move {
                    let now = clock.now();
                    work(Tx { connection, keys: &keys, now }).await
                })
            })
            .await
    }

    /// A connection for one statement that reads.
    async fn reader(&self) -> error::Result<PoolConnection<Sqlite>> {
        Ok(self.readers.acquire().await?)
    }

    /// A connection for several statements that have to see the same state.
    async fn snapshot(&self) -> error::Result<Transaction<'static, Sqlite>> {
        Ok(self.readers.begin().await?)
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteStore({})", self.options.path().display())
    }
}

/// Makes `?` work where the core's error is given and ours came back.
impl From<Problem> for nexo_core::Error {
    fn from(problem: Problem) -> Self {
        problem.into_core()
    }
}
