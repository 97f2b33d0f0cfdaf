//! Checking that the file is whole.

use nexo_core::{Error, Result};

use crate::{SqliteStore, error::Problem};

/// The first few problems tell enough; a badly damaged file has thousands.
const CHECK: &str = "pragma integrity_check(10)";

const SOUND: &str = "ok";

impl SqliteStore {
    /// Reads the whole file, and tells what is damaged in it; empty if nothing is. Takes as
    /// long as reading the file does, and keeps nobody from working on it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Store`] if the file can't be read.
    pub async fn check_integrity(&self) -> Result<Vec<String>, Error> {
        let mut reader = self.reader().await?;
        let found = sqlx::query_scalar(CHECK).fetch_all(&mut *reader).await;
        let found: Vec<String> = found.map_err(Problem::from)?;
        Ok(found.into_iter().filter(|problem| problem != SOUND).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::fresh_store;

    #[tokio::test]
    async fn a_new_file_is_whole() {
        let (store, _directory) = fresh_store().await;

        assert!(store.check_integrity().await.unwrap().is_empty());
    }
}
