//! Lists that are read page by page.

use std::{cmp::Reverse, sync::Arc};

use crate::{
    AppId, Cursor, CursorPage, Error, Result, Scope, Store, SubscriberId, SubscriberPosition,
    Thread, ThreadChanges, ThreadFilter, ThreadId, ThreadPosition, ThreadStatus, ThreadSummary,
    conformance::{
        assert_fails,
        fixtures::{ALL, Room, forged_cursors, new_app, new_thread, walk},
    },
};

async fn threads(
    store: &Arc<dyn Store>,
    app: AppId,
    cursor: Option<Cursor>,
    limit: u32,
) -> Result<CursorPage<Thread>> {
    let filter = ThreadFilter::default();
    store.list_threads(&Scope::Everything, app, &filter, cursor.as_ref(), limit).await
}

async fn threads_of(
    room: &Room,
    cursor: Option<Cursor>,
    limit: u32,
) -> Result<CursorPage<ThreadSummary>> {
    let (app, subscriber) = (room.app.id, room.subscriber_id());
    let all = Scope::Everything;
    room.store.list_subscriber_threads(&all, app, subscriber, cursor.as_ref(), limit).await
}

/// The threads' ids, `updated_at` falling, then `id` falling.
fn in_order(mut threads: Vec<Thread>) -> Vec<ThreadId> {
    threads.sort_by_key(|thread| Reverse((thread.updated_at, thread.id)));
    threads.iter().map(|thread| thread.id).collect()
}

/// Eleven customers: every third one spoke, the others never did.
async fn eleven_customers(store: &Arc<dyn Store>) -> Vec<Room> {
    let app = new_app(store, "ann").await;
    let mut rooms = Vec::new();
    for number in 0..11 {
        let room = Room::of(store, &app, &format!("customer {number}")).await;
        if number % 3 == 0 {
            room.say("Hello").await;
        }
        rooms.push(room);
    }
    rooms
}

pub(super) async fn a_walk_over_subscribers_neither_skips_nor_repeats(store: Arc<dyn Store>) {
    let rooms = eleven_customers(&store).await;
    let mut subscribers = Vec::new();
    for room in &rooms {
        subscribers.push(room.subscriber().await);
    }
    subscribers.sort_by_key(|one| Reverse((one.last_message_at, one.created_at, one.id)));
    let expected: Vec<SubscriberId> = subscribers.iter().map(|one| one.id).collect();

    for limit in [1, 2, 3, 10, 11, 12] {
        let (store, app) = (&store, rooms[0].app.id);
        let rows = walk(limit, async |cursor: Option<Cursor>| {
            store
                .list_subscribers(&Scope::Everything, app, "CUSTOMER", cursor.as_ref(), limit)
                .await
        })
        .await;
        let found: Vec<SubscriberId> = rows.iter().map(|row| row.subscriber.id).collect();
        assert_eq!(found, expected, "limit {limit}");
    }
}

pub(super) async fn a_walk_over_threads_neither_skips_nor_repeats(store: Arc<dyn Store>) {
    let rooms = eleven_customers(&store).await;
    let app = rooms[0].app.id;
    let mut all = Vec::new();
    for room in &rooms {
        all.push(room.thread().await);
    }
    let expected = in_order(all);

    for limit in [1, 2, 3, 10, 11, 12] {
        let rows = walk(limit, |cursor| threads(&store, app, cursor, limit)).await;
        let found: Vec<ThreadId> = rows.iter().map(|thread| thread.id).collect();
        assert_eq!(found, expected, "limit {limit}");
    }
}

pub(super) async fn a_walk_over_a_subscribers_threads_neither_skips_nor_repeats(
    store: Arc<dyn Store>,
) {
    let room = Room::new(&store).await;
    let mut all = vec![room.thread().await];
    for _ in 0..6 {
        all.push(new_thread(&store, room.app.id, "carl").await);
        new_thread(&store, room.app.id, "nora").await;
    }
    let expected = in_order(all);

    for limit in [1, 2, 3, 7, 8] {
        let rows = walk(limit, |cursor| threads_of(&room, cursor, limit)).await;
        let found: Vec<ThreadId> = rows.iter().map(|row| row.thread.id).collect();
        assert_eq!(found, expected, "limit {limit}");
    }
}

/// Walks with every small limit over what a scope and a filter leave of the app's threads.
async fn assert_walks(
    store: &Arc<dyn Store>,
    app: AppId,
    scope: &Scope,
    filter: &ThreadFilter,
    expected: &[ThreadId],
) {
    for limit in [1, 2, 3, 50] {
        let rows = walk(limit, async |cursor: Option<Cursor>| {
            store.list_threads(scope, app, filter, cursor.as_ref(), limit).await
        })
        .await;
        let found: Vec<ThreadId> = rows.iter().map(|thread| thread.id).collect();
        assert_eq!(found, expected, "limit {limit}, {filter:?}");
    }
}

/// Five threads of one customer, of which some are archived, among those of others.
async fn five_among_others(room: &Room) -> Vec<Thread> {
    let mut threads = vec![room.thread.clone()];
    for number in 0..4 {
        new_thread(&room.store, room.app.id, "nora").await;
        let thread = new_thread(&room.store, room.app.id, "carl").await;
        let status = (number % 2 == 0).then_some(ThreadStatus::Archived);
        let changes = ThreadChanges { status, ..ThreadChanges::default() };
        let changed = room.store.update_thread(&Scope::Everything, thread.id, changes).await;
        threads.push(changed.unwrap());
    }
    threads
}

pub(super) async fn a_filtered_walk_neither_skips_nor_repeats(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let carls = five_among_others(&room).await;
    let archived = carls.iter().filter(|thread| thread.status == ThreadStatus::Archived);
    let archived = in_order(archived.cloned().collect());
    let customer_id = Some("carl".to_owned());
    let (app, all) = (room.app.id, Scope::Everything);

    let of_carl = ThreadFilter { customer_id: customer_id.clone(), statuses: None };
    assert_walks(&store, app, &all, &of_carl, &in_order(carls)).await;
    let statuses = Some(vec![ThreadStatus::Archived, ThreadStatus::Deleted]);
    let put_away = ThreadFilter { customer_id, statuses: statuses.clone() };
    assert_walks(&store, app, &all, &put_away, &archived).await;
    let of_all = ThreadFilter { customer_id: None, statuses };
    assert_walks(&store, app, &all, &of_all, &archived).await;
}

pub(super) async fn a_walk_within_a_customers_scope_neither_skips_nor_repeats(
    store: Arc<dyn Store>,
) {
    let room = Room::new(&store).await;
    let expected = in_order(five_among_others(&room).await);
    let app = room.app.id;
    let scope = Scope::Subscriber { app, subscriber: room.subscriber_id() };

    assert_walks(&store, app, &scope, &ThreadFilter::default(), &expected).await;
}

pub(super) async fn rows_that_do_not_move_survive_a_change_during_the_walk(store: Arc<dyn Store>) {
    let rooms = eleven_customers(&store).await;
    let app = rooms[0].app.id;
    let order: Vec<ThreadId> =
        threads(&store, app, None, ALL).await.unwrap().items.iter().map(|one| one.id).collect();

    let first = threads(&store, app, None, 3).await.unwrap();
    // The row that the cursor stands on moves to the front, another one behind it goes away.
    let all = Scope::Everything;
    store.update_thread(&all, order[2], ThreadChanges::default()).await.unwrap();
    store.delete_thread(&all, order[6]).await.unwrap();
    let rest = threads(&store, app, first.next, ALL).await.unwrap();

    let rest: Vec<ThreadId> =
        rest.items.iter().map(|one| one.id).filter(|id| *id != order[2]).collect();
    let expected: Vec<ThreadId> = order[3..].iter().copied().filter(|id| *id != order[6]).collect();
    assert_eq!(rest, expected);
}

pub(super) async fn a_full_last_page_has_no_next(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    new_thread(&store, room.app.id, "carl").await;

    assert!(threads(&store, room.app.id, None, 2).await.unwrap().next.is_none());
    assert!(threads(&store, room.app.id, None, 1).await.unwrap().next.is_some());
    assert!(threads_of(&room, None, 2).await.unwrap().next.is_none());
}

pub(super) async fn forged_cursors_are_refused(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let (all, app) = (Scope::Everything, room.app.id);

    for cursor in forged_cursors() {
        assert_fails!(threads(&store, app, Some(cursor.clone()), 5).await, Error::InvalidCursor);
        assert_fails!(threads_of(&room, Some(cursor.clone()), 5).await, Error::InvalidCursor);
        assert_fails!(
            store.list_subscribers(&all, app, "", Some(&cursor), 5).await,
            Error::InvalidCursor
        );
    }
}

pub(super) async fn a_cursor_of_another_list_is_refused(store: Arc<dyn Store>) {
    let rooms = eleven_customers(&store).await;
    let (all, app) = (Scope::Everything, rooms[0].app.id);
    let of_threads = threads(&store, app, None, 1).await.unwrap().next.unwrap();
    let of_subscribers =
        store.list_subscribers(&all, app, "", None, 1).await.unwrap().next.unwrap();

    assert_fails!(
        store.list_subscribers(&all, app, "", Some(&of_threads), 5).await,
        Error::InvalidCursor
    );
    assert_fails!(threads(&store, app, Some(of_subscribers), 5).await, Error::InvalidCursor);
}

/// Such a cursor can be made by hand. A database may not know the instant; the client's
/// cursor is wrong then, and not the store.
pub(super) async fn a_cursor_at_the_end_of_time_does_no_harm(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    room.say("Hello").await;
    let (all, app) = (Scope::Everything, room.app.id);

    for micros in [i64::MIN, -1, 0, i64::MAX] {
        let position = ThreadPosition { updated_at: micros, id: ThreadId::new() };
        let listed = threads(&store, app, Some(Cursor::new(&position)), 5).await;
        let count = harmless(listed);
        assert_eq!(count.unwrap_or(0), usize::from(micros == i64::MAX && count.is_some()));

        let position = SubscriberPosition {
            last_message_at: Some(micros),
            created_at: micros,
            id: SubscriberId::new(),
        };
        let cursor = Cursor::new(&position);
        let listed = store.list_subscribers(&all, app, "", Some(&cursor), 5).await;
        let count = harmless(listed);
        assert_eq!(count.unwrap_or(0), usize::from(micros == i64::MAX && count.is_some()));
    }
}

/// How many rows came; none if the cursor was refused.
fn harmless<T: std::fmt::Debug>(listed: Result<CursorPage<T>>) -> Option<usize> {
    match listed {
        Ok(page) => Some(page.items.len()),
        Err(Error::InvalidCursor) => None,
        Err(other) => panic!("expected a page or InvalidCursor, got {other:?}"),
    }
}
