#![doc = include_str!("../README.md")]

#[macro_use]
mod row;

mod agents;
mod apps;
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
mod replays;
mod runs;
mod servers;
mod subscribers;
mod threads;
mod users;

use std::fmt;

use nexo_core::{KeyRing, Result, Scope};
use sqlx::{
    PgConnection, PgPool, Postgres, Transaction,
    pool::PoolConnection,
    postgres::{PgArguments, PgRow},
    query::Query,
};

pub use hub::PostgresHub;
pub use options::PostgresOptions;

use crate::error::before_commit;

/// Keeps everything in a PostgreSQL database. Cheap to clone: clones share their connections.
///
/// It is a [`Store`](nexo_core::Store) and an
/// [`AccountStore`](nexo_core::accounts::AccountStore). The time is the database's, so that
/// servers whose clocks differ agree.
#[derive(Clone)]
pub struct PostgresStore {
    pool: PgPool,
    keys: KeyRing,
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
        let pool = options.connect(url).await.map_err(before_commit)?;
        Ok(Self::new(pool, keys))
    }

    /// Works on a pool that the caller made, with whatever settings it has.
    #[must_use]
    pub const fn new(pool: PgPool, keys: KeyRing) -> Self {
        Self { pool, keys }
    }

    /// The pool that the store works on.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection of its own for a statement that writes: whether one was to be had at all
    /// is then told apart from what became of the statement.
    async fn connection(&self) -> Result<PoolConnection<Postgres>> {
        self.pool.acquire().await.map_err(before_commit)
    }

    /// Begins a transaction, in a task of its own: if whoever wanted it goes away meanwhile, it is
    /// rolled back. Were the beginning itself broken off, the connection would go back to the
    /// pool with a transaction open that the pool does not know of, and what others write over
    /// that connection would be acknowledged, and not be committed.
    async fn begin(&self) -> Result<Transaction<'static, Postgres>> {
        let pool = self.pool.clone();
        let begun = tokio::spawn(async move { pool.begin().await });
        let begun = begun.await.map_err(|ended| nexo_core::Error::Unavailable(ended.into()))?;
        begun.map_err(before_commit)
    }

    /// Begins a transaction that deletes an app with all its conversations, which may well take
    /// longer than a request's statement should.
    async fn begin_deletion(&self) -> Result<Transaction<'static, Postgres>> {
        let mut transaction = self.begin().await?;
        run(&mut transaction, sqlx::query("set local statement_timeout = '10min'")).await?;
        Ok(transaction)
    }

    /// Reads one row, if there is one.
    async fn read_optional(&self, query: SqlQuery<'_>) -> Result<Option<PgRow>> {
        query.fetch_optional(&self.pool).await.map_err(before_commit)
    }

    /// Reads every row.
    async fn read_all(&self, query: SqlQuery<'_>) -> Result<Vec<PgRow>> {
        query.fetch_all(&self.pool).await.map_err(before_commit)
    }

    /// Runs a statement that writes and is a transaction by itself; gives its row, if any.
    async fn write_optional(&self, query: SqlQuery<'_>) -> Result<Option<PgRow>> {
        let mut connection = self.connection().await?;
        query.fetch_optional(&mut *connection).await.map_err(error::at_commit)
    }

    /// Runs a statement that writes and is a transaction by itself; gives its rows.
    async fn write_all(&self, query: SqlQuery<'_>) -> Result<Vec<PgRow>> {
        let mut connection = self.connection().await?;
        query.fetch_all(&mut *connection).await.map_err(error::at_commit)
    }

    /// Runs a statement that writes and is a transaction by itself; gives how many rows it
    /// concerned.
    async fn write(&self, query: SqlQuery<'_>) -> Result<u64> {
        let mut connection = self.connection().await?;
        let done = query.execute(&mut *connection).await.map_err(error::at_commit)?;
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

/// Runs a statement inside a transaction; gives its row, if any.
async fn find(connection: &mut PgConnection, query: SqlQuery<'_>) -> Result<Option<PgRow>> {
    query.fetch_optional(connection).await.map_err(before_commit)
}

/// Runs a statement inside a transaction; gives its rows.
async fn find_all(connection: &mut PgConnection, query: SqlQuery<'_>) -> Result<Vec<PgRow>> {
    query.fetch_all(connection).await.map_err(before_commit)
}

/// Runs a statement inside a transaction.
async fn run(connection: &mut PgConnection, query: SqlQuery<'_>) -> Result<()> {
    query.execute(connection).await.map(drop).map_err(before_commit)
}
