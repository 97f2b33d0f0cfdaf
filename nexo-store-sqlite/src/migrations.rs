//! Migrations: the files that make the tables, in the executable.

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

use crate::{error::Result, options::SqliteOptions};

const FILES: &[(i64, &str, &str)] =
    &[(1, "foundation", include_str!("../migrations/0001_foundation.sql"))];

/// An embedder that uses sqlx in the same file has a table of the default name already.
const TABLE: &str = "nexo_migrations";

/// Runs what has not been run yet: all of it or nothing, and one process at a time.
pub(crate) async fn run(options: &SqliteOptions) -> Result<()> {
    let mut connection = options.writing().connect().await?;
    let mut all = connection.begin_with("begin immediate").await?;
    migrator().run(&mut *all).await?;
    all.commit().await?;
    Ok(connection.close().await?)
}

fn migrator() -> Migrator {
    let migrations = FILES.iter().map(|(version, name, sql)| {
        let sql = AssertSqlSafe(*sql).into_sql_str();
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql, false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

#[cfg(test)]
mod tests {
    use nexo_core::Error;

    use crate::testing::{execute, fresh_store};

    #[tokio::test]
    async fn migrating_again_changes_nothing() {
        let (store, _directory) = fresh_store().await;

        store.migrate().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_of_a_newer_version_is_refused() {
        let (store, _directory) = fresh_store().await;
        execute(&store, "update nexo_migrations set version = 9999").await;

        let refused = store.migrate().await;

        assert!(matches!(refused, Err(Error::Store(_))));
    }
}
