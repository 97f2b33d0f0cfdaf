//! Rows: what the statements of all nouns have in common.
//!
//! Columns are read by position. Each noun has its list of columns as a macro, so that a
//! statement can ask for several nouns at once, and reads them back in the same order.

use std::time::Duration;

use nexo_core::{Error, JsonObject, Result, Timestamp};
use sqlx::{
    Decode, Postgres, Row as _, Type, ValueRef as _,
    postgres::{PgRow, types::PgInterval},
    types::{Json, time::OffsetDateTime},
};

use crate::error::before_commit;

/// `columns!("a": "id", "name")` is `"a.id, a.name"`.
macro_rules! columns {
    ($table:literal: $first:literal $(, $name:literal)* $(,)?) => {
        concat!($table, ".", $first $(, ", ", $table, ".", $name)*)
    };
}

/// Whether the app's row `$table` lies within the scope of [`crate::scoped`].
///
/// This and `sees_subscriber!` are the same rule as `Scope::sees_app` and
/// `Scope::sees_subscriber`: every statement that serves a request has them.
macro_rules! sees_app {
    ($table:literal) => {
        concat!(
            "($1::text is null or ",
            $table,
            ".owner = $1) ",
            "and ($2::uuid is null or ",
            $table,
            ".id = $2)"
        )
    };
}

/// Whether what belongs to the subscriber in `$column` lies within the scope.
macro_rules! sees_subscriber {
    ($column:literal) => {
        concat!("($3::uuid is null or ", $column, " = $3)")
    };
}

/// Reads the columns of a row, one after the other.
pub(crate) struct Columns<'r> {
    row: &'r PgRow,
    next: usize,
}

impl<'r> Columns<'r> {
    pub(crate) const fn of(row: &'r PgRow) -> Self {
        Self { row, next: 0 }
    }

    pub(crate) fn take<T: Decode<'r, Postgres> + Type<Postgres>>(&mut self) -> Result<T> {
        let value = self.row.try_get(self.next).map_err(before_commit)?;
        self.next += 1;
        Ok(value)
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp> {
        self.take().map(Timestamp::from_datetime)
    }

    pub(crate) fn optional_time(&mut self) -> Result<Option<Timestamp>> {
        let time: Option<OffsetDateTime> = self.take()?;
        Ok(time.map(Timestamp::from_datetime))
    }

    pub(crate) fn object(&mut self) -> Result<JsonObject> {
        self.take().map(|Json(object)| object)
    }

    /// Leaves out the next `count` columns.
    pub(crate) fn skip(&mut self, count: usize) {
        self.next += count;
    }

    /// Whether an outer join found nothing for the columns that come next: they begin with an
    /// id, which is never null otherwise.
    pub(crate) fn is_absent(&self) -> Result<bool> {
        let next = self.row.try_get_raw(self.next).map_err(before_commit)?;
        Ok(next.is_null())
    }
}

/// An instant out of a cursor, which a client may have made by hand: one outside the years that
/// PostgreSQL and the `time` crate both know is in no list.
pub(crate) fn cursor_time(micros: i64) -> Result<OffsetDateTime> {
    let time = Timestamp::from_micros(micros).as_datetime();
    let is_exact = Timestamp::from_datetime(time).as_micros() == micros;
    if is_exact && time.year() > 0 { Ok(time) } else { Err(Error::InvalidCursor) }
}

/// A duration as an interval; the longest there is if it is too long.
pub(crate) fn interval(duration: Duration) -> PgInterval {
    let microseconds = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).min(LONGEST_MICROS);
    PgInterval { months: 0, days: 0, microseconds }
}

/// The same duration; the longest that [`interval`] gives if it is longer.
pub(crate) fn bounded(duration: Duration) -> Duration {
    duration.min(Duration::from_micros(LONGEST_MICROS.unsigned_abs()))
}

/// A thousand years: added to any time of ours it is still one that PostgreSQL and the `time`
/// crate can hold.
pub(crate) const LONGEST_MICROS: i64 = 1_000 * 366 * 24 * 3_600 * 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_duration_becomes_the_longest_interval() {
        assert_eq!(interval(Duration::MAX).microseconds, LONGEST_MICROS);
        assert_eq!(interval(Duration::from_millis(5)).microseconds, 5_000);
    }

    #[test]
    fn a_cursor_beyond_the_known_years_is_refused() {
        for micros in [i64::MIN, -100_000_000_000_000_000, i64::MAX] {
            assert!(matches!(cursor_time(micros), Err(Error::InvalidCursor)), "{micros}");
        }
        assert_eq!(cursor_time(-1).unwrap().microsecond(), 999_999);
    }
}
