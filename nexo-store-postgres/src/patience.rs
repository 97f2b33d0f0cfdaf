//! Patience: how long an answer of the database's is waited for.
//!
//! The database stops a statement that takes too long, and says so. Where nothing is said at all
//! (the network is dark, the server stands still or was replaced) no error ever comes: only a
//! deadline of one's own ends the wait then.

use std::{future::Future, io, time::Duration};

use sqlx::PgPool;
use tokio::time::timeout;

use crate::connection::Connection;

/// How long a statement may take by default, until the database stops it.
pub(crate) const STATEMENT: Duration = Duration::from_secs(10);
/// How much longer its answer is waited for.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);
/// How long an idle connection may take to give a sign of life, which costs it a round trip.
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// How long each statement of a deletion may take: an app may have a great many conversations.
/// So much is allowed also where the database has no limit of its own.
pub(crate) const DELETION: Duration = Duration::from_secs(600);

/// In milliseconds. The URL, the role, the database and a pooler in between all have a say in it.
const STATEMENT_TIMEOUT: &str =
    "select setting::int8 from pg_settings where name = 'statement_timeout'";

/// How long to wait for the answer to any statement over this pool: for as long as the database
/// may work on it, and for `silence` more.
pub(crate) async fn measure(pool: &PgPool, silence: Duration) -> Result<Duration, sqlx::Error> {
    let mut connection = Connection::new(pool.acquire().await?, STATEMENT.saturating_add(silence));
    let question = sqlx::query_scalar::<_, i64>(STATEMENT_TIMEOUT);
    let limit = match connection.answer(|it| question.fetch_one(it)).await? {
        0 => DELETION,
        milliseconds => Duration::from_millis(milliseconds.unsigned_abs()),
    };
    Ok(limit.saturating_add(silence))
}

/// Waits for an answer that long, and then takes the connection as lost.
pub(crate) async fn within<T, E: From<sqlx::Error>>(
    patience: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(patience, answer).await.unwrap_or_else(|_| Err(no_answer().into()))
}

/// As if the connection was lost.
pub(crate) fn no_answer() -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the database does not answer").into()
}
