//! Query plans: what is asked for often seeks in an index and sorts nothing.

use nexo_core::{
    AgentId, AppId, DeliveryFilter, ReplayId, RunFilter, RunId, RunState, Scope, SubscriberId,
    ThreadFilter, ThreadId,
};
use sqlx::{AssertSqlSafe, Row};

use crate::{
    SqliteStore, deliveries, events, feed, idempotency, mails, messages, replays, runs, servers,
    subscribers, testing::fresh_store, threads,
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
    // A list that is given as a parameter is no table.
    let is_given = |step: &str| step == "SCAN CONSTANT ROW" || step.starts_with("SCAN json_each");
    let whole_table = |step: &&String| step.starts_with("SCAN") && !is_given(step);
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
        messages::LAST_BEFORE,
        messages::NEWEST,
        messages::NEWEST_OF_USER,
        runs::GET,
        runs::STANDING,
        runs::ACTIVE,
        runs::DUE,
        runs::HELD,
        runs::RUNNING,
        runs::TOLD,
        runs::IDLE,
        runs::FORGOTTEN,
        threads::GET,
        feed::OWN_VERSION,
        feed::VERSION_OF_SEQ,
        feed::RUNS,
        feed::NEWEST[0],
        deliveries::INSERT,
        deliveries::GET,
        deliveries::PRUNE,
        replays::INSERT,
        replays::GET,
        replays::LIST,
        idempotency::FIND,
        idempotency::PRUNE,
        events::INSERT,
        events::AFTER,
        events::PRUNE,
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

/// Of all runs there ever were, few have not ended.
#[tokio::test]
async fn runs_that_have_ended_are_not_read_by_those_who_look_after_the_others() {
    let (store, _directory) = fresh_store().await;

    for (statement, indexes) in [
        (runs::STANDING, ["nexo_runs_active", "nexo_runs_queued"].as_slice()),
        (runs::IDLE, &["nexo_runs_expiring", "nexo_runs_stop"]),
        (runs::ORPHANS, &["nexo_runs_server"]),
        (runs::FORGOTTEN, &["nexo_runs_due", "nexo_runs_active"]),
        (runs::TOLD, &["nexo_runs_stop"]),
        (runs::DUE, &["nexo_runs_due"]),
        (runs::UNHANDLED, &["nexo_runs_due"]),
    ] {
        let plan = plan(&store, statement).await;
        for index in indexes {
            assert!(plan.iter().any(|step| step.contains(index)), "{index}: {plan:?}");
        }
        let of_runs = plan.iter().filter(|step| step.contains("nexo_runs")).count();
        assert_eq!(of_runs, indexes.len(), "{plan:?}");
    }
}

#[tokio::test]
async fn a_page_of_runs_is_sought_whatever_narrows_it() {
    let (store, _directory) = fresh_store().await;
    let app = AppId::new();
    let any = RunFilter::default();
    let of_thread = RunFilter { thread: Some(ThreadId::new()), states: None };
    let states = Some(vec![RunState::Queued, RunState::Completed]);

    for (filter, index) in [
        (any.clone(), "nexo_runs_app (app_id=? AND id<?)"),
        (RunFilter { states: states.clone(), ..any }, "nexo_runs_app (app_id=? AND id<?)"),
        (of_thread.clone(), "nexo_runs_thread (thread_id=? AND id<?)"),
        (RunFilter { states, ..of_thread }, "nexo_runs_thread (thread_id=? AND id<?)"),
    ] {
        let page = runs::page(&Scope::Everything, app, &filter, None, 20);
        let plan = plan(&store, page.sql().as_str()).await;
        assert_sought(&plan);
        assert!(plan[0].contains(index), "{plan:?}");
    }
}

/// A customer's runs are few; they are sorted, but nobody else's are read.
#[tokio::test]
async fn a_customers_runs_are_sought_by_their_threads() {
    let (store, _directory) = fresh_store().await;
    let app = AppId::new();
    let customer = Scope::Subscriber { app, subscriber: SubscriberId::new() };

    let page = runs::page(&customer, app, &RunFilter::default(), None, 20);

    let plan = plan(&store, page.sql().as_str()).await;
    assert!(plan[0].contains("nexo_runs_thread (thread_id=? AND id<?)"), "{plan:?}");
    assert_eq!(plan.iter().find(|step| step.starts_with("SCAN")), None);
}

#[tokio::test]
async fn what_changed_is_sought_by_its_version() {
    let (store, _directory) = fresh_store().await;
    for (statement, index) in [
        (feed::MESSAGES, "nexo_messages_version (thread_id=? AND version>?)"),
        (feed::RUNS, "nexo_runs_version (thread_id=? AND version>?)"),
        (feed::NEWEST[0], "nexo_threads_list (app_id=?)"),
        (feed::NEWEST[1], "nexo_runs_app (app_id=?)"),
    ] {
        let plan = plan(&store, statement).await;
        assert!(plan.iter().any(|step| step.contains(index)), "{plan:?}");
        let whole = |step: &&String| step.starts_with("SCAN nexo");
        assert_eq!(plan.iter().find(whole), None, "{plan:?}");
    }

    let many: Vec<ThreadId> = (0..3).map(|_| ThreadId::new()).collect();
    assert_sought(&plan(&store, feed::versions(&many).sql().as_str()).await);
}

#[tokio::test]
async fn a_page_of_deliveries_is_sought_whatever_narrows_it() {
    let (store, _directory) = fresh_store().await;
    let any = DeliveryFilter { status: Some(200), ..DeliveryFilter::default() };
    let (run, agent) = (Some(RunId::new()), Some(AgentId::new()));
    let replay = Some(ReplayId::new());

    for (filter, index) in [
        (any, "nexo_deliveries_app (app_id=? AND (started_at,id)<(?,?))"),
        (
            DeliveryFilter { failed: true, agent, ..any },
            "nexo_deliveries_failed (app_id=? AND (started_at,id)<(?,?))",
        ),
        (
            DeliveryFilter { run, agent, failed: true, ..any },
            "nexo_deliveries_run (run_id=? AND (started_at,id)<(?,?))",
        ),
        (
            DeliveryFilter { agent, ..any },
            "nexo_deliveries_agent (agent_id=? AND (started_at,id)<(?,?))",
        ),
        (
            DeliveryFilter { replay, run, failed: true, ..any },
            "nexo_deliveries_replay (replay_id=? AND (started_at,id)<(?,?))",
        ),
    ] {
        let page = deliveries::page(&Scope::Everything, AppId::new(), &filter, None, 20);
        let plan = plan(&store, page.sql().as_str()).await;
        assert_sought(&plan);
        assert!(plan[0].contains(index), "{filter:?}: {plan:?}");
    }
}
