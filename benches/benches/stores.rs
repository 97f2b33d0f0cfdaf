//! The stores that are measured, each in a place of its own that goes when it is dropped.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Once},
};

use nexo_core::{
    App, KeyRing, MemoryStore, NewApp, NewMessage, NewThread, Role, Scope, Store, Thread,
};
use nexo_store_postgres::{PostgresOptions, PostgresStore};
use nexo_store_sqlite::SqliteStore;
use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Where everything is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Sqlite,
    Postgres,
}

impl Kind {
    /// The kinds that can be measured here.
    pub(crate) fn all() -> Vec<Self> {
        let mut kinds = vec![Self::Memory, Self::Sqlite];
        kinds.extend(server().map(|_| Self::Postgres));
        kinds
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// The database server to measure on, if there is one.
fn server() -> Option<String> {
    static SAID: Once = Once::new();
    let server = std::env::var("TEST_DATABASE_URL").ok().filter(|url| !url.is_empty());
    if server.is_none() {
        SAID.call_once(|| {
            eprintln!(
                "TEST_DATABASE_URL is not set, so PostgreSQL is left out; to measure it as well: \
                 scripts/with-postgres cargo bench -p nexo-bench"
            );
        });
    }
    server
}

/// Where futures of a bench run.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be made")
}

/// A store with one app.
pub(crate) struct Desk {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) app: App,
    pub(crate) scope: Scope,
    place: Place,
}

/// What the store is in.
enum Place {
    Nowhere,
    File(TempDir),
    Database(Database),
}

/// A connection beside the store's, for what no method of a store does.
pub(crate) enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Desk {
    pub(crate) async fn open(kind: Kind) -> Self {
        let (store, place) = open(kind).await;
        let new = NewApp::new("bakery".parse().expect("it is short"), "Bakery desk");
        let app = store.create_app(new).await.expect("a new store takes an app");
        let scope = Scope::App(app.id);
        Self { store, app, scope, place }
    }

    pub(crate) async fn new_thread(&self) -> Thread {
        let new = NewThread { customer_id: Some("c-1".into()), ..NewThread::default() };
        let created = self.store.create_thread(&self.scope, self.app.id, new).await;
        created.expect("the app is there").0
    }

    pub(crate) async fn say(&self, thread: &Thread) {
        let message = NewMessage::new(Role::User, "Is the rye bread vegan?");
        let said = self.store.append_message(&self.scope, self.app.id, thread.id, message).await;
        said.expect("the thread is there");
    }

    /// So that a long measurement does not measure an ever larger store.
    pub(crate) async fn forget(&self, thread: &Thread) {
        self.store.delete_thread(&self.scope, thread.id).await.expect("the thread is there");
    }

    /// A connection of its own to the same database, as durable as the store's; none to memory.
    pub(crate) async fn raw(&self) -> Option<Raw> {
        match &self.place {
            Place::Nowhere => None,
            Place::File(directory) => {
                let options = SqliteConnectOptions::new()
                    .filename(file(directory.path()))
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full);
                let connection = SqliteConnection::connect_with(&options).await;
                Some(Raw::Sqlite(connection.expect("the file is there")))
            }
            Place::Database(database) => Some(Raw::Postgres(connect(&database.url()).await)),
        }
    }
}

async fn open(kind: Kind) -> (Arc<dyn Store>, Place) {
    let keys = KeyRing::generate("bench");
    match kind {
        Kind::Memory => (Arc::new(MemoryStore::new()), Place::Nowhere),
        Kind::Sqlite => {
            let directory = tempfile::tempdir().expect("a directory can be made");
            let opened = SqliteStore::open(file(directory.path()), keys).await;
            let store = opened.expect("the file can be made");
            store.migrate().await.expect("a new file takes the tables");
            (Arc::new(store), Place::File(directory))
        }
        Kind::Postgres => {
            let database = Database::create().await;
            let options = PostgresOptions::new();
            let connected = PostgresStore::connect(&database.url(), options, keys).await;
            let store = connected.expect("the database is there");
            store.migrate().await.expect("a new database takes the tables");
            (Arc::new(store), Place::Database(database))
        }
    }
}

fn file(directory: &Path) -> PathBuf {
    directory.join("nexo.db")
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the database can be reached")
}

/// A database that goes when it is dropped.
struct Database {
    server: String,
    name: String,
}

impl Database {
    async fn create() -> Self {
        let server = server().expect("it is measured only if there is one");
        let name = format!("nexo_bench_{}", uuid::Uuid::now_v7().simple());
        execute(&server, format!("create database {name}")).await;
        Self { server, name }
    }

    fn url(&self) -> String {
        let (server, query) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let (server, _) = server.rsplit_once('/').expect("the URL names a database");
        format!("{server}/{}?{query}", self.name)
    }
}

/// On a thread with a runtime of its own, since what is dropped can't wait.
impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let drop = execute(&server, format!("drop database {name} with (force)"));
            runtime().block_on(drop);
        });
        if dropping.join().is_err() {
            eprintln!("the database {} is left behind", self.name);
        }
    }
}

async fn execute(server: &str, sql: String) {
    let mut connection = connect(server).await;
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
    done.expect("the server's owner may do that");
}
