//! Columns: from SQLite's types to the core's.

use nexo_core::{Error, JsonObject, Timestamp};
use sqlx::{Row, sqlite::SqliteRow};
use uuid::Uuid;

use crate::error::{Problem, Result};

/// Reads columns of the core's types.
pub(crate) trait Columns {
    /// An id, made by its type's `from_uuid`.
    fn id<T>(&self, column: &str, make: fn(Uuid) -> T) -> Result<T>;
    fn id_if_any<T>(&self, column: &str, make: fn(Uuid) -> T) -> Result<Option<T>>;
    fn instant(&self, column: &str) -> Result<Timestamp>;
    fn instant_if_any(&self, column: &str) -> Result<Option<Timestamp>>;
    fn object(&self, column: &str) -> Result<JsonObject>;
    /// One of a list of names, looked up by its type's `find`.
    fn name<T>(&self, column: &'static str, find: fn(&str) -> Option<T>) -> Result<T>;
}

impl Columns for SqliteRow {
    fn id<T>(&self, column: &str, make: fn(Uuid) -> T) -> Result<T> {
        Ok(make(self.try_get(column)?))
    }

    fn id_if_any<T>(&self, column: &str, make: fn(Uuid) -> T) -> Result<Option<T>> {
        Ok(self.try_get::<Option<Uuid>, _>(column)?.map(make))
    }

    fn instant(&self, column: &str) -> Result<Timestamp> {
        Ok(Timestamp::from_micros(self.try_get(column)?))
    }

    fn instant_if_any(&self, column: &str) -> Result<Option<Timestamp>> {
        Ok(self.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_micros))
    }

    fn object(&self, column: &str) -> Result<JsonObject> {
        let text: &str = self.try_get(column)?;
        text.parse().map_err(|_| corrupt("JSON object"))
    }

    fn name<T>(&self, column: &'static str, find: fn(&str) -> Option<T>) -> Result<T> {
        find(self.try_get(column)?).ok_or_else(|| corrupt(column))
    }
}

/// A row that this program did not write, or not like that.
pub(crate) fn corrupt(what: &'static str) -> Problem {
    Problem::Core(Error::Corrupt(what))
}
