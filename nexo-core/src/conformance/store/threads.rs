//! Threads.

use std::sync::Arc;

use crate::{
    Error, Holder, JsonObject, NewThread, Role, Scope, Store, ThreadChanges, ThreadFilter,
    ThreadId, ThreadStatus,
    conformance::{
        assert_fails,
        fixtures::{ALL, Room, at_once, completed, eventually, new_app, new_thread},
    },
};

fn label(status: ThreadStatus) -> ThreadChanges {
    ThreadChanges { status: Some(status), ..ThreadChanges::default() }
}

async fn ids(room: &Room, scope: &Scope, filter: ThreadFilter) -> Vec<ThreadId> {
    let page = room.store.list_threads(scope, room.app.id, &filter, None, ALL).await.unwrap();
    page.items.iter().map(|thread| thread.id).collect()
}

pub(super) async fn a_thread_keeps_what_it_was_given(store: Arc<dyn Store>) {
    let app = new_app(&store, "ann").await.id;
    let given = NewThread {
        title: Some("Größe 📏".into()),
        customer_id: Some("carl@例え.jp".into()),
        greeting: None,
    };

    let (made, greeting) = store.create_thread(&Scope::App(app), app, given).await.unwrap();
    let thread = store.get_thread(&Scope::Everything, made.id).await.unwrap();

    assert_eq!(thread, made);
    assert!(greeting.is_none());
    assert_eq!(thread.app, app);
    assert_eq!(thread.title.as_deref(), Some("Größe 📏"));
    assert_eq!(thread.customer_id.as_deref(), Some("carl@例え.jp"));
    assert_eq!((thread.status, thread.holder), (ThreadStatus::Active, Holder::Default));
    assert_eq!(thread.created_at, thread.updated_at);
}

pub(super) async fn a_greeting_is_the_first_message(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let given = NewThread {
        customer_id: Some("gina".into()),
        greeting: Some("Hi 👋".into()),
        ..NewThread::default()
    };

    let made = store.create_thread(&Scope::Everything, room.app.id, given).await.unwrap();

    let room = Room { thread: made.0, ..room };
    let greeting = made.1.unwrap();
    assert_eq!((greeting.thread, greeting.seq), (room.thread.id, 1));
    assert_eq!((greeting.role, greeting.content.as_deref()), (Role::Assistant, Some("Hi 👋")));
    assert_eq!(greeting.content_json, JsonObject::empty().with("source", "system"));
    assert_eq!(room.messages().await, [greeting]);
    assert_eq!(room.subscriber().await.last_message_at, None, "they have said nothing");
    assert_eq!(room.say("Hello").await.seq, 2);
}

pub(super) async fn without_a_customer_there_is_no_subscriber(store: Arc<dyn Store>) {
    let app = new_app(&store, "ann").await.id;

    for customer_id in [None, Some(String::new())] {
        let thread = NewThread { customer_id, ..NewThread::default() };
        let made = store.create_thread(&Scope::Everything, app, thread).await.unwrap().0;
        assert_eq!(made.subscriber, None);
    }

    let page = store.list_subscribers(&Scope::Everything, app, "", None, ALL).await.unwrap();
    assert!(page.items.is_empty());
}

pub(super) async fn threads_of_one_customer_share_a_subscriber(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let again = Room::of(&store, &room.app, "carl").await;
    let other_case = Room::of(&store, &room.app, "Carl").await;
    let other_app = Room::new(&store).await;

    assert_eq!(again.subscriber_id(), room.subscriber_id());
    assert_ne!(other_case.subscriber_id(), room.subscriber_id(), "an exact match is meant");
    assert_ne!(other_app.subscriber_id(), room.subscriber_id());
}

pub(super) async fn fifty_threads_at_once_for_a_new_customer_share_a_subscriber(
    store: Arc<dyn Store>,
) {
    let app = new_app(&store, "ann").await.id;

    let threads = at_once(50, |_| {
        let store = Arc::clone(&store);
        async move { new_thread(&store, app, "carl").await }
    })
    .await;

    assert!(threads.iter().all(|thread| thread.subscriber == threads[0].subscriber));
    let page = store.list_subscribers(&Scope::Everything, app, "", None, ALL).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.items[0].thread_count, 50);
}

pub(super) async fn another_thread_is_seen_by_the_subscriber(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let first = room.subscriber().await;

    eventually("a later sight", || async {
        new_thread(&store, room.app.id, "carl").await;
        room.subscriber().await.last_seen_at > first.last_seen_at
    })
    .await;

    assert_eq!(room.subscriber().await.last_message_at, None);
    assert_eq!(room.subscriber().await.created_at, first.created_at);
}

pub(super) async fn a_thread_in_an_app_outside_the_scope_is_not_created(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let app = room.app.id;

    for scope in room.outside_app().await {
        let thread = NewThread { customer_id: Some("eve".into()), ..NewThread::default() };
        assert_fails!(store.create_thread(&scope, app, thread).await, Error::AppNotFound(_));
    }

    assert_eq!(ids(&room, &Scope::Everything, ThreadFilter::default()).await, [room.thread.id]);
    let found = store.list_subscribers(&Scope::Everything, app, "eve", None, ALL).await.unwrap();
    assert!(found.items.is_empty());
}

pub(super) async fn a_thread_is_seen_from_every_scope_that_holds_it(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;

    for scope in room.inside() {
        assert_eq!(store.get_thread(&scope, room.thread.id).await.unwrap(), room.thread);
        assert_eq!(ids(&room, &scope, ThreadFilter::default()).await, [room.thread.id]);
    }
    for scope in room.inside() {
        let changes = label(ThreadStatus::Archived);
        assert!(store.update_thread(&scope, room.thread.id, changes).await.is_ok(), "{scope:?}");
        let doomed = Room::of(&store, &room.app, "carl").await;
        assert!(store.delete_thread(&scope, doomed.thread.id).await.is_ok(), "{scope:?}");
    }
}

pub(super) async fn a_thread_outside_the_scope_does_not_exist(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let id = room.thread.id;
    let mut scopes = room.outside_app().await;
    scopes.push(room.neighbour().await);

    for scope in scopes {
        assert_fails!(store.get_thread(&scope, id).await, Error::ThreadNotFound(_));
        let changes = label(ThreadStatus::Deleted);
        assert_fails!(store.update_thread(&scope, id, changes).await, Error::ThreadNotFound(_));
        assert_fails!(store.delete_thread(&scope, id).await, Error::ThreadNotFound(_));
    }

    assert_eq!(room.thread().await, room.thread);
    let unknown = ThreadId::new();
    assert_fails!(store.get_thread(&Scope::Everything, unknown).await, Error::ThreadNotFound(_));
}

pub(super) async fn a_list_of_threads_is_bound_to_its_scope(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let all = ThreadFilter::default();
    new_thread(&store, room.app.id, "").await;

    for scope in room.outside_app().await {
        let listed = store.list_threads(&scope, room.app.id, &all, None, ALL).await;
        assert_fails!(listed, Error::AppNotFound(_));
    }
    let neighbours = ids(&room, &room.neighbour().await, all.clone()).await;
    assert_eq!(neighbours.len(), 1, "their own");
    assert_ne!(neighbours[0], room.thread.id);
    assert_eq!(ids(&room, &room.inside()[3], all).await, [room.thread.id]);
}

pub(super) async fn threads_are_filtered_by_exact_customer_and_by_status(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let archived = new_thread(&store, room.app.id, "carl").await.id;
    store.update_thread(&Scope::Everything, archived, label(ThreadStatus::Archived)).await.unwrap();
    new_thread(&store, room.app.id, "carla").await;
    let filter = |customer: Option<&str>, statuses: Option<&[ThreadStatus]>| ThreadFilter {
        customer_id: customer.map(str::to_owned),
        statuses: statuses.map(<[_]>::to_vec),
    };
    let count = async |filter| ids(&room, &Scope::Everything, filter).await.len();

    assert_eq!(count(filter(Some("carl"), None)).await, 2);
    assert_eq!(count(filter(Some("CARL"), None)).await, 0);
    assert_eq!(count(filter(Some("c%"), None)).await, 0);
    assert_eq!(count(filter(None, Some(&[ThreadStatus::Active]))).await, 2);
    assert_eq!(count(filter(None, Some(&ThreadStatus::ALL))).await, 3);
    assert_eq!(count(filter(None, Some(&[]))).await, 0);
    let both = filter(Some("carl"), Some(&[ThreadStatus::Archived]));
    assert_eq!(ids(&room, &Scope::Everything, both).await, [archived]);
}

pub(super) async fn a_change_of_a_thread_leaves_what_it_does_not_name(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let title = |title: Option<&str>| ThreadChanges {
        title: Some(title.map(str::to_owned)),
        ..ThreadChanges::default()
    };
    let update = async |changes| {
        let changed = store.update_thread(&Scope::Everything, room.thread.id, changes).await;
        let changed = changed.unwrap();
        assert_eq!(room.thread().await, changed, "what is told is what is stored");
        changed
    };

    let titled = update(title(Some("New"))).await;
    assert_eq!((titled.title.as_deref(), titled.status), (Some("New"), ThreadStatus::Active));
    let archived = update(label(ThreadStatus::Archived)).await;
    assert_eq!((archived.title.as_deref(), archived.status), (Some("New"), ThreadStatus::Archived));
    let cleared = update(title(None)).await;
    assert_eq!((cleared.title, cleared.status), (None, ThreadStatus::Archived));
    assert_eq!(cleared.customer_id, room.thread.customer_id);
    assert_eq!(cleared.subscriber, room.thread.subscriber);
    assert_eq!(cleared.created_at, room.thread.created_at);
}

pub(super) async fn every_change_of_a_thread_touches_it(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;

    eventually("a later change", || async {
        let before = room.thread().await;
        let nothing = ThreadChanges::default();
        let after = store.update_thread(&Scope::Everything, before.id, nothing).await.unwrap();
        assert!(after.version > before.version);
        after.updated_at > room.thread.updated_at
    })
    .await;
}

pub(super) async fn deleting_a_thread_deletes_what_was_said_and_run(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let kept = Room::of(&store, &room.app, "carl").await;
    kept.say("stays").await;
    let start = room.started().await;
    let all = Scope::Everything;

    store.delete_thread(&all, room.thread.id).await.unwrap();

    assert_fails!(store.get_thread(&all, room.thread.id).await, Error::ThreadNotFound(_));
    assert_fails!(store.delete_thread(&all, room.thread.id).await, Error::ThreadNotFound(_));
    assert_fails!(store.get_message(&all, start.message.id).await, Error::MessageNotFound);
    assert_fails!(store.get_run(&all, start.run.id).await, Error::RunNotFound);
    assert_eq!(kept.messages().await.len(), 1);
}

pub(super) async fn a_subscriber_goes_with_its_last_thread(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let second = Room::of(&store, &room.app, "carl").await;
    let (all, app, subscriber) = (Scope::Everything, room.app.id, room.subscriber_id());

    store.delete_thread(&all, room.thread.id).await.unwrap();
    assert_eq!(second.subscriber().await.id, subscriber, "it is still needed");

    store.delete_thread(&all, second.thread.id).await.unwrap();
    assert_fails!(store.get_subscriber(&all, app, subscriber).await, Error::SubscriberNotFound);

    let returned = Room::of(&store, &room.app, "carl").await;
    assert_ne!(returned.subscriber_id(), subscriber);
}

pub(super) async fn a_deleted_threads_run_can_speak_no_more(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let start = room.started().await;

    store.delete_thread(&Scope::Everything, room.thread.id).await.unwrap();

    assert_fails!(store.finish_run(completed(&start.run, "late")).await, Error::Fenced);
}
