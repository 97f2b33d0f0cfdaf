//! How the database goes about runs, by its own account, when there are many.

use std::time::Duration;

use nexo_core::{
    AppId, AppStore as _, Cursor, EventStore as _, FollowRun, NewApp, RunFilter, RunState,
    RunStore as _, Said, Scope, Segment, ServerId, StartedRun, Stop, SubscriberId, ThreadId,
};
use nexo_store_postgres::PostgresStore;
use sqlx::Row as _;
use uuid::Uuid;

use crate::{
    common::{Database, fresh_store},
    plans::{TIMES, assert_indexed, assert_no_scan, explained},
    room::{answer, claim, owner, sweep, wish},
    watch::Watch,
};

/// Two apps with 3,000 threads each. Every thread had five runs, and the first one of each app
/// 10,000. Some of each app's are waiting, a few of them with ten runs behind. And many more apps
/// in which nothing happens.
async fn crowd() -> (PostgresStore, Database, AppId) {
    let (store, database) = fresh_store().await;
    store.create_app(NewApp::new(owner(), "Other")).await.unwrap();
    let app = store.create_app(NewApp::new(owner(), "Shop")).await.unwrap();
    sqlx::raw_sql(
        "insert into nexo_subscribers (id, app_id, customer_id, metadata, created_at)
        select gen_random_uuid(), a.id, 'c' || n, '{}', now()
        from nexo_apps a, generate_series(1, 3000) n;

        insert into nexo_apps (id, owner, name, config, default_agent_id, created_at, updated_at)
        select gen_random_uuid(), 'other', 'Idle', '{}', gen_random_uuid(), now(), now()
        from generate_series(1, 2000);

        insert into nexo_threads (id, app_id, subscriber_id, status, customer_id, next_seq,
            created_at, updated_at)
        select gen_random_uuid(), app_id, id, 'active', customer_id, 2, now(), now()
        from nexo_subscribers;

        insert into nexo_messages
            (id, app_id, thread_id, seq, role, content, content_json, version, created_at)
        select gen_random_uuid(), app_id, id, 1, 'user', 'hello', '{}', 1, now()
        from nexo_threads;

        create function more_runs(which text, wanted_state text, count integer) returns void
        language sql as $$
            insert into nexo_runs (id, app_id, thread_id, agent_id, message_id, message_seq, state,
                attempt, fence, epoch, version, created_at, deadline_at)
            select gen_random_uuid(), t.app_id, t.id, a.default_agent_id, m.id, 1, wanted_state,
                1, 1, 0, 1, now(), now() + interval '1 hour'
            from nexo_threads t
            join nexo_apps a on a.id = t.app_id
            join nexo_messages m on m.thread_id = t.id
            cross join generate_series(1, count)
            where t.customer_id ~ which
        $$;
        select more_runs('.', 'completed', 5);
        select more_runs('^c1$', 'completed', 10000);
        select more_runs('^c10.$', 'waiting', 1);
        select more_runs('^c10.$', 'queued', 10);
        select more_runs('^c2..$', 'waiting', 1)",
    )
    .execute(store.pool())
    .await
    .unwrap();
    sqlx::raw_sql("vacuum analyze").execute(store.pool()).await.unwrap();
    (store, database, app.id)
}

/// The thread of a customer, and the customer.
async fn find(store: &PostgresStore, app: AppId, customer: &str) -> (ThreadId, SubscriberId) {
    let sql = "select id, subscriber_id from nexo_threads where app_id = $1 and customer_id = $2";
    let query = sqlx::query(sql).bind(app.as_uuid()).bind(customer);
    let row = query.fetch_one(store.pool()).await.unwrap();
    (ThreadId::from_uuid(row.get::<Uuid, _>(0)), SubscriberId::from_uuid(row.get::<Uuid, _>(1)))
}

#[tokio::test]
async fn lists_of_runs_use_an_index_at_any_depth() {
    let (plain, database, app) = crowd().await;
    let store = explained(&database).await;
    let (thread, subscriber) = find(&plain, app, "c1").await;
    let of_thread = RunFilter { thread: Some(thread), states: None };
    let own = Scope::Subscriber { app, subscriber };
    let watch = Watch::begin();

    for (what, scope, filter) in [
        ("all runs", &Scope::Owner(owner()), &RunFilter::default()),
        ("a thread's runs", &Scope::Everything, &of_thread),
        ("a thread's runs, as its subscriber", &own, &of_thread),
        ("a subscriber's own runs", &own, &RunFilter::default()),
    ] {
        let mut cursor: Option<Cursor> = None;
        for _ in 0..TIMES {
            let page = store.list_runs(scope, app, filter, cursor.as_ref(), 50).await.unwrap();
            assert_eq!(page.items.len(), 50);
            assert_indexed(&watch.notices(), what);
            cursor = page.next;
        }
    }
}

#[tokio::test]
async fn a_few_runs_of_one_state_are_found_by_an_index() {
    let (plain, database, app) = crowd().await;
    let store = explained(&database).await;
    let (thread, _) = find(&plain, app, "c1").await;
    let states = Some(vec![RunState::Failed]);
    let filter = RunFilter { thread: Some(thread), states };
    let watch = Watch::begin();

    for _ in 0..TIMES {
        let page = store.list_runs(&Scope::Everything, app, &filter, None, 50).await.unwrap();
        assert!(page.items.is_empty());
        assert_no_scan(&watch.notices(), "runs of one state");
    }
}

#[tokio::test]
async fn looking_for_what_is_to_be_done_uses_an_index() {
    let (_, database, _) = crowd().await;
    let store = explained(&database).await;
    let watch = Watch::begin();

    for _ in 0..TIMES {
        assert!(store.claim_runs(claim()).await.unwrap().is_empty());
        assert_indexed(&watch.notices(), "nothing to claim");

        assert!(store.sweep_runs(sweep()).await.unwrap().queued.is_empty());
        assert_no_scan(&watch.notices(), "nothing to sweep");

        assert!(store.stopped_runs(ServerId::new()).await.unwrap().is_empty());
        assert_indexed(&watch.notices(), "no run that has to stop");
    }
}

#[tokio::test]
async fn starting_and_queueing_runs_uses_an_index() {
    let (plain, database, app) = crowd().await;
    let store = explained(&database).await;
    let watch = Watch::begin();

    for (first, what) in [(10, "start"), (200, "queue behind another")] {
        for customer in (0..TIMES).map(|n| format!("c{}", first + n)) {
            let (thread, _) = find(&plain, app, &customer).await;
            let started = store.start_run(&Scope::Everything, wish(app, thread)).await.unwrap();
            assert_eq!(matches!(started, StartedRun::Started(_)), what == "start");
            assert_no_scan(&watch.notices(), what);
        }
    }
}

#[tokio::test]
async fn whatever_is_done_with_runs_uses_an_index() {
    let (plain, database, app) = crowd().await;
    let store = explained(&database).await;
    let sql = "select id from nexo_runs where state = 'waiting' and app_id = $1";
    let waiting = sqlx::query(sql).bind(app.as_uuid()).fetch_all(plain.pool()).await.unwrap();
    let watch = Watch::begin();

    let (mut stopped, mut begun) = (0, 0);
    for row in waiting.iter().map(|row| row.get::<Uuid, _>(0)).take(2 * TIMES) {
        let run = nexo_core::RunId::from_uuid(row);
        store.stop_run(&Scope::Everything, app, run, Stop::Cancel).await.unwrap();
        assert_no_scan(&watch.notices(), "stop");
        stopped += 1;
        let claimed = store.claim_runs(claim()).await.unwrap();
        assert_no_scan(&watch.notices(), "claim");
        for start in claimed {
            store.finish_run(answer(&start.run, "Hi")).await.unwrap();
            assert_no_scan(&watch.notices(), "finish");
            begun += 1;
        }
    }

    assert!(stopped == 2 * TIMES && begun > 0, "{stopped} {begun}");
}

/// What many runs have said, of which few are under way, and some ended long ago.
async fn said(store: &PostgresStore) -> Vec<FollowRun> {
    sqlx::raw_sql(
        "insert into nexo_events (run_id, attempt, position, app_id, data, created_at)
        select r.id, 1, n * 2, r.app_id, '{\"text\":\"ab\"}', now() - interval '1 hour'
        from nexo_runs r, generate_series(0, 4) n
        where r.state in ('completed', 'waiting');

        update nexo_runs set finished_at = now() - interval '30 minutes'
        where state = 'completed'",
    )
    .execute(store.pool())
    .await
    .unwrap();
    sqlx::raw_sql("vacuum analyze").execute(store.pool()).await.unwrap();
    let sql = "select id from nexo_runs where state = 'waiting'";
    let rows = sqlx::query(sql).fetch_all(store.pool()).await.unwrap();
    let known = |id| FollowRun { run: nexo_core::RunId::from_uuid(id), attempt: 1, bytes: 4 };
    rows.iter().map(|row| known(row.get::<Uuid, _>(0))).collect()
}

#[tokio::test]
async fn following_runs_and_storing_what_they_say_uses_an_index() {
    let (plain, database, app) = crowd().await;
    let followed = said(&plain).await;
    let store = explained(&database).await;
    let watch = Watch::begin();

    for known in followed.chunks(20).take(TIMES) {
        let found = store.follow_runs(known, 1_000).await.unwrap();
        assert!(found.iter().all(|it| it.segments.len() == 3), "{found:?}");
        assert_no_scan(&watch.notices(), "follow");

        let segment = |known: &FollowRun| Segment {
            run: known.run,
            app,
            attempt: 1,
            position: 10,
            said: Said { text: "more".into(), speaker: None },
        };
        let more: Vec<Segment> = known.iter().map(segment).collect();
        store.append_segments(&more).await.unwrap();
        assert_no_scan(&watch.notices(), "append");

        let pruned = store.prune_segments(Duration::from_secs(60), 100).await.unwrap();
        assert_eq!(pruned, 100);
        assert_no_scan(&watch.notices(), "prune");
    }
}
