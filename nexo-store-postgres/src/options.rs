//! Options: how a store connects.

use std::{str::FromStr, time::Duration};

use sqlx::{
    Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::patience;

/// A connection that was used this recently is taken as alive. The pool has tested it when it
/// came back; another test before each statement would double the round trips.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// How a [`PostgresStore`](crate::PostgresStore) connects.
///
/// What the URL says itself comes first: `application_name`, and the timeouts below if they are
/// among its `options`.
///
/// ```
/// # use nexo_store_postgres::PostgresOptions;
/// let options = PostgresOptions::new().with_max_connections(20);
/// ```
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    max_connections: u32,
    min_connections: u32,
    acquire_timeout: Duration,
    max_lifetime: Duration,
    statement_timeout: Duration,
    lock_timeout: Duration,
    standstill_timeout: Duration,
    silence_timeout: Duration,
}

impl PostgresOptions {
    /// The defaults: from 1 to 10 connections, at most 5 s of waiting for one, 10 s for a
    /// statement, 3 s for a lock, 5 s of nothing within a transaction, and 5 s of silence.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            max_connections: 10,
            min_connections: 1,
            acquire_timeout: Duration::from_secs(5),
            max_lifetime: Duration::from_secs(1_800),
            statement_timeout: patience::STATEMENT,
            lock_timeout: Duration::from_secs(3),
            standstill_timeout: Duration::from_secs(5),
            silence_timeout: patience::SILENCE,
        }
    }

    /// At most this many connections.
    #[must_use]
    pub const fn with_max_connections(mut self, count: u32) -> Self {
        self.max_connections = count;
        self
    }

    /// This many connections are kept open even when nothing happens, but never all that there
    /// may be: it takes the pool minutes to give up on one that it tries to open by itself.
    #[must_use]
    pub const fn with_min_connections(mut self, count: u32) -> Self {
        self.min_connections = count;
        self
    }

    /// How long to wait for a connection, at most.
    #[must_use]
    pub const fn with_acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// How old a connection may get before it is replaced; half an hour by default.
    #[must_use]
    pub const fn with_max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// How long the database may work on one statement.
    #[must_use]
    pub const fn with_statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// How long a statement may wait for another's lock.
    #[must_use]
    pub const fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// How long a transaction may stand still before the database takes it back. A server that
    /// is frozen in the middle of one keeps others so long from what it has locked: it should
    /// be less than until they take over its runs.
    #[must_use]
    pub const fn with_standstill_timeout(mut self, timeout: Duration) -> Self {
        self.standstill_timeout = timeout;
        self
    }

    /// How much longer an answer is waited for than the database may work on a statement, which
    /// it is asked once; where it has no limit of its own, 10 minutes are taken. Then the network
    /// or the server is taken as gone, and the connection is closed: a read is
    /// [`Unavailable`](nexo_core::Error::Unavailable), the outcome of what was to be committed is
    /// [unknown](nexo_core::Error::OutcomeUnknown).
    #[must_use]
    pub const fn with_silence_timeout(mut self, timeout: Duration) -> Self {
        self.silence_timeout = timeout;
        self
    }

    /// A pool, and how long to wait for the answer to a statement.
    pub(crate) async fn connect(&self, url: &str) -> Result<(PgPool, Duration), sqlx::Error> {
        let target = self.target(url)?;
        let pool = match self.pool().connect_with(target.clone()).await {
            // The pool tries until its time is up, and has forgotten then why it did not work.
            Err(timed_out @ sqlx::Error::PoolTimedOut) => {
                patience::within(self.acquire_timeout, try_out(&target)).await?;
                return Err(timed_out);
            }
            connected => connected?,
        };
        let patience = patience::measure(&pool, self.silence_timeout).await?;
        Ok((pool, patience))
    }

    fn pool(&self) -> PgPoolOptions {
        PgPoolOptions::new()
            .max_connections(self.max_connections)
            .min_connections(self.min_connections.min(self.max_connections.saturating_sub(1)))
            .acquire_timeout(self.acquire_timeout)
            .idle_timeout(Duration::from_secs(600))
            .max_lifetime(self.max_lifetime)
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for > TRUSTED_FOR {
                        patience::within(patience::SIGN_OF_LIFE, connection.ping()).await?;
                    }
                    Ok(true)
                })
            })
    }

    fn target(&self, url: &str) -> Result<PgConnectOptions, sqlx::Error> {
        let mut target = PgConnectOptions::from_str(&without_driver(url))?;
        if target.get_application_name().is_none() {
            target = target.application_name("nexo");
        }
        let timeouts = [
            ("statement_timeout", self.statement_timeout),
            ("lock_timeout", self.lock_timeout),
            ("idle_in_transaction_session_timeout", self.standstill_timeout),
        ];
        for (name, timeout) in timeouts {
            if !target.get_options().is_some_and(|options| options.contains(name)) {
                target = target.options([(name, timeout.as_millis())]);
            }
        }
        Ok(target)
    }
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Connects, for the sake of the error.
async fn try_out(target: &PgConnectOptions) -> Result<(), sqlx::Error> {
    PgConnection::connect_with(target).await?.close().await
}

/// The URL without the driver that other languages name in it: `postgresql+asyncpg://…`.
fn without_driver(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let database = scheme.split_once('+').map_or(scheme, |(database, _)| database);
            format!("{database}://{rest}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgSslMode;

    use super::*;

    fn target(url: &str) -> PgConnectOptions {
        PostgresOptions::new().target(url).unwrap()
    }

    #[test]
    fn every_form_of_the_scheme_means_the_same() {
        for scheme in ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg"] {
            let target = target(&format!("{scheme}://u%40x:p@db.example:6543/nexo"));

            assert_eq!(target.get_host(), "db.example");
            assert_eq!(target.get_port(), 6543);
            assert_eq!(target.get_username(), "u@x");
            assert_eq!(target.get_database(), Some("nexo"));
        }
    }

    #[test]
    fn what_the_url_says_comes_before_the_defaults() {
        let plain = target("postgres://h/d");
        let asked = target(
            "postgres://h/d?sslmode=verify-full&application_name=mine&options=-c%20lock_timeout=7",
        );

        assert_eq!(plain.get_application_name(), Some("nexo"));
        let defaults = "-c statement_timeout=10000 -c lock_timeout=3000 \
             -c idle_in_transaction_session_timeout=5000";
        assert_eq!(plain.get_options(), Some(defaults));
        assert!(matches!(asked.get_ssl_mode(), PgSslMode::VerifyFull));
        assert_eq!(asked.get_application_name(), Some("mine"));
        assert_eq!(
            asked.get_options(),
            Some(
                "-c lock_timeout=7 -c statement_timeout=10000 -c idle_in_transaction_session_timeout=5000"
            )
        );
    }
}
