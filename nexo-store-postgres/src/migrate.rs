//! Migrations: the tables, and how they come to be what this version needs.

use std::time::Duration;

use nexo_core::{Error, Result};
use sqlx::{
    Connection as _, SqlSafeStr as _,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use crate::{PostgresStore, error::before_commit, patience};

/// How long a migration may take, with the wait for another server's. Even indexes of very big
/// tables are made by then.
const MIGRATION: Duration = Duration::from_secs(6 * 3_600);

/// Every migration there is: never changed once it was released.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "foundation", include_str!("../migrations/0001_foundation.sql")),
    (2, "durable runs", include_str!("../migrations/0002_durable_runs.sql")),
    (3, "inspection", include_str!("../migrations/0003_inspection.sql")),
    (4, "feeds", include_str!("../migrations/0004_feeds.sql")),
    (5, "handlers", include_str!("../migrations/0005_handlers.sql")),
];

impl PostgresStore {
    /// Brings the tables to what this version needs. Several servers may do it at once: one
    /// works and the others wait. What was done is kept in the table `nexo_migrations`, so
    /// that the tables may live beside an application's own.
    ///
    /// # Errors
    ///
    /// [`nexo_core::Error::Store`] if a migration that was done is not the one known here, or
    /// the role may not create tables; [`nexo_core::Error::Unavailable`] if the database can't
    /// be reached.
    pub async fn migrate(&self) -> Result<()> {
        // On a connection that does not go back: waiting for another server's migration, and
        // the migration itself, may take longer than a request would.
        let mut connection = self.pool.acquire().await.map_err(before_commit)?.detach();
        let unlimited = sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0");
        let done = patience::within(self.patience, unlimited.execute(&mut connection)).await;
        done.map_err(before_commit)?;
        let migrator = migrator();
        let migrated = migrator.run_direct(None, &mut connection, false);
        patience::within(MIGRATION, migrated).await.map_err(from_migration)?;
        patience::within(self.patience, connection.close()).await.map_err(before_commit)
    }
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.iter().map(|(version, description, sql)| {
        Migration::new(
            *version,
            (*description).into(),
            MigrationType::Simple,
            (*sql).into_sql_str(),
            false,
        )
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name("nexo_migrations");
    // While servers are replaced one by one, older ones start on newer tables.
    migrator.set_ignore_missing(true);
    migrator
}

fn from_migration(error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => {
            before_commit(cause)
        }
        other => Error::Store(Box::new(other)),
    }
}
