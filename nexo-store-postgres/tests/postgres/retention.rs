//! What goes by itself, and what a newer or an older server leaves behind.

use nexo_core::{
    DeliveryFilter, DeliveryStore as _, FailureKind, RunStore as _, Scope, ServerId,
    ServerStore as _,
};
use sqlx::Row as _;
use uuid::Uuid;

use crate::room::Room;

async fn servers(room: &Room) -> Vec<Uuid> {
    let rows = sqlx::query("select id from nexo_servers").fetch_all(room.store.pool()).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_server_that_was_silent_for_a_day_is_forgotten_unless_it_has_a_run() {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    let busy = room.start().await.run.server.unwrap();
    room.store.beat(busy, &nexo_core::Handlers::default()).await.unwrap();
    room.store.beat(ServerId::new(), &nexo_core::Handlers::default()).await.unwrap();
    room.execute("update nexo_servers set beat_at = now() - interval '25 hours'").await;
    let live = ServerId::new();
    room.store.beat(live, &nexo_core::Handlers::default()).await.unwrap();

    room.store.prune().await.unwrap();

    let (mut known, mut expected) = (servers(&room).await, vec![busy.as_uuid(), live.as_uuid()]);
    known.sort_unstable();
    expected.sort_unstable();
    assert_eq!(known, expected);
}

#[tokio::test]
async fn a_failure_that_only_a_newer_server_knows_leaves_the_run_readable() {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    let run = room.start().await.run.id;
    room.execute("update nexo_runs set state = 'failed', failure_key = 'FROM_THE_FUTURE'").await;

    let run = room.store.get_run(&Scope::Everything, run).await.unwrap();

    assert_eq!(run.failure.unwrap().kind, FailureKind::Internal);
}

/// While servers are replaced one by one, some still write what the older tables had.
#[tokio::test]
async fn a_delivery_of_an_older_server_went_to_its_runs_agent() {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    let run = room.start().await.run;
    room.execute(
        "insert into nexo_deliveries (id, app_id, run_id, attempt, url, request_headers,
            request_body, response_headers, response_body, response_bytes, started_at, ended_micros)
        select gen_random_uuid(), app_id, id, 1, 'http://a', '[]', '', '[]', '', 0, now(), 5
        from nexo_runs",
    )
    .await;

    let (all, any) = (Scope::Everything, DeliveryFilter::default());
    let listed = room.store.list_deliveries(&all, run.app, &any, None, 5).await.unwrap();
    let whole = room.store.get_delivery(&all, run.app, listed.items[0].id).await.unwrap();

    assert_eq!((listed.items[0].agent, whole.agent), (run.agent, run.agent));
    assert_eq!(whole.frames.iter().count(), 0);
}
