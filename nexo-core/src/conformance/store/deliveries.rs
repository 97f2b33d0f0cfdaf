//! Deliveries.

use std::{sync::Arc, time::Duration};

use crate::{
    Delivery, DeliveryId, MAX_KEPT_RESPONSE_BYTES, Run, RunId, Scope, Store,
    conformance::fixtures::{Room, completed},
};

fn delivery(run: &Run) -> Delivery {
    Delivery {
        id: DeliveryId::new(),
        app: run.app,
        run: run.id,
        attempt: 1,
        url: "https://agent.example/hook?é=1".into(),
        request_headers: vec![("x-b".into(), "1".into()), ("x-a".into(), "***".into())],
        request_body: b"{\"a\": \x00\xff\xfe}".to_vec(),
        peer: Some("[2001:db8::1]:8443".parse().unwrap()),
        status: Some(503),
        response_headers: vec![("x-a".into(), "1".into()), ("x-a".into(), "2".into())],
        response_body: (0..=255).cycle().take(MAX_KEPT_RESPONSE_BYTES).collect(),
        response_bytes: u64::from(u32::MAX) + 1,
        error: Some("WEBHOOK_BAD_STATUS".into()),
        error_detail: Some("503 ‽".into()),
        started_at: run.created_at,
        first_byte_after: Some(Duration::from_micros(1_500_001)),
        ended_after: Duration::from_micros(2_000_003),
    }
}

/// A delivery of which nothing came back.
fn refused(run: &Run) -> Delivery {
    Delivery {
        peer: None,
        status: None,
        response_headers: Vec::new(),
        response_body: Vec::new(),
        response_bytes: 0,
        error: None,
        error_detail: None,
        first_byte_after: None,
        ..delivery(run)
    }
}

async fn list(store: &Arc<dyn Store>, run: RunId) -> Vec<Delivery> {
    store.list_deliveries(&Scope::Everything, run).await.unwrap()
}

pub(super) async fn a_delivery_comes_back_byte_for_byte(store: Arc<dyn Store>) {
    let run = Room::new(&store).await.started().await.run;
    let sent = [delivery(&run), refused(&run)];

    for one in &sent {
        store.record_delivery(one.clone()).await.unwrap();
    }

    assert!(list(&store, run.id).await == sent, "a delivery has changed");
}

pub(super) async fn deliveries_are_listed_oldest_first(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let mut sent = Vec::new();
    for attempt in 1..=5 {
        let started_at = run.created_at.plus(Duration::from_secs(attempt));
        let attempt = i32::try_from(attempt).unwrap();
        sent.push(Delivery { attempt, started_at, ..refused(&run) });
    }

    for one in &sent {
        store.record_delivery(one.clone()).await.unwrap();
    }
    store.finish_run(completed(&run, "Hi")).await.unwrap();

    assert_eq!(list(&store, run.id).await, sent);
    assert!(list(&store, room.started().await.run.id).await.is_empty());
}

pub(super) async fn deliveries_outside_the_scope_are_not_listed(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    store.record_delivery(refused(&run)).await.unwrap();
    let mut outside = room.outside_app().await;
    outside.push(room.neighbour().await);

    for scope in room.inside() {
        assert_eq!(store.list_deliveries(&scope, run.id).await.unwrap().len(), 1, "{scope:?}");
    }
    for scope in outside {
        let found = store.list_deliveries(&scope, run.id).await.unwrap();
        assert!(found.is_empty(), "{scope:?}");
    }
    assert!(list(&store, RunId::new()).await.is_empty());
}

pub(super) async fn old_deliveries_are_pruned_by_slices_the_oldest_first(store: Arc<dyn Store>) {
    const HOUR: Duration = Duration::from_secs(3_600);
    let run = Room::new(&store).await.started().await.run;
    let mut sent = Vec::new();
    for hours in [5, 4, 3, 2, 0] {
        let started_at = run.created_at.minus(HOUR * hours);
        sent.push(Delivery { started_at, ..refused(&run) });
    }
    // The newest is kept first: in which order they came must not matter.
    for one in sent.iter().rev() {
        store.record_delivery(one.clone()).await.unwrap();
    }

    for (limit, pruned, left) in [(0, 0, 5), (3, 3, 2), (3, 1, 1), (3, 0, 1)] {
        assert_eq!(store.prune_deliveries(HOUR, limit).await.unwrap(), pruned);
        assert_eq!(list(&store, run.id).await, sent[sent.len() - left..]);
    }
}

pub(super) async fn a_delivery_whose_run_is_gone_is_dropped(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    store.record_delivery(refused(&run)).await.unwrap();

    store.delete_thread(&Scope::Everything, room.thread.id).await.unwrap();
    store.record_delivery(refused(&run)).await.unwrap();

    assert!(list(&store, run.id).await.is_empty());
}
