//! Query plans: what is asked for often seeks in an index and sorts nothing.

use nexo_core::{AppId, KeyRing, Scope, SubscriberId, ThreadFilter};
use sqlx::{AssertSqlSafe, Row};

use crate::{SqliteStore, deliveries, mails, messages, runs, subscribers, threads};

/// Fails if SQLite would read a whole table, or sort, to answer the statement.
async fn assert_sought(store: &SqliteStore, statement: &str) {
    let explain = AssertSqlSafe(format!("explain query plan {statement}"));
    let mut reader = store.reader().await.unwrap();
    let steps = sqlx::query(explain).fetch_all(&mut *reader).await.unwrap();
    for step in steps {
        let step: String = step.get("detail");
        let whole_table = step.starts_with("SCAN") && step != "SCAN CONSTANT ROW";
        assert!(!whole_table && !step.contains("TEMP B-TREE"), "{step}:{statement}");
    }
}

async fn store(directory: &tempfile::TempDir) -> SqliteStore {
    let path = directory.path().join("nexo.db");
    let store = SqliteStore::open(path, KeyRing::generate("k")).await.unwrap();
    store.migrate().await.unwrap();
    store
}

#[tokio::test]
async fn frequent_statements_seek() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory).await;

    for statement in [
        messages::AFTER,
        messages::NEWEST,
        messages::NEWEST_OF_USER,
        runs::ACTIVE,
        runs::FINISHABLE,
        threads::GET,
        threads::OF_SUBSCRIBER,
        deliveries::INSERT,
        mails::DUE,
    ] {
        assert_sought(&store, statement).await;
    }
}

#[tokio::test]
async fn a_page_of_subscribers_is_sought_whatever_is_on_the_pages_before() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory).await;

    assert_sought(&store, subscribers::LIST).await;
}

#[tokio::test]
async fn a_page_of_threads_is_sought_for_every_filter() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory).await;
    let app = AppId::new();
    let everybody = Scope::Everything;
    let customer = Scope::Subscriber { app, subscriber: SubscriberId::new() };
    let one = ThreadFilter { customer_id: Some("c".into()), ..ThreadFilter::default() };

    for (scope, filter) in
        [(&everybody, ThreadFilter::default()), (&everybody, one), (&customer, <_>::default())]
    {
        let page = threads::page(scope, app, &filter, None, 20);
        assert_sought(&store, page.sql().as_str()).await;
    }
}
