#![doc = include_str!("../README.md")]

#[macro_use]
mod row;

mod agents;
mod apps;
mod connection;
mod deliveries;
mod error;
mod events;
mod feed;
mod hub;
mod idempotency;
mod keys;
mod limits;
mod mails;
mod messages;
mod migrate;
mod options;
mod patience;
mod replays;
mod runs;
mod servers;
mod subscribers;
mod threads;
mod transaction;
mod users;

use std::{fmt, time::Duration};

use nexo_core::{KeyRing, Result, Scope};
use sqlx::{
    PgPool, Postgres,
    postgres::{PgArguments, PgRow},
    query::Query,
};

pub use hub::PostgresHub;
pub use options::PostgresOptions;

use crate::{
    connection::{Connection, find, find_all, run},
    error::{at_commit, before_commit},
    transaction::Transaction,
};

/// Keeps everything in a PostgreSQL database. Cheap to clone: clones share their connections.
///
/// It is a [`Store`](nexo_core::Store) and an
/// [`AccountStore`](nexo_core::accounts::AccountStore). The time is the database's, so that
/// servers whose clocks differ agree.
#[derive(Clone)]
pub struct PostgresStore {
    pool: PgPool,
    keys: KeyRing,
    patience: Duration,
}

impl PostgresStore {
    /// Connects to the database at `url`; secrets are sealed with `keys`.
    ///
    /// `postgres://`, `postgresql://` and forms that name a driver, such as
    /// `postgresql+asyncpg://`, mean the same. Query parameters, such as `sslmode`, count.
    /// The tables are made by [`PostgresStore::migrate`].
    ///
    /// # Errors
    ///
    /// [`nexo_core::Error::Store`] if the URL can't be used,
    /// [`nexo_core::Error::Unavailable`] if the database can't be reached.
    pub async fn connect(url: &str, options: PostgresOptions, keys: KeyRing) -> Result<Self> {
        let (pool, patience) = options.connect(url).await.map_err(before_commit)?;
        Ok(Self { pool, keys, patience })
    }

    /// Works on a pool that the caller made, with whatever settings it has. The answer to a
    /// statement is waited for 15 s, see [`PostgresStore::with_patience`].
    #[must_use]
    pub const fn new(pool: PgPool, keys: KeyRing) -> Self {
        let patience = patience::STATEMENT.saturating_add(patience::SILENCE);
        Self { pool, keys, patience }
    }

    /// How long to wait for the answer to a statement; where one deletes an app or a user, 10
    /// minutes longer. Then the connection is taken as lost, and closed.
    ///
    /// It should be a few seconds more than the `statement_timeout` of the pool's connections, so
    /// that as a rule the database ends what takes too long, and says so. A store that made its
    /// own pool knows that already; see [`PostgresOptions::with_silence_timeout`].
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The pool that the store works on.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection for a while. The pool itself says when one has been waited for too long.
    async fn connection(&self) -> Result<Connection> {
        let pooled = self.pool.acquire().await.map_err(before_commit)?;
        Ok(Connection::new(pooled, self.patience))
    }

    /// Begins a transaction.
    async fn begin(&self) -> Result<Transaction> {
        Transaction::begin(self.connection().await?).await.map_err(before_commit)
    }

    /// Begins a transaction that deletes an app with all its conversations, which may well take
    /// longer than a request's statement should.
    async fn begin_deletion(&self) -> Result<Transaction> {
        let mut transaction = self.begin().await?;
        run(&mut transaction, sqlx::query("set local statement_timeout = '10min'")).await?;
        transaction.add_patience(patience::DELETION);
        Ok(transaction)
    }

    /// Reads one row, if there is one.
    async fn read_optional(&self, query: SqlQuery<'_>) -> Result<Option<PgRow>> {
        find(&mut self.connection().await?, query).await
    }

    /// Reads every row.
    async fn read_all(&self, query: SqlQuery<'_>) -> Result<Vec<PgRow>> {
        find_all(&mut self.connection().await?, query).await
    }

    /// Runs a statement that writes and is a transaction by itself; gives its row, if any.
    async fn write_optional(&self, query: SqlQuery<'_>) -> Result<Option<PgRow>> {
        let mut connection = self.connection().await?;
        connection.answer(|it| query.fetch_optional(it)).await.map_err(at_commit)
    }

    /// Runs a statement that writes and is a transaction by itself; gives its rows.
    async fn write_all(&self, query: SqlQuery<'_>) -> Result<Vec<PgRow>> {
        let mut connection = self.connection().await?;
        connection.answer(|it| query.fetch_all(it)).await.map_err(at_commit)
    }

    /// Runs a statement that writes and is a transaction by itself; gives how many rows it
    /// concerned.
    async fn write(&self, query: SqlQuery<'_>) -> Result<u64> {
        let mut connection = self.connection().await?;
        let done = connection.answer(|it| query.execute(it)).await.map_err(at_commit)?;
        Ok(done.rows_affected())
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresStore({} connections)", self.pool.size())
    }
}

type SqlQuery<'q> = Query<'q, Postgres, PgArguments>;

/// A query whose first three parameters are the scope; see `sees_app!` and `sees_subscriber!`.
fn scoped(sql: &'static str, scope: &Scope) -> SqlQuery<'static> {
    sqlx::query(sql)
        .bind(scope.owner().map(nexo_core::OwnerId::as_str))
        .bind(scope.app().map(|app| app.as_uuid()))
        .bind(scope.subscriber().map(|subscriber| subscriber.as_uuid()))
}
