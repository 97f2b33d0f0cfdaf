//! Settings: how the file is opened.

use std::{
    fs::OpenOptions,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use nexo_core::{Error, Result};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// How long a statement waits for another process's lock, and a caller for a reader or for a
/// place in the writer's queue.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A reader that nobody needs gives its memory back.
const IDLE_READER: Duration = Duration::from_secs(60);

const PAGE_BYTES: u64 = 4096;

/// What the write-ahead log is cut to after it had to grow.
const WAL_KEPT_BYTES: &str = "16777216";

/// Which file the store is in, and how much it may use.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    path: PathBuf,
    max_readers: u32,
    cache_kib: u32,
    max_bytes: Option<u64>,
}

impl SqliteOptions {
    /// The default settings, for the file at `path`. A directory that all servers share over a
    /// network is no place for it: the write-ahead log does not work there.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), max_readers: 3, cache_kib: 1024, max_bytes: None }
    }

    /// How many may read at once; 3 by default. Each is a thread and a page cache.
    #[must_use]
    pub fn with_max_readers(mut self, readers: u32) -> Self {
        self.max_readers = readers.max(1);
        self
    }

    /// How much each connection caches, in KiB; 1024 by default. The operating system caches
    /// the file as well, so more is seldom noticed.
    #[must_use]
    pub fn with_cache_kib(mut self, kib: u32) -> Self {
        self.cache_kib = kib;
        self
    }

    /// How large the file may grow; without a bound by default. At the bound, whatever needs
    /// more space is [`nexo_core::Error::Full`], and deleting makes space.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file if there is none. SQLite would make it readable for everybody; its
    /// companions (`-wal`, `-shm`) inherit what the file has.
    pub(crate) fn create_file(&self) -> Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&self.path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(Error::Store(error.into()))
            }
            _ => Ok(()),
        }
    }

    /// How the one connection that writes is made.
    pub(crate) fn writing(&self) -> SqliteConnectOptions {
        let options = self
            .connecting()
            .journal_mode(SqliteJournalMode::Wal)
            // A success answer means that it survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .pragma("journal_size_limit", WAL_KEPT_BYTES)
            .optimize_on_close(true, 400);
        match self.max_bytes {
            Some(bytes) => {
                options.pragma("max_page_count", (bytes / PAGE_BYTES).max(1).to_string())
            }
            None => options,
        }
    }

    /// The connections that read; they are made when they are needed.
    pub(crate) fn readers(&self) -> SqlitePool {
        SqlitePoolOptions::new()
            .max_connections(self.max_readers)
            .acquire_timeout(PATIENCE)
            .idle_timeout(IDLE_READER)
            .max_lifetime(None)
            // A file has no network that could break a connection in the pool.
            .test_before_acquire(false)
            .connect_lazy_with(self.connecting().read_only(true))
    }

    fn connecting(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(PATIENCE)
            .foreign_keys(true)
            .pragma("temp_store", "memory")
            .pragma("cache_size", format!("-{}", self.cache_kib))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::fresh_store;

    /// From SQLite's documentation: 2 is `FULL`, which waits for the disk at each commit.
    #[tokio::test]
    async fn the_writer_waits_for_the_disk_and_keeps_references_whole() {
        let (store, _directory) = fresh_store().await;

        let settings = store.write(|tx| {
            Box::pin(async move {
                let connection = tx.connection;
                let journal: String =
                    sqlx::query_scalar("pragma journal_mode").fetch_one(&mut *connection).await?;
                let synchronous: i64 =
                    sqlx::query_scalar("pragma synchronous").fetch_one(&mut *connection).await?;
                let references: i64 =
                    sqlx::query_scalar("pragma foreign_keys").fetch_one(connection).await?;
                Ok((journal, synchronous, references))
            })
        });

        assert_eq!(settings.await.unwrap(), ("wal".to_owned(), 2, 1));
    }
}
