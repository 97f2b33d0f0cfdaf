//! Deliveries.

use std::{sync::Arc, time::Duration};

use crate::{
    AgentId, AppId, Cursor, Delivery, DeliveryFilter, DeliveryId, DeliveryPosition,
    DeliverySummary, Error, Frames, MAX_FRAMES_BYTES, MAX_KEPT_RESPONSE_BYTES, ReplayId, Run,
    RunId, Scope, Store, Timestamp,
    conformance::{
        assert_fails,
        fixtures::{ALL, Room, forged_cursors, walk},
    },
};

const SECOND: Duration = Duration::from_secs(1);

fn delivery(run: &Run) -> Delivery {
    Delivery {
        id: DeliveryId::new(),
        app: run.app,
        run: run.id,
        agent: run.agent,
        replay: Some(ReplayId::new()),
        repeats: Some(DeliveryId::new()),
        attempt: 1,
        url: "https://agent.example/hook?é=1".into(),
        request_headers: vec![("x-b".into(), "1".into()), ("x-a".into(), "***".into())],
        request_body: b"{\"a\": \x00\xff\xfe}".to_vec(),
        peer: Some("[2001:db8::1]:8443".parse().unwrap()),
        status: Some(503),
        response_headers: vec![("x-a".into(), "1".into()), ("x-a".into(), "2".into())],
        response_body: (0..=255).cycle().take(MAX_KEPT_RESPONSE_BYTES).collect(),
        response_bytes: u64::from(u32::MAX) + 1,
        frames: full_frames(),
        error: Some("WEBHOOK_BAD_STATUS".into()),
        error_detail: Some("503 ‽".into()),
        started_at: run.created_at,
        first_byte_after: Some(Duration::from_micros(1_500_001)),
        ended_after: Duration::from_micros(2_000_003),
    }
}

fn full_frames() -> Frames {
    let mut frames = Frames::default();
    for micros in 0..MAX_FRAMES_BYTES as u64 {
        frames.push(200, Duration::from_micros(micros * 128));
    }
    frames
}

/// A delivery of which nothing came back.
fn refused(run: &Run) -> Delivery {
    Delivery {
        replay: None,
        repeats: None,
        peer: None,
        status: None,
        response_headers: Vec::new(),
        response_body: Vec::new(),
        response_bytes: 0,
        frames: Frames::default(),
        error: None,
        error_detail: None,
        first_byte_after: None,
        ..delivery(run)
    }
}

/// A delivery of which nothing came back, sent so many seconds after the run was made.
fn sent_after(run: &Run, seconds: u32) -> Delivery {
    Delivery { started_at: run.created_at.plus(SECOND * seconds), ..refused(run) }
}

/// Keeps them the other way round: in which order they came must not matter.
async fn record_all(store: &Arc<dyn Store>, sent: &[Delivery]) {
    for one in sent.iter().rev() {
        store.record_delivery(one.clone()).await.unwrap();
    }
}

async fn get(store: &Arc<dyn Store>, delivery: &Delivery) -> Delivery {
    store.get_delivery(&Scope::Everything, delivery.app, delivery.id).await.unwrap()
}

/// Which of an app's deliveries a filter takes, in the list's order.
async fn list(store: &Arc<dyn Store>, app: AppId, filter: &DeliveryFilter) -> Vec<DeliveryId> {
    let page = store.list_deliveries(&Scope::Everything, app, filter, None, ALL).await.unwrap();
    ids(&page.items)
}

fn ids(listed: &[DeliverySummary]) -> Vec<DeliveryId> {
    listed.iter().map(|one| one.id).collect()
}

pub(super) async fn a_delivery_comes_back_byte_for_byte(store: Arc<dyn Store>) {
    let run = Room::new(&store).await.started().await.run;

    for sent in [delivery(&run), refused(&run)] {
        store.record_delivery(sent.clone()).await.unwrap();
        assert!(get(&store, &sent).await == sent, "a delivery has changed");
    }
}

pub(super) async fn a_list_of_deliveries_shows_all_but_what_was_said(store: Arc<dyn Store>) {
    let run = Room::new(&store).await.started().await.run;
    let sent =
        [delivery(&run), Delivery { started_at: run.created_at.minus(SECOND), ..refused(&run) }];
    record_all(&store, &sent).await;

    let filter = DeliveryFilter::of_run(run.id);
    let page = store.list_deliveries(&Scope::Everything, run.app, &filter, None, ALL).await;

    let expected: Vec<_> = sent.iter().map(DeliverySummary::from).collect();
    assert_eq!(page.unwrap().items, expected);
}

pub(super) async fn deliveries_are_listed_newest_first(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    // Several of one instant: there the id decides.
    let mut sent: Vec<Delivery> = [4, 3, 3, 3, 2, 1, 1, 0].map(|at| sent_after(&run, at)).into();
    record_all(&store, &sent).await;
    let elsewhere = Room::new(&store).await.started().await.run;
    store.record_delivery(refused(&elsewhere)).await.unwrap();

    sent.sort_by_key(|one| std::cmp::Reverse((one.started_at, one.id)));
    let expected: Vec<DeliveryId> = sent.iter().map(|one| one.id).collect();
    for limit in [1, 2, 3, ALL] {
        for filter in [DeliveryFilter::default(), DeliveryFilter::of_run(run.id)] {
            let seen = walk(limit, |cursor| {
                let (store, app) = (Arc::clone(&store), run.app);
                async move {
                    let all = Scope::Everything;
                    store.list_deliveries(&all, app, &filter, cursor.as_ref(), limit).await
                }
            });
            assert_eq!(ids(&seen.await), expected);
        }
    }
}

pub(super) async fn deliveries_are_filtered(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let other = Room::of(&store, &room.app, "nora").await.started().await.run;
    let replay = Some(ReplayId::new());
    let sent = [
        Delivery { status: Some(200), ..sent_after(&run, 5) },
        Delivery { status: Some(503), error: Some("E".into()), ..sent_after(&other, 4) },
        Delivery { status: Some(503), error: Some("E".into()), replay, ..sent_after(&run, 3) },
        Delivery { agent: AgentId::new(), ..sent_after(&run, 2) },
        Delivery { error: Some("E".into()), ..sent_after(&other, 1) },
    ];
    record_all(&store, &sent).await;
    let any = DeliveryFilter::default();
    let at = |seconds: u32| Some(run.created_at.plus(SECOND * seconds));
    let agent = Some(sent[3].agent);
    let (mine, status) = (DeliveryFilter::of_run(run.id), Some(503));

    for (filter, expected) in [
        (any, vec![0, 1, 2, 3, 4]),
        (mine, vec![0, 2, 3]),
        (DeliveryFilter { replay, ..any }, vec![2]),
        (DeliveryFilter { replay, ..DeliveryFilter::of_run(other.id) }, vec![]),
        (DeliveryFilter { agent, ..any }, vec![3]),
        (DeliveryFilter { agent, ..mine }, vec![3]),
        (DeliveryFilter { agent, failed: true, ..any }, vec![]),
        (DeliveryFilter { failed: true, ..any }, vec![1, 2, 4]),
        (DeliveryFilter { failed: true, ..mine }, vec![2]),
        (DeliveryFilter { status, ..any }, vec![1, 2]),
        (DeliveryFilter { status, ..mine }, vec![2]),
        (DeliveryFilter { status, failed: true, ..any }, vec![1, 2]),
        (DeliveryFilter { since: at(3), ..any }, vec![0, 1, 2]),
        (DeliveryFilter { until: at(3), ..any }, vec![3, 4]),
        (DeliveryFilter { since: at(1), until: at(5), ..mine }, vec![2, 3]),
        (DeliveryFilter { since: at(5), until: at(1), ..any }, vec![]),
        (DeliveryFilter::of_run(RunId::new()), vec![]),
    ] {
        let found = list(&store, room.app.id, &filter).await;
        let expected: Vec<_> = expected.into_iter().map(|at: usize| sent[at].id).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

pub(super) async fn deliveries_outside_the_scope_are_not_listed(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let sent = refused(&run);
    store.record_delivery(sent.clone()).await.unwrap();
    let (app, neighbour) = (room.app.id, room.neighbour().await);

    for filter in [DeliveryFilter::default(), DeliveryFilter::of_run(run.id)] {
        for scope in room.inside() {
            let page = store.list_deliveries(&scope, app, &filter, None, ALL).await.unwrap();
            assert_eq!(ids(&page.items), [sent.id], "{scope:?}");
        }
        for scope in room.outside_app().await {
            let refused = store.list_deliveries(&scope, app, &filter, None, ALL).await;
            assert_fails!(refused, Error::AppNotFound(_));
        }
        let page = store.list_deliveries(&neighbour, app, &filter, None, ALL).await.unwrap();
        assert!(page.items.is_empty());
    }
}

pub(super) async fn a_delivery_outside_the_scope_does_not_exist(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let sent = refused(&room.started().await.run);
    store.record_delivery(sent.clone()).await.unwrap();
    let mut outside = room.outside_app().await;
    outside.push(room.neighbour().await);

    for scope in room.inside() {
        assert_eq!(store.get_delivery(&scope, sent.app, sent.id).await.unwrap(), sent);
    }
    for scope in outside {
        let refused = store.get_delivery(&scope, sent.app, sent.id).await;
        assert_fails!(refused, Error::DeliveryNotFound);
    }
    let (all, other) = (Scope::Everything, Room::new(&store).await.app.id);
    assert_fails!(store.get_delivery(&all, other, sent.id).await, Error::DeliveryNotFound);
    let unknown = store.get_delivery(&all, sent.app, DeliveryId::new()).await;
    assert_fails!(unknown, Error::DeliveryNotFound);
}

pub(super) async fn a_cursor_that_is_none_of_deliveries_is_refused(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    store.record_delivery(refused(&room.started().await.run)).await.unwrap();
    let (all, app, any) = (Scope::Everything, room.app.id, DeliveryFilter::default());

    for cursor in forged_cursors() {
        let refused = store.list_deliveries(&all, app, &any, Some(&cursor), ALL).await;
        assert_fails!(refused, Error::InvalidCursor);
    }
    // Made by hand: a database may not know the instant, which is no fault of the store.
    for (at, seen) in [(i64::MIN, 0), (0, 0), (i64::MAX, 1)] {
        let cursor = Cursor::new(&DeliveryPosition { at, id: DeliveryId::new() });
        match store.list_deliveries(&all, app, &any, Some(&cursor), ALL).await {
            Ok(page) => assert_eq!(page.items.len(), seen),
            Err(error) => assert!(matches!(error, Error::InvalidCursor), "{error:?}"),
        }
    }
}

pub(super) async fn a_window_may_have_any_bounds(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    store.record_delivery(refused(&room.started().await.run)).await.unwrap();
    let far = |micros| Some(Timestamp::from_micros(micros));
    // From the year 0 to the end of the year 9999.
    let (first, last) = (far(-62_167_219_200_000_000), far(253_402_300_799_999_999));
    let any = DeliveryFilter::default();

    for (since, until, found) in [(first, last, 1), (last, None, 0), (None, first, 0)] {
        let listed = list(&store, room.app.id, &DeliveryFilter { since, until, ..any }).await;
        assert_eq!(listed.len(), found);
    }
}

pub(super) async fn old_deliveries_are_pruned_by_slices_the_oldest_first(store: Arc<dyn Store>) {
    const HOUR: Duration = Duration::from_secs(3_600);
    let run = Room::new(&store).await.started().await.run;
    let sent = [0, 2, 3, 4, 5]
        .map(|hours| Delivery { started_at: run.created_at.minus(HOUR * hours), ..refused(&run) });
    for one in &sent {
        store.record_delivery(one.clone()).await.unwrap();
    }
    let kept = sent.map(|one| one.id);

    for (limit, pruned, left) in [(0, 0, 5), (3, 3, 2), (3, 1, 1), (3, 0, 1)] {
        assert_eq!(store.prune_deliveries(HOUR, limit).await.unwrap(), pruned);
        assert_eq!(list(&store, run.app, &DeliveryFilter::default()).await, kept[..left]);
    }
}

pub(super) async fn a_delivery_whose_run_is_gone_is_dropped(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let (before, after) = (refused(&run), refused(&run));
    store.record_delivery(before.clone()).await.unwrap();

    store.delete_thread(&Scope::Everything, room.thread.id).await.unwrap();
    store.record_delivery(after.clone()).await.unwrap();

    assert!(list(&store, run.app, &DeliveryFilter::default()).await.is_empty());
    for gone in [before, after] {
        let found = store.get_delivery(&Scope::Everything, run.app, gone.id).await;
        assert_fails!(found, Error::DeliveryNotFound);
    }
}
