//! Errors: what a failure of the database means for whoever asked.
//!
//! Decided by SQLSTATE and kind, never by text, which depends on the server's language.

use nexo_core::Error;
use sqlx::error::{DatabaseError, ErrorKind};

use crate::Transaction;

/// An error of a statement that wrote nothing: it only reads, or its transaction was not
/// about to commit.
pub(crate) fn before_commit(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Error::Unavailable(Box::new(error)),
        sqlx::Error::Database(cause) => match meaning(cause.as_ref()) {
            Meaning::Unavailable | Meaning::Broken => Error::Unavailable(Box::new(error)),
            Meaning::Full => Error::Full(Box::new(error)),
            Meaning::Other => Error::Store(Box::new(error)),
        },
        _ => Error::Store(Box::new(error)),
    }
}

/// An error of a statement that commits: by itself, or because it is the `commit`. If the
/// connection is lost then, nobody knows whether it came to that.
pub(crate) fn at_commit(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Io(_) => Error::OutcomeUnknown(Box::new(error)),
        sqlx::Error::Database(cause) if matches!(meaning(cause.as_ref()), Meaning::Broken) => {
            Error::OutcomeUnknown(Box::new(error))
        }
        _ => before_commit(error),
    }
}

/// Commits.
pub(crate) async fn commit(transaction: Transaction) -> Result<(), Error> {
    transaction.commit().await.map_err(at_commit)
}

/// Whether a statement waited too long for a lock that somebody else has.
pub(crate) fn is_locked(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|cause| cause.code().as_deref() == Some("55P03"))
}

/// Whether a row was refused because another has the same value under this constraint.
pub(crate) fn is_taken(error: &sqlx::Error, constraint: &str) -> bool {
    error.as_database_error().is_some_and(|cause| {
        cause.kind() == ErrorKind::UniqueViolation && cause.constraint() == Some(constraint)
    })
}

/// Whether a row was refused because what it belongs to is gone.
pub(crate) fn is_orphan(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|cause| cause.kind() == ErrorKind::ForeignKeyViolation)
}

enum Meaning {
    /// Trying again later helps; nothing was written.
    Unavailable,
    /// The server broke down, or the way to it, at any point of what it was doing.
    Broken,
    /// There is no space left.
    Full,
    Other,
}

fn meaning(cause: &dyn DatabaseError) -> Meaning {
    match cause.code().as_deref() {
        Some("57P02") => Meaning::Broken,
        // Disk full, out of memory.
        Some("53100" | "53200") => Meaning::Full,
        // Shutting down, starting up, idle for too long, also within a transaction, which is
        // taken back then; too many connections; waited too long for a lock or for the answer; a
        // deadlock or a conflict, of which this was the victim; read-only, as a standby is until
        // it takes over.
        Some(
            "57P01" | "57P03" | "57P05" | "25P03" | "53300" | "55P03" | "57014" | "40001" | "40P01"
            | "25006",
        ) => Meaning::Unavailable,
        // There was no connection yet.
        Some("08001" | "08004") => Meaning::Unavailable,
        // The rest of the class of failed connections: a pooler says so, too, when it has lost
        // the server in the middle of a statement.
        Some(code) if code.starts_with("08") => Meaning::Broken,
        _ => Meaning::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, error::Error as StdError, fmt};

    use nexo_core::ErrorKind as Kind;

    use super::*;

    #[derive(Debug)]
    struct Reported(&'static str);

    impl fmt::Display for Reported {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("in whatever language")
        }
    }

    impl StdError for Reported {}

    impl DatabaseError for Reported {
        fn message(&self) -> &str {
            "in whatever language"
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }

        fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    fn reported(code: &'static str) -> sqlx::Error {
        sqlx::Error::Database(Box::new(Reported(code)))
    }

    /// The codes and their names are from the manual's appendix of error codes.
    #[test]
    fn a_code_tells_whether_trying_again_helps() {
        for (code, name, kind) in [
            ("08001", "sqlclient_unable_to_establish_sqlconnection", Kind::Unavailable),
            ("25006", "read_only_sql_transaction", Kind::Unavailable),
            ("25P03", "idle_in_transaction_session_timeout", Kind::Unavailable),
            ("40001", "serialization_failure", Kind::Unavailable),
            ("40P01", "deadlock_detected", Kind::Unavailable),
            ("53100", "disk_full", Kind::Full),
            ("53200", "out_of_memory", Kind::Full),
            ("53300", "too_many_connections", Kind::Unavailable),
            ("55P03", "lock_not_available", Kind::Unavailable),
            ("57014", "query_canceled", Kind::Unavailable),
            ("57P01", "admin_shutdown", Kind::Unavailable),
            ("57P03", "cannot_connect_now", Kind::Unavailable),
            ("42601", "syntax_error", Kind::Internal),
        ] {
            assert_eq!(before_commit(reported(code)).kind(), kind, "{name}");
            assert_eq!(at_commit(reported(code)).kind(), kind, "{name}");
        }
    }

    #[test]
    fn what_breaks_at_the_commit_leaves_the_outcome_unknown() {
        for (code, name) in [
            ("57P02", "crash_shutdown"),
            ("08006", "connection_failure"),
            ("08P01", "protocol_violation, which is what PgBouncer says of a lost server"),
        ] {
            assert_eq!(before_commit(reported(code)).kind(), Kind::Unavailable, "{name}");
            assert_eq!(at_commit(reported(code)).kind(), Kind::OutcomeUnknown, "{name}");
        }
    }
}
