//! Errors of the database, told apart by their codes, never by their text.

use nexo_core::{BoxError, Error};
use sqlx::migrate::MigrateError;

/// What fails inside the store: a rule of the core, or the database.
#[derive(Debug)]
pub(crate) enum Problem {
    Core(Error),
    Database(sqlx::Error),
}

pub(crate) type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    pub(crate) fn into_core(self) -> Error {
        match self {
            Self::Core(error) => error,
            Self::Database(error) if is_unique_violation(&error) => {
                Error::Conflict("exists already")
            }
            Self::Database(error) => match Trouble::of(&error) {
                Trouble::Busy => Error::Unavailable(error.into()),
                Trouble::Full => Error::Full(error.into()),
                Trouble::Other => Error::Store(error.into()),
            },
        }
    }

    /// Says `error` where a unique index refused the row.
    pub(crate) fn or_if_taken(self, error: Error) -> Self {
        match self {
            Self::Database(cause) if is_unique_violation(&cause) => Self::Core(error),
            other => other,
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<MigrateError> for Problem {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                Self::Database(error)
            }
            other => Self::Core(Error::Store(other.into())),
        }
    }
}

/// What to think of an error that no rule of the core explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Trying again helps.
    Busy,
    /// There is no space left.
    Full,
    /// Something is wrong.
    Other,
}

// The primary result codes of SQLite; the byte above them tells more and is cut.
const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;

impl Trouble {
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Busy
            }
            sqlx::Error::Database(error) => {
                Self::of_code(error.code().and_then(|code| code.parse().ok()).unwrap_or(0))
            }
            _ => Self::Other,
        }
    }

    fn of_code(code: i32) -> Self {
        match code & 0xff {
            // A file that was open a moment ago can't be opened when file handles run out.
            SQLITE_BUSY | SQLITE_LOCKED | SQLITE_CANTOPEN => Self::Busy,
            SQLITE_FULL => Self::Full,
            _ => Self::Other,
        }
    }
}

/// The store was closed, or its runtime is shutting down.
pub(crate) fn closed() -> Error {
    Error::Unavailable(BoxError::from("the store is closed"))
}

fn is_unique_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extended_code_counts_as_its_primary_one() {
        // From the list of result codes in SQLite's documentation.
        assert_eq!(Trouble::of_code(517), Trouble::Busy); // SQLITE_BUSY_SNAPSHOT
        assert_eq!(Trouble::of_code(262), Trouble::Busy); // SQLITE_LOCKED_SHAREDCACHE
        assert_eq!(Trouble::of_code(13), Trouble::Full);
        assert_eq!(Trouble::of_code(778), Trouble::Other); // SQLITE_IOERR_WRITE
    }

    #[test]
    fn a_pool_without_a_free_connection_is_worth_another_try() {
        let error = Problem::from(sqlx::Error::PoolTimedOut).into_core();

        assert!(matches!(error, Error::Unavailable(_)));
    }
}
