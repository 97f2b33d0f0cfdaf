//! How the database goes about the lists, by its own account, when there is much to list.

use nexo_core::{
    AppStore as _, Cursor, KeyRing, MessageRange, MessageStore as _, NewApp, Scope, SubscriberId,
    SubscriberStore as _, ThreadFilter, ThreadId, ThreadStore as _,
};
use nexo_store_postgres::{PostgresOptions, PostgresStore};
use sqlx::Row as _;
use uuid::Uuid;

use crate::{common::Database, common::fresh_store, room::owner, watch::Watch};

/// The server explains each statement of these connections in a notice, as it was really run.
const EXPLAINED: &str = "-c session_preload_libraries=auto_explain \
    -c auto_explain.log_min_duration=0 -c auto_explain.log_analyze=on \
    -c auto_explain.log_level=notice -c client_min_messages=notice -c jit=off";

/// An app with 20,000 customers of one thread each, of whom half never said anything; and
/// 20,000 messages in one of the threads.
async fn crowd() -> (PostgresStore, Database, nexo_core::AppId) {
    let (store, database) = fresh_store().await;
    let app = store.create_app(NewApp::new(owner(), "Shop")).await.unwrap();
    sqlx::raw_sql(
        "insert into nexo_subscribers
            (id, app_id, customer_id, display_name, metadata, created_at, last_message_at)
        select gen_random_uuid(), a.id, 'c' || n, 'c' || n, '{}', now() - n * interval '1 s',
            case when n % 2 = 0 then now() - n * interval '1 s' end
        from nexo_apps a, generate_series(1, 20000) n;

        insert into nexo_subscriber_names (subscriber_id, app_id, search)
        select id, app_id, md5(customer_id) || ' ' || customer_id from nexo_subscribers;

        insert into nexo_threads (id, app_id, subscriber_id, status, customer_id, next_seq,
            last_message_at, last_message_preview, created_at, updated_at)
        select gen_random_uuid(), app_id, id, 'active', customer_id,
            case when customer_id = 'c2' then 20001 else 1 end, last_message_at, 'hello',
            created_at, created_at
        from nexo_subscribers;

        insert into nexo_messages
            (id, app_id, thread_id, seq, role, content, content_json, version, created_at)
        select gen_random_uuid(), app_id, id, n, 'user', 'hello', '{}', n, now()
        from nexo_threads, generate_series(1, 20000) n where customer_id = 'c2'",
    )
    .execute(store.pool())
    .await
    .unwrap();
    sqlx::raw_sql("vacuum analyze").execute(store.pool()).await.unwrap();
    (store, database, app.id)
}

/// A store whose statements are explained.
pub(crate) async fn explained(database: &Database) -> PostgresStore {
    let options = EXPLAINED.replace(' ', "%20").replace('=', "%3D");
    let url = format!("{}&options={options}", database.url());
    let one = PostgresOptions::new().with_max_connections(1);
    PostgresStore::connect(&url, one, KeyRing::generate("test")).await.unwrap()
}

/// The thread and the subscriber of the customer whose name this is.
async fn find(store: &PostgresStore, customer: &str) -> (ThreadId, SubscriberId) {
    let sql = "select id, subscriber_id from nexo_threads where customer_id = $1";
    let row = sqlx::query(sql).bind(customer).fetch_one(store.pool()).await.unwrap();
    (ThreadId::from_uuid(row.get::<Uuid, _>(0)), SubscriberId::from_uuid(row.get::<Uuid, _>(1)))
}

const TABLES: [&str; 7] = [
    "nexo_subscribers",
    "nexo_subscriber_names",
    "nexo_threads",
    "nexo_messages",
    "nexo_runs",
    "nexo_deliveries",
    "nexo_replays",
];

/// That the plans read no table from end to end.
pub(crate) fn assert_no_scan(plans: &[String], what: &str) {
    assert!(!plans.is_empty(), "{what}: no plan was shown");
    for plan in plans {
        for table in TABLES {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{what}: {plan}");
        }
    }
}

/// That the plans read what they show, and nothing that they don't.
pub(crate) fn assert_indexed(plans: &[String], what: &str) {
    assert_no_scan(plans, what);
    for plan in plans {
        assert!(!plan.contains("Rows Removed by Filter"), "{what} skips rows: {plan}");
    }
}

/// More often than the server plans anew for each set of parameters.
pub(crate) const TIMES: usize = 8;

#[tokio::test]
async fn lists_of_threads_use_an_index_at_any_depth() {
    let (_, database, app) = crowd().await;
    let store = explained(&database).await;
    let (_, subscriber) = find(&store, "c2").await;
    let customer = ThreadFilter { customer_id: Some("c77".into()), ..ThreadFilter::default() };
    let own = Scope::Subscriber { app, subscriber };
    let watch = Watch::begin();

    for (what, scope, filter) in [
        ("all threads", &Scope::Owner(owner()), &ThreadFilter::default()),
        ("a customer's threads", &Scope::Everything, &customer),
        ("a subscriber's own threads", &own, &ThreadFilter::default()),
    ] {
        let mut cursor: Option<Cursor> = None;
        for _ in 0..TIMES {
            let page = store.list_threads(scope, app, filter, cursor.as_ref(), 50).await.unwrap();
            assert_indexed(&watch.notices(), what);
            cursor = page.next;
        }
    }
}

#[tokio::test]
async fn lists_of_subscribers_use_an_index_at_any_depth() {
    let (_, database, app) = crowd().await;
    let store = explained(&database).await;
    let scope = Scope::Owner(owner());
    let watch = Watch::begin();

    let (mut cursor, mut pages, mut count) = (None::<Cursor>, 0, 0);
    loop {
        let page = store.list_subscribers(&scope, app, "", cursor.as_ref(), 2_000).await.unwrap();
        assert_indexed(&watch.notices(), "subscribers");
        (pages, count) = (pages + 1, count + page.items.len());
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }

    assert_eq!((pages, count), (10, 20_000));
}

#[tokio::test]
async fn a_search_for_a_rare_name_uses_an_index() {
    let (_, database, app) = crowd().await;
    let store = explained(&database).await;
    let watch = Watch::begin();

    let page = store.list_subscribers(&Scope::Everything, app, "C19999", None, 50).await.unwrap();

    assert_eq!(page.items.len(), 1);
    let plans = watch.notices();
    assert!(plans.iter().any(|plan| plan.contains("nexo_subscriber_names_search")), "{plans:?}");
    assert_no_scan(&plans, "search");
}

#[tokio::test]
async fn a_subscribers_threads_and_messages_use_an_index() {
    let (_, database, app) = crowd().await;
    let store = explained(&database).await;
    let (thread, subscriber) = find(&store, "c2").await;
    let scope = Scope::Owner(owner());
    let watch = Watch::begin();

    for n in 1..=TIMES {
        store.list_subscriber_threads(&scope, app, subscriber, None, 50).await.unwrap();
        assert_indexed(&watch.notices(), "a subscriber's threads");

        let seq = i64::try_from(n * 2_000).unwrap();
        for range in [MessageRange::Newest { before: Some(seq) }, MessageRange::After(seq)] {
            store.list_messages(&scope, app, thread, range, 50).await.unwrap();
            assert_indexed(&watch.notices(), "messages");
        }
    }
}
