//! Migrations are done once, whoever does them.

use nexo_core::{
    AppStore as _, KeyRing, NewApp, NewThread, Scope, ServerStore as _, SubscriberStore as _,
    ThreadStore as _,
};
use nexo_store_postgres::{PostgresOptions, PostgresStore};
use sqlx::Row as _;

use crate::common::Database;

#[tokio::test(flavor = "multi_thread")]
async fn four_servers_migrating_at_once_migrate_once() {
    let database = Database::create().await;
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(database.connect().await);
    }

    let migrating: Vec<_> = servers
        .iter()
        .cloned()
        .map(|server| tokio::spawn(async move { server.migrate().await }))
        .collect();
    for migration in migrating {
        migration.await.unwrap().unwrap();
    }

    let done = sqlx::query("select count(*), bool_and(success) from nexo_migrations")
        .fetch_one(servers[0].pool())
        .await
        .unwrap();
    assert_eq!((done.get::<i64, _>(0), done.get::<bool, _>(1)), (5, true));
}

#[tokio::test]
async fn every_table_and_index_bears_our_name() {
    let database = Database::create().await;
    let store = database.connect().await;
    store.migrate().await.unwrap();

    let strangers = sqlx::query(
        "select relname::text from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'i', 'S')
            and relname not like 'nexo\\_%'",
    )
    .fetch_all(store.pool())
    .await
    .unwrap();

    let names: Vec<String> = strangers.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, [""; 0]);
}

/// As where the database is another's: the role may make tables, but no extension.
#[tokio::test]
async fn without_the_right_to_make_extensions_a_search_finds_all_the_same() {
    let database = Database::create().await;
    let owner = database.connect().await;
    sqlx::raw_sql("grant create on schema public to pg_monitor")
        .execute(owner.pool())
        .await
        .unwrap();
    let url = format!("{}&options=-c%20role%3Dpg_monitor", database.url());
    let keys = KeyRing::generate("test");
    let store = PostgresStore::connect(&url, PostgresOptions::new(), keys).await.unwrap();

    store.migrate().await.unwrap();

    let extensions = sqlx::query("select 1 from pg_extension where extname = 'pg_trgm'");
    assert!(extensions.fetch_optional(owner.pool()).await.unwrap().is_none());
    let (scope, new) = (Scope::Everything, NewApp::new("owner".parse().unwrap(), "Shop"));
    let app = store.create_app(new).await.unwrap().id;
    let thread = NewThread { customer_id: Some("Émile".into()), ..NewThread::default() };
    store.create_thread(&scope, app, thread).await.unwrap();
    let found = store.list_subscribers(&scope, app, "éMI", None, 5).await.unwrap();
    assert_eq!(found.items.len(), 1);
}

#[tokio::test]
async fn an_older_server_starts_on_newer_tables() {
    let database = Database::create().await;
    let store = database.connect().await;
    store.migrate().await.unwrap();
    sqlx::query(
        "insert into nexo_migrations (version, description, success, checksum, execution_time)
        values (9999, 'of the future', true, 'x', 0)",
    )
    .execute(store.pool())
    .await
    .unwrap();

    store.migrate().await.unwrap();

    store.ping().await.unwrap();
}
