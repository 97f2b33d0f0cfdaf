//! Messages.

use std::sync::Arc;

use crate::{
    Error, JsonObject, MAX_LISTED_BYTES, MessageId, MessageRange, NewMessage, Role, Scope, Store,
    ThreadChanges, ThreadId, ThreadStatus,
    conformance::{
        assert_fails,
        fixtures::{ALL, Room, at_once, eventually, new_app},
    },
};

/// What databases, drivers and JSON encoders are known to stumble over.
const TEXTS: [&str; 9] = [
    "",
    " \t leading and trailing \n ",
    "👩🏽‍🚀👨‍👩‍👧‍👦🇺🇳",
    "e\u{301} is not é",
    "\u{feff}a byte order mark and \u{200b}\u{202e} what can't be seen",
    "line\r\nline\u{2028}line",
    "it's $1, %s, ?1, :name, {} and \"quoted\" -- \\n \\u0000",
    "\u{1}\u{7f}\u{fffd}\u{10ffff}",
    "null",
];

async fn list(room: &Room, range: MessageRange, limit: u32) -> Vec<i64> {
    let (app, thread) = (room.app.id, room.thread.id);
    let found = room.store.list_messages(&Scope::Everything, app, thread, range, limit).await;
    found.unwrap().iter().map(|message| message.seq).collect()
}

pub(super) async fn messages_are_numbered_from_one(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let other = Room::of(&store, &room.app, "carl").await;

    for seq in 1..=5 {
        let message = room.say("Hello").await;
        assert_eq!((message.seq, message.thread), (seq, room.thread.id));
    }

    assert_eq!(other.say("Hello").await.seq, 1, "each thread counts for itself");
}

/// Two writers at once must not share a number: a reader going on from it would miss one.
pub(super) async fn fifty_appends_at_once_leave_no_gap(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;

    let mut seqs = at_once(50, |_| {
        let room = room.clone();
        async move { room.say("Hello").await.seq }
    })
    .await;

    seqs.sort_unstable();
    assert_eq!(seqs, (1..=50).collect::<Vec<_>>());
    assert_eq!(list(&room, MessageRange::After(0), ALL).await, seqs);
}

pub(super) async fn what_is_said_comes_back_unchanged(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let mut said = Vec::new();

    for text in TEXTS {
        for role in Role::ALL {
            let message = room.append(NewMessage::new(role, text)).await.unwrap();
            assert_eq!((message.role, message.content.as_deref()), (role, Some(text)));
            said.push(message);
        }
    }
    let wordless = NewMessage { content: None, ..NewMessage::new(Role::Tool, "") };
    said.push(room.append(wordless).await.unwrap());

    assert_eq!(room.messages().await, said);
    assert_eq!(said.last().unwrap().content, None);
    for message in said {
        assert_eq!(store.get_message(&Scope::Everything, message.id).await.unwrap(), message);
    }
}

pub(super) async fn long_texts_come_back_unchanged(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;

    for text in ["x".repeat(256 * 1024), "🚀".repeat(64 * 1024)] {
        let message = room.say(&text).await;
        let found = store.get_message(&Scope::Everything, message.id).await.unwrap();
        assert!(found.content.as_deref() == Some(&*text), "a long text has changed");
    }
}

pub(super) async fn structured_data_comes_back_character_by_character(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let text = r#"{ "z": {"é": ["\u00e9", "👋", null, true]}, "a":1.10, "big": 12345678901234567890123, "a": 2 }"#;
    let content_json: JsonObject = text.parse().unwrap();

    let message = room
        .append(NewMessage { content_json, ..NewMessage::new(Role::Assistant, "see") })
        .await
        .unwrap();

    assert_eq!(message.content_json.as_str(), text);
    let found = store.get_message(&Scope::Everything, message.id).await.unwrap();
    assert_eq!(found.content_json.as_str(), text);
}

pub(super) async fn a_message_touches_its_thread(store: Arc<dyn Store>) {
    for role in Role::ALL {
        let room = Room::new(&store).await;
        eventually("a later change", || async {
            let version = room.thread().await.version;
            room.append(NewMessage::new(role, "Hello")).await.unwrap();
            assert!(room.thread().await.version > version);
            room.thread().await.updated_at > room.thread.updated_at
        })
        .await;
    }
}

pub(super) async fn only_a_users_message_touches_the_subscriber(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let before = room.subscriber().await;

    for role in [Role::Assistant, Role::System, Role::Tool] {
        room.append(NewMessage::new(role, "Hello")).await.unwrap();
        assert_eq!(room.subscriber().await, before);
    }
    let said = room.say("Hello").await;

    let after = room.subscriber().await;
    assert_eq!(after.last_message_at, Some(said.created_at));
    assert_eq!(after.last_seen_at, Some(said.created_at));
    assert_eq!((after.id, after.created_at), (before.id, before.created_at));
}

pub(super) async fn a_thread_labelled_deleted_takes_only_what_is_meant_for_it(
    store: Arc<dyn Store>,
) {
    let room = Room::new(&store).await;
    let guarded = || NewMessage { to_deleted: false, ..NewMessage::new(Role::User, "Hello") };
    let label = async |status| {
        let changes = ThreadChanges { status: Some(status), ..ThreadChanges::default() };
        store.update_thread(&Scope::Everything, room.thread.id, changes).await.unwrap();
    };

    for status in [ThreadStatus::Active, ThreadStatus::Archived] {
        label(status).await;
        room.append(guarded()).await.unwrap();
    }
    label(ThreadStatus::Deleted).await;
    let before = (room.thread().await, room.subscriber().await);
    assert_fails!(room.append(guarded()).await, Error::Conflict(_));

    assert_eq!((room.thread().await, room.subscriber().await), before, "nothing was written");
    assert_eq!(room.say("Hello").await.seq, 3);
}

pub(super) async fn the_newest_messages_are_listed_in_rising_order(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    for _ in 0..7 {
        room.say("Hello").await;
    }
    let newest = |before| MessageRange::Newest { before };

    assert_eq!(list(&room, newest(None), 3).await, [5, 6, 7]);
    assert_eq!(list(&room, newest(None), ALL).await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(list(&room, newest(Some(5)), 3).await, [2, 3, 4]);
    assert_eq!(list(&room, newest(Some(2)), 3).await, [1]);
    assert_eq!(list(&room, newest(Some(i64::MAX)), 1).await, [7]);
    assert_eq!(list(&room, newest(Some(1)), 3).await, [0; 0]);
    assert_eq!(list(&room, newest(Some(i64::MIN)), 3).await, [0; 0]);
}

pub(super) async fn messages_after_a_number_are_listed_oldest_first(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    for _ in 0..5 {
        room.say("Hello").await;
    }

    assert_eq!(list(&room, MessageRange::After(0), 2).await, [1, 2]);
    assert_eq!(list(&room, MessageRange::After(2), 2).await, [3, 4]);
    assert_eq!(list(&room, MessageRange::After(4), 2).await, [5]);
    assert_eq!(list(&room, MessageRange::After(5), 2).await, [0; 0]);
    assert_eq!(list(&room, MessageRange::After(i64::MAX), 2).await, [0; 0]);
    assert_eq!(list(&room, MessageRange::After(i64::MIN), 2).await, [1, 2]);
}

/// However long messages are, what a listing takes in memory is bounded.
pub(super) async fn a_list_of_long_messages_ends_early(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let long = "x".repeat(MAX_LISTED_BYTES / 2);
    for text in ["Hello", &long, "Hello", &long, "Hello", "Hello"] {
        room.say(text).await;
    }
    let newest = |before| MessageRange::Newest { before };

    assert_eq!(list(&room, MessageRange::After(0), ALL).await, [1, 2, 3, 4]);
    assert_eq!(list(&room, MessageRange::After(4), ALL).await, [5, 6]);
    assert_eq!(list(&room, newest(None), ALL).await, [1, 2, 3, 4]);
    assert_eq!(list(&room, newest(None), 4).await, [3, 4, 5, 6]);
    assert_eq!(list(&room, newest(Some(5)), 3).await, [2, 3, 4]);

    let mut both = NewMessage::new(Role::User, &*long);
    both.content_json = JsonObject::empty().with("é", &*long);
    room.append(both).await.unwrap();
    room.say("Hello").await;
    assert_eq!(list(&room, MessageRange::After(5), ALL).await, [6, 7], "data counts as well");
    assert_eq!(list(&room, MessageRange::After(6), ALL).await, [7], "one is always listed");
}

pub(super) async fn messages_outside_the_scope_do_not_exist(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let message = room.say("Hello").await;
    let (app, thread, all) = (room.app.id, room.thread.id, MessageRange::After(0));
    let hello = || NewMessage::new(Role::User, "Hello");

    for scope in room.outside_app().await {
        let listed = store.list_messages(&scope, app, thread, all, ALL).await;
        assert_fails!(listed, Error::AppNotFound(_));
        let appended = store.append_message(&scope, app, thread, hello()).await;
        assert_fails!(appended, Error::AppNotFound(_));
        assert_fails!(store.get_message(&scope, message.id).await, Error::MessageNotFound);
    }
    let scope = room.neighbour().await;
    assert_fails!(
        store.list_messages(&scope, app, thread, all, ALL).await,
        Error::ThreadNotFound(_)
    );
    assert_fails!(
        store.append_message(&scope, app, thread, hello()).await,
        Error::ThreadNotFound(_)
    );
    assert_fails!(store.get_message(&scope, message.id).await, Error::MessageNotFound);
    assert_fails!(
        store.get_message(&Scope::Everything, MessageId::new()).await,
        Error::MessageNotFound
    );

    let only = std::slice::from_ref(&message);
    assert_eq!(room.messages().await, only);
    for scope in room.inside() {
        assert_eq!(store.get_message(&scope, message.id).await.unwrap(), message);
        let listed = store.list_messages(&scope, app, thread, all, 1).await.unwrap();
        assert_eq!(listed, only);
        store.append_message(&scope, app, thread, hello()).await.unwrap();
    }
}

pub(super) async fn a_thread_of_another_app_takes_no_message(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let other = new_app(&store, "ann").await.id;
    let scope = Scope::Owner(room.app.owner.clone());

    for (app, thread) in [(other, room.thread.id), (room.app.id, ThreadId::new())] {
        let hello = NewMessage::new(Role::User, "Hello");
        let appended = store.append_message(&scope, app, thread, hello).await;
        assert_fails!(appended, Error::ThreadNotFound(_));
        let listed = store.list_messages(&scope, app, thread, MessageRange::After(0), ALL).await;
        assert_fails!(listed, Error::ThreadNotFound(_));
    }

    assert!(room.messages().await.is_empty());
}
