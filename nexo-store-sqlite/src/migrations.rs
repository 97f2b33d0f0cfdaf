//! Migrations: the files that make the tables, in the executable.

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

use crate::{error::Result, options::SqliteOptions};

/// Its version, its name, and what it does.
type File = (i64, &'static str, &'static str);

const FILES: &[File] = &[
    (1, "foundation", include_str!("../migrations/0001_foundation.sql")),
    (2, "durable_runs", include_str!("../migrations/0002_durable_runs.sql")),
    (3, "inspection", include_str!("../migrations/0003_inspection.sql")),
    (4, "feeds", include_str!("../migrations/0004_feeds.sql")),
    (5, "handlers", include_str!("../migrations/0005_handlers.sql")),
    (6, "heads_first", include_str!("../migrations/0006_heads_first.sql")),
];

/// An embedder that uses sqlx in the same file has a table of the default name already.
const TABLE: &str = "nexo_migrations";

/// Runs what has not been run yet: all of it or nothing, and one process at a time.
pub(crate) async fn run(options: &SqliteOptions) -> Result<()> {
    run_files(options, FILES).await
}

async fn run_files(options: &SqliteOptions, files: &[File]) -> Result<()> {
    let mut connection = options.writing().connect().await?;
    let mut all = connection.begin_with("begin immediate").await?;
    migrator(files).run(&mut *all).await?;
    all.commit().await?;
    Ok(connection.close().await?)
}

fn migrator(files: &[File]) -> Migrator {
    let migrations = files.iter().map(|(version, name, sql)| {
        let sql = AssertSqlSafe(*sql).into_sql_str();
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql, false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

#[cfg(test)]
mod tests {
    use nexo_core::{
        AppId, AppStore, DeliveryFilter, DeliveryStore, Error, KeyRing, NewApp, RunFilter,
        RunState, RunStore, Scope,
    };

    use super::*;
    use crate::{
        SqliteStore,
        testing::{execute, fresh_store},
    };

    #[tokio::test]
    async fn migrating_again_changes_nothing() {
        let (store, _directory) = fresh_store().await;

        store.migrate().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_of_a_newer_version_is_refused() {
        let (store, _directory) = fresh_store().await;
        execute(&store, "update nexo_migrations set version = version + 9000").await;

        let refused = store.migrate().await;

        assert!(matches!(refused, Err(Error::Store(_))));
    }

    /// A file as it was when the first `files` were all there were, with one thread in it.
    async fn file_from_before(files: usize) -> (SqliteStore, tempfile::TempDir, AppId) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nexo.db");
        let store = SqliteStore::open(path, KeyRing::generate("k")).await.unwrap();
        run_files(&store.options, &FILES[..files]).await.unwrap();
        let app = store.create_app(NewApp::new("o".parse().unwrap(), "app")).await.unwrap().id;
        let thread = "insert into nexo_threads (id, app_id, status, created_at, updated_at)
            select randomblob(16), id, 'active', 5, 5 from nexo_apps";
        execute(&store, thread).await;
        (store, directory, app)
    }

    const RUN: &str = "
        insert into nexo_runs (id, app_id, thread_id, agent_id, message_id, message_seq, state,
            attempt, fence, epoch, version, created_at, deadline_at)
        select id, app_id, id, id, id, 1, 'completed', 1, 1, 0, 1, 5, 6 from nexo_threads";

    #[tokio::test]
    async fn a_run_from_before_runs_outlived_their_servers_is_listed() {
        let (store, _directory, app) = file_from_before(1).await;
        execute(&store, RUN).await;

        store.migrate().await.unwrap();

        let all = Scope::Everything;
        let page = store.list_runs(&all, app, &RunFilter::default(), None, 10).await.unwrap();
        let run = &page.items[0];
        assert_eq!((run.state, run.handbacks, run.stop), (RunState::Completed, 0, None));
    }

    #[tokio::test]
    async fn a_delivery_from_before_agents_were_told_apart_went_to_its_runs_agent() {
        let (store, _directory, app) = file_from_before(2).await;
        execute(&store, RUN).await;
        execute(
            &store,
            "insert into nexo_deliveries (id, app_id, run_id, attempt, url, request_headers,
                request_body, response_headers, response_body, response_bytes, started_at,
                ended_micros)
            select id, app_id, id, 1, 'http://a', '[]', x'', '[]', x'', 0, 5, 5 from nexo_runs",
        )
        .await;

        store.migrate().await.unwrap();

        let (all, any) = (Scope::Everything, DeliveryFilter::default());
        let listed = store.list_deliveries(&all, app, &any, None, 5).await.unwrap();
        let whole = store.get_delivery(&all, app, listed.items[0].id).await.unwrap();
        let run = store.get_run(&all, whole.run).await.unwrap();
        assert_eq!((listed.items[0].agent, whole.agent), (run.agent, run.agent));
        assert_eq!(whole.frames.iter().count(), 0);
    }
}
