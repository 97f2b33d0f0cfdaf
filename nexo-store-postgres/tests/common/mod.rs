//! A database for each test, on the server that `TEST_DATABASE_URL` names.

use nexo_core::KeyRing;
use nexo_store_postgres::{PostgresOptions, PostgresStore};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// A database that goes when it is dropped.
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Makes an empty database.
    pub(crate) async fn create() -> Self {
        let server = std::env::var("TEST_DATABASE_URL").unwrap_or_default();
        assert!(
            !server.is_empty(),
            "TEST_DATABASE_URL is not set; run: scripts/with-postgres cargo test -p nexo-store-postgres"
        );
        let name = format!("nexo_test_{}", uuid::Uuid::now_v7().simple());
        execute(&server, format!("create database {name}")).await;
        Self { server, name }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        let (server, query) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let (server, _) = server.rsplit_once('/').expect("the URL names a database");
        format!("{server}/{}?{query}", self.name)
    }

    /// A store on it, on few connections: many tests run at once.
    pub(crate) async fn connect(&self) -> PostgresStore {
        let options = PostgresOptions::new().with_max_connections(5);
        PostgresStore::connect(&self.url(), options, KeyRing::generate("test")).await.unwrap()
    }
}

/// On a thread with a runtime of its own, since what is dropped can't wait.
impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .unwrap()
                .block_on(execute(&server, format!("drop database {name} with (force)")));
        });
        // A test that failed already is not to be stopped by a second panic.
        let _ = dropping.join();
    }
}

/// Runs a statement as the owner of the server.
async fn execute(server: &str, sql: String) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// An empty store, and its database.
pub(crate) async fn fresh_store() -> (PostgresStore, Database) {
    let database = Database::create().await;
    let store = database.connect().await;
    store.migrate().await.unwrap();
    (store, database)
}
