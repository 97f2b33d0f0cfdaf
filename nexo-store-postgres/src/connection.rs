//! Connections: one of the pool's, on which no wait is without an end.

use std::{future::Future, time::Duration};

use nexo_core::Result;
use sqlx::{PgConnection, Postgres, pool::PoolConnection, postgres::PgRow};
use tokio::{runtime::Handle, time::timeout};

use crate::{SqlQuery, error::before_commit, patience};

/// A connection of the pool's. It goes back when it is dropped, unless it is lost: nobody is to
/// have that one again.
pub(crate) struct Connection {
    pooled: PoolConnection<Postgres>,
    patience: Duration,
    /// Whether an answer is still to come.
    is_asked: bool,
    is_lost: bool,
}

impl Connection {
    pub(crate) const fn new(pooled: PoolConnection<Postgres>, patience: Duration) -> Self {
        Self { pooled, patience, is_asked: false, is_lost: false }
    }

    /// From now on an answer is waited for that much longer.
    pub(crate) const fn add_patience(&mut self, more: Duration) {
        self.patience = self.patience.saturating_add(more);
    }

    /// Keeps it from the pool.
    pub(crate) const fn give_up(&mut self) {
        self.is_lost = true;
    }

    /// Asks the database something, and waits for the answer for as long as patience lasts. Then
    /// the connection is taken as lost, and nothing more is asked over it.
    pub(crate) async fn answer<'c, T, A>(
        &'c mut self,
        ask: impl FnOnce(&'c mut PgConnection) -> A,
    ) -> Result<T, sqlx::Error>
    where
        A: Future<Output = Result<T, sqlx::Error>>,
    {
        let Self { pooled, patience, is_asked, is_lost } = self;
        if *is_lost {
            return Err(patience::no_answer());
        }
        *is_asked = true;
        let answer = timeout(*patience, ask(pooled)).await;
        *is_asked = false;
        answer.unwrap_or_else(|_| {
            *is_lost = true;
            Err(patience::no_answer())
        })
    }
}

/// The pool asks each connection that comes back for a sign of life, and would wait for it without
/// an end, with one connection less.
impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_lost {
            // The pool does so in a task, with a deadline.
            return self.pooled.close_on_drop();
        }
        // What was asked and then broken off is answered first.
        let patience = if self.is_asked { self.patience } else { patience::SIGN_OF_LIFE };
        let giving_back = self.pooled.return_to_pool();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(patience, giving_back));
        }
    }
}

/// Runs a statement that commits nothing; gives its row, if any.
pub(crate) async fn find(
    connection: &mut Connection,
    query: SqlQuery<'_>,
) -> Result<Option<PgRow>> {
    connection.answer(|it| query.fetch_optional(it)).await.map_err(before_commit)
}

/// Runs a statement that commits nothing; gives its rows.
pub(crate) async fn find_all(
    connection: &mut Connection,
    query: SqlQuery<'_>,
) -> Result<Vec<PgRow>> {
    connection.answer(|it| query.fetch_all(it)).await.map_err(before_commit)
}

/// Runs a statement that commits nothing.
pub(crate) async fn run(connection: &mut Connection, query: SqlQuery<'_>) -> Result<()> {
    connection.answer(|it| query.execute(it)).await.map(drop).map_err(before_commit)
}
