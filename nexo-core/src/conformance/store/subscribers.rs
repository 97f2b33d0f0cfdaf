//! Subscribers.

use std::sync::Arc;

use crate::{
    AppId, Error, NewMessage, Role, Scope, Store, SubscriberId, SubscriberSummary, ThreadChanges,
    ThreadStatus, ThreadSummary,
    conformance::{
        assert_fails,
        fixtures::{ALL, Room, eventually, new_app, new_thread},
    },
};

async fn list(store: &Arc<dyn Store>, app: AppId, search: &str) -> Vec<SubscriberSummary> {
    store.list_subscribers(&Scope::Everything, app, search, None, ALL).await.unwrap().items
}

/// The customers that a search finds, in the order of their names.
async fn find(store: &Arc<dyn Store>, app: AppId, search: &str) -> Vec<String> {
    let found = list(store, app, search).await;
    let mut names: Vec<String> = found.into_iter().map(|row| row.subscriber.customer_id).collect();
    names.sort();
    names
}

async fn threads_of(room: &Room) -> Vec<ThreadSummary> {
    let (app, subscriber) = (room.app.id, room.subscriber_id());
    let page =
        room.store.list_subscriber_threads(&Scope::Everything, app, subscriber, None, ALL).await;
    page.unwrap().items
}

pub(super) async fn a_subscriber_comes_with_its_first_thread(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;

    let subscriber = room.subscriber().await;

    assert_eq!((subscriber.id, subscriber.app), (room.subscriber_id(), room.app.id));
    assert_eq!(subscriber.customer_id, "carl");
    assert_eq!(subscriber.display_name.as_deref(), Some("carl"));
    assert!(subscriber.metadata.to_map().is_empty());
    assert!(subscriber.last_seen_at.is_some());
    assert_eq!(subscriber.last_message_at, None);
}

pub(super) async fn a_subscriber_outside_the_scope_does_not_exist(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let (app, id) = (room.app.id, room.subscriber_id());

    for scope in room.inside() {
        assert_eq!(store.get_subscriber(&scope, app, id).await.unwrap().id, id);
        let threads = store.list_subscriber_threads(&scope, app, id, None, ALL).await.unwrap();
        assert_eq!(threads.items.len(), 1);
    }
    for scope in room.outside_app().await {
        assert_fails!(store.get_subscriber(&scope, app, id).await, Error::AppNotFound(_));
        assert_fails!(
            store.list_subscriber_threads(&scope, app, id, None, ALL).await,
            Error::AppNotFound(_)
        );
        assert_fails!(
            store.list_subscribers(&scope, app, "", None, ALL).await,
            Error::AppNotFound(_)
        );
    }
    let other_app = new_app(&store, "ann").await.id;
    for (scope, app, id) in [
        (room.neighbour().await, app, id),
        (Scope::Everything, other_app, id),
        (Scope::Everything, app, SubscriberId::new()),
    ] {
        assert_fails!(store.get_subscriber(&scope, app, id).await, Error::SubscriberNotFound);
        assert_fails!(
            store.list_subscriber_threads(&scope, app, id, None, ALL).await,
            Error::SubscriberNotFound
        );
    }
}

pub(super) async fn a_customer_finds_no_other_customer_in_the_list(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let neighbour = room.neighbour().await;

    let page = store.list_subscribers(&neighbour, room.app.id, "", None, ALL).await.unwrap();

    let names: Vec<&str> =
        page.items.iter().map(|row| row.subscriber.customer_id.as_str()).collect();
    assert_eq!(names, ["nora"]);
}

/// The databases' own lower case ends at ASCII, or depends on a locale.
pub(super) async fn subscribers_are_searched_regardless_of_case(store: Arc<dyn Store>) {
    let app = new_app(&store, "ann").await.id;
    for customer in ["Élodie-1", "ÉLODIE-2", "élodie-3", "Ivan", "ИВАН"] {
        new_thread(&store, app, customer).await;
    }

    let elodies = ["Élodie-1", "ÉLODIE-2", "élodie-3"];
    for search in ["élo", "ÉLO", "Élodie"] {
        assert_eq!(find(&store, app, search).await.len(), elodies.len(), "{search}");
    }
    assert_eq!(find(&store, app, "иван").await, ["ИВАН"]);
    assert_eq!(find(&store, app, "VAN").await, ["Ivan"]);
    assert_eq!(find(&store, app, "elodie").await, [""; 0], "an accent is not a matter of case");
    assert_eq!(find(&store, app, "").await.len(), 5);
}

pub(super) async fn wildcards_in_a_search_are_characters_like_any_other(store: Arc<dyn Store>) {
    let app = new_app(&store, "ann").await.id;
    for customer in ["100%", "100 per cent", "a_b", "axb", r"c\d", "cd", "e'f", "*", "[g]"] {
        new_thread(&store, app, customer).await;
    }

    for (search, found) in [
        ("%", "100%"),
        ("0%", "100%"),
        ("_", "a_b"),
        ("a_b", "a_b"),
        (r"\", r"c\d"),
        (r"c\d", r"c\d"),
        ("'", "e'f"),
        ("*", "*"),
        ("[g]", "[g]"),
    ] {
        assert_eq!(find(&store, app, search).await, [found], "{search}");
    }
    assert_eq!(find(&store, app, r"\%").await, [""; 0]);
}

pub(super) async fn subscribers_of_another_app_are_not_found(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let other = new_app(&store, "ann").await.id;

    assert_eq!(find(&store, other, "").await, [""; 0]);
    assert_eq!(find(&store, room.app.id, "").await, ["carl"]);
}

pub(super) async fn a_list_of_subscribers_counts_threads_of_any_status(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    for status in ThreadStatus::ALL {
        let thread = new_thread(&store, room.app.id, "carl").await.id;
        let changes = ThreadChanges { status: Some(status), ..ThreadChanges::default() };
        store.update_thread(&Scope::Everything, thread, changes).await.unwrap();
    }

    let rows = list(&store, room.app.id, "carl").await;

    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].thread_count, 4);
    assert_eq!(rows[0].subscriber, room.subscriber().await);
    assert_eq!(rows[0].last_message_preview, None);
}

pub(super) async fn a_preview_shows_the_start_of_the_newest_message(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    room.say("the first").await;
    let long = "é👋".repeat(200);
    let cut: String = long.chars().take(280).collect();
    room.append(NewMessage::new(Role::Assistant, long)).await.unwrap();

    let rows = list(&store, room.app.id, "").await;
    let threads = threads_of(&room).await;

    assert_eq!(rows[0].last_message_preview.as_deref(), Some(&*cut));
    assert_eq!(threads[0].last_message_preview.as_deref(), Some(&*cut));

    room.say("short").await;
    assert_eq!(threads_of(&room).await[0].last_message_preview.as_deref(), Some("short"));
    assert_eq!(
        list(&store, room.app.id, "").await[0].last_message_preview.as_deref(),
        Some("short")
    );
}

pub(super) async fn a_subscriber_in_a_list_shows_the_newest_message_of_all_threads(
    store: Arc<dyn Store>,
) {
    let one = Room::new(&store).await;
    let two = Room::of(&store, &one.app, "carl").await;
    two.say("earlier").await;

    // The clock has to have moved, else no message is the newer one.
    eventually("a newer message", || async {
        let earlier = two.messages().await[0].created_at;
        one.say("later").await.created_at > earlier
    })
    .await;

    let rows = list(&store, one.app.id, "").await;
    assert_eq!(rows[0].last_message_preview.as_deref(), Some("later"));
    assert_eq!(rows[0].thread_count, 2);
}

pub(super) async fn a_subscribers_threads_show_how_much_was_said(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    room.say("one").await;
    let last = room.append(NewMessage { content: None, ..NewMessage::new(Role::Tool, "") }).await;

    let threads = threads_of(&room).await;

    assert_eq!(threads.len(), 1);
    assert_eq!(threads[0].thread, room.thread().await);
    assert_eq!(threads[0].message_count, 2);
    assert_eq!(threads[0].last_message_at, Some(last.unwrap().created_at));

    let silent = Room::of(&store, &room.app, "nora").await;
    let threads = threads_of(&silent).await;
    assert_eq!((threads[0].message_count, threads[0].last_message_at), (0, None));
    assert_eq!(threads[0].last_message_preview, None);
}
