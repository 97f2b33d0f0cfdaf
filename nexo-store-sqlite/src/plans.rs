//! Query plans: what is asked for often seeks in an index and sorts nothing.

use nexo_core::{AppId, Scope, SubscriberId, ThreadFilter};
use sqlx::{AssertSqlSafe, Row};

use crate::{
    SqliteStore, deliveries, mails, messages, runs, servers, subscribers, testing::fresh_store,
    threads,
};

/// How SQLite answers the statement, step by step.
async fn plan(store: &SqliteStore, statement: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("explain query plan {statement}"));
    let mut reader = store.reader().await.unwrap();
    let steps = sqlx::query(explain).fetch_all(&mut *reader).await.unwrap();
    steps.iter().map(|step| step.get("detail")).collect()
}

/// Fails if a whole table is read, or sorted.
fn assert_sought(plan: &[String]) {
    let whole_table = |step: &&String| step.starts_with("SCAN") && *step != "SCAN CONSTANT ROW";
    assert_eq!(plan.iter().find(whole_table), None);
    assert_eq!(plan.iter().find(|step| step.contains("TEMP B-TREE")), None);
}

/// Fails if what is on the pages before would be read as well.
fn assert_page_is_sought(plan: &[String], keyset: &str) {
    assert_sought(plan);
    assert!(plan[0].contains(&format!("({keyset})<(")), "{plan:?}");
}

#[tokio::test]
async fn frequent_statements_seek() {
    let (store, _directory) = fresh_store().await;

    for statement in [
        messages::AFTER,
        messages::NEWEST,
        messages::NEWEST_OF_USER,
        runs::ACTIVE,
        runs::FINISHABLE,
        threads::GET,
        deliveries::INSERT,
        deliveries::PRUNE,
        mails::DUE,
        servers::END_SECRETS,
        servers::END_KEYS,
    ] {
        assert_sought(&plan(&store, statement).await);
    }
}

#[tokio::test]
async fn a_page_of_subscribers_is_sought() {
    let (store, _directory) = fresh_store().await;

    let plan = plan(&store, subscribers::LIST).await;

    assert_page_is_sought(&plan, "spoke_at,created_at,id");
}

#[tokio::test]
async fn a_page_of_threads_is_sought_whatever_narrows_it() {
    let (store, _directory) = fresh_store().await;
    let app = AppId::new();
    let customer = Scope::Subscriber { app, subscriber: SubscriberId::new() };
    let any = ThreadFilter::default();
    let one = ThreadFilter { customer_id: Some("c".into()), ..any.clone() };

    assert_page_is_sought(&plan(&store, threads::OF_SUBSCRIBER).await, "updated_at,id");
    for (scope, filter) in
        [(&Scope::Everything, &any), (&Scope::Everything, &one), (&customer, &any)]
    {
        let page = threads::page(scope, app, filter, None, 20);
        assert_page_is_sought(&plan(&store, page.sql().as_str()).await, "updated_at,id");
    }
}
