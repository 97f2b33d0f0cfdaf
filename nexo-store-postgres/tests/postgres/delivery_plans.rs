//! How the database goes about deliveries, by its own account, when there are many.

use nexo_core::{
    AgentId, AppId, AppStore as _, Cursor, DeliveryFilter, DeliveryStore as _, NewApp, ReplayId,
    ReplayStore as _, RunId, Scope,
};
use nexo_store_postgres::PostgresStore;
use sqlx::Row as _;
use uuid::Uuid;

use crate::{
    common::{Database, fresh_store},
    plans::{TIMES, assert_indexed, assert_no_scan, explained},
    room::owner,
    watch::Watch,
};

/// Four apps with 2,000 runs and 20,000 deliveries each, every run's to an agent of its own. Few of
/// them failed. One run had 1,000 of them, of which 500 were a replay's, and 500 replays. And many
/// more apps in which nothing happens. With fewer apps, going through the deliveries of all of them
/// would be no worse than using an app's index.
async fn crowd() -> (PostgresStore, Database, AppId) {
    let (store, database) = fresh_store().await;
    for name in ["Other", "Third", "Fourth", "Shop"] {
        store.create_app(NewApp::new(owner(), name)).await.unwrap();
    }
    sqlx::raw_sql(
        "insert into nexo_threads (id, app_id, status, customer_id, next_seq, created_at, updated_at)
        select gen_random_uuid(), id, 'active', n, 1, now(), now()
        from nexo_apps, generate_series(1, 2000) n;

        insert into nexo_runs (id, app_id, thread_id, agent_id, message_id, message_seq, state,
            attempt, fence, epoch, version, created_at, deadline_at)
        select gen_random_uuid(), app_id, id, gen_random_uuid(), id, customer_id::integer,
            'completed', 1, 1, 0, 1, now(), now()
        from nexo_threads;

        insert into nexo_apps (id, owner, name, config, default_agent_id, created_at, updated_at)
        select gen_random_uuid(), 'other', 'Idle', '{}', gen_random_uuid(), now(), now()
        from generate_series(1, 2000);

        create function more(which integer, failed text, replay boolean, count integer)
        returns void language sql as $$
            insert into nexo_deliveries (id, app_id, run_id, agent_id, replay_id, attempt, url,
                request_headers, request_body, response_headers, response_body, response_bytes,
                status, error, started_at, ended_micros)
            select gen_random_uuid(), app_id, id, agent_id,
                case when replay then md5(app_id::text)::uuid end, 1, 'http://a',
                '[]', 'body', '[]', 'body', 4, case when failed is null then 200 else 503 end,
                failed, now() - random() * interval '30 days', 5
            from nexo_runs, generate_series(1, count)
            where message_seq = which or which is null
        $$;
        select more(null, null, false, 10);
        select more(n * 40, 'E', false, 10) from generate_series(1, 50) n;
        select more(1, null, false, 490);
        select more(1, null, true, 500);
        insert into nexo_replays (id, app_id, run_id, agent_id, created_at, finished_at)
        select gen_random_uuid(), app_id, id, agent_id, now(), now()
        from nexo_runs, generate_series(1, 500) n where message_seq = 1 or n = 1",
    )
    .execute(store.pool())
    .await
    .unwrap();
    sqlx::raw_sql("vacuum analyze").execute(store.pool()).await.unwrap();
    let app = sqlx::query("select id from nexo_apps where name = 'Shop'");
    let app = app.fetch_one(store.pool()).await.unwrap().get(0);
    (store, database, AppId::from_uuid(app))
}

/// The id that a statement about an app gives.
async fn find(store: &PostgresStore, app: AppId, sql: &'static str) -> Uuid {
    sqlx::query(sql).bind(app.as_uuid()).fetch_one(store.pool()).await.unwrap().get(0)
}

#[tokio::test]
async fn lists_of_deliveries_use_an_index_at_any_depth() {
    let (plain, database, app) = crowd().await;
    let store = explained(&database).await;
    let run = "select id from nexo_runs where app_id = $1 and message_seq = 1";
    let run = Some(RunId::from_uuid(find(&plain, app, run).await));
    let replay =
        "select replay_id from nexo_deliveries where app_id = $1 and replay_id is not null";
    let replay = Some(ReplayId::from_uuid(find(&plain, app, replay).await));
    let agent =
        "select agent_id from nexo_deliveries where app_id = $1 group by 1 order by count(*)";
    let agent = Some(AgentId::from_uuid(find(&plain, app, agent).await));
    let any = DeliveryFilter::default();
    let watch = Watch::begin();

    for (what, filter) in [
        ("all deliveries", any),
        ("failed deliveries", DeliveryFilter { failed: true, ..any }),
        ("a run's deliveries", DeliveryFilter { run, ..any }),
        ("a replay's deliveries", DeliveryFilter { replay, ..any }),
        ("an agent's deliveries", DeliveryFilter { agent, ..any }),
    ] {
        let mut cursor: Option<Cursor> = None;
        for _ in 0..TIMES {
            let scope = Scope::Owner(owner());
            let page = store.list_deliveries(&scope, app, &filter, cursor.as_ref(), 2).await;
            let page = page.unwrap();
            assert_eq!(page.items.len(), 2, "{what}");
            assert_indexed(&watch.notices(), what);
            cursor = page.next;
        }
    }
}

#[tokio::test]
async fn a_window_of_deliveries_uses_an_index() {
    let (_, database, app) = crowd().await;
    let store = explained(&database).await;
    let all = Scope::Everything;
    let page = store.list_deliveries(&all, app, &DeliveryFilter::default(), None, 1).await;
    let newest = page.unwrap().items[0].started_at;
    let day = std::time::Duration::from_secs(24 * 3_600);
    let window = DeliveryFilter {
        since: Some(newest.minus(day * 20)),
        until: Some(newest.minus(day * 19)),
        ..DeliveryFilter::default()
    };
    let watch = Watch::begin();

    for _ in 0..TIMES {
        let page = store.list_deliveries(&all, app, &window, None, 50).await.unwrap();
        assert_eq!(page.items.len(), 50);
        assert_indexed(&watch.notices(), "a window");
    }
}

#[tokio::test]
async fn what_is_looked_up_uses_an_index() {
    let (plain, database, app) = crowd().await;
    let store = explained(&database).await;
    let run = "select id from nexo_runs where app_id = $1 and message_seq = 1";
    let run = RunId::from_uuid(find(&plain, app, run).await);
    let all = Scope::Everything;
    let page = store.list_deliveries(&all, app, &DeliveryFilter::of_run(run), None, 1).await;
    let delivery = page.unwrap().items[0].id;
    let watch = Watch::begin();

    for _ in 0..TIMES {
        store.get_delivery(&all, app, delivery).await.unwrap();
        let page = store.list_replays(&all, app, run, None, 50).await.unwrap();
        store.get_replay(&all, app, page.items[7].id).await.unwrap();
        assert_no_scan(&watch.notices(), "a delivery and replays");
    }
}
