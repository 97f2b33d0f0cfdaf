//! A connection that is lost in the middle: nobody can say whether the commit came to pass. One
//! whose server stands still: others do not wait for it. And one over which somebody began
//! something and went away: whoever has it next notices nothing.

use std::{sync::Arc, time::Duration};

use nexo_core::{
    AppChanges, AppStore as _, Error, KeyRing, MessageStore as _, NewMessage, Role,
    ThreadStore as _,
    accounts::{NewUser, UserChanges, UserStore as _},
};
use nexo_store_postgres::{PostgresOptions, PostgresStore};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::room::Room;

/// What becomes of a connection over which a certain text is sent.
#[derive(Clone)]
enum Fate {
    /// The server gets the text still, but its answer does not come back.
    Cut,
    /// Nothing passes any more, and somebody is told.
    Stuck(Arc<Notify>),
    /// The server gets the text, somebody is told, and its answer comes when they say so.
    Late(Arc<Notify>, Arc<Notify>),
}

/// A store on the room's database, whose connection is cut as soon as it sends this text.
async fn cut_at(text: &'static str, room: &Room) -> PostgresStore {
    let one = PostgresOptions::new().with_max_connections(1);
    connect(one, text, Fate::Cut, room).await
}

async fn connect(
    options: PostgresOptions,
    text: &'static str,
    fate: Fate,
    room: &Room,
) -> PostgresStore {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, url) = room.database_behind(proxy.local_addr().unwrap());
    tokio::spawn(relay_all(proxy, Arc::from(server), text, fate));

    PostgresStore::connect(&url, options, KeyRing::generate("test")).await.unwrap()
}

async fn relay_all(proxy: TcpListener, server: Arc<str>, text: &'static str, fate: Fate) {
    while let Ok((client, _)) = proxy.accept().await {
        let server = TcpStream::connect(&*server).await.unwrap();
        tokio::spawn(relay(client, server, text.as_bytes(), fate.clone()));
    }
}

/// Passes on what comes from either side, until the client sends `text`.
async fn relay(mut client: TcpStream, mut server: TcpStream, text: &[u8], fate: Fate) {
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            Ok(count) = client.read(&mut asked) => {
                let found = asked[..count].windows(text.len()).any(|window| window == text);
                if let (true, Fate::Stuck(stuck)) = (found, &fate) {
                    stuck.notify_one();
                    return std::future::pending().await;
                }
                let passed_on = count > 0 && server.write_all(&asked[..count]).await.is_ok();
                match &fate {
                    Fate::Late(told, answer) if found && passed_on => {
                        told.notify_one();
                        answer.notified().await;
                    }
                    _ if found || !passed_on => return,
                    _ => {}
                }
            }
            Ok(count) = server.read(&mut answered) => {
                if count == 0 || client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
}

#[tokio::test]
async fn lost_during_a_statement_that_commits_the_outcome_is_unknown() {
    let room = Room::new().await;
    let store = cut_at("insert into nexo_messages", &room).await;

    let hello = NewMessage::new(Role::User, "Hello");
    let said = store.append_message(&room.scope(), room.app.id, room.thread.id, hello).await;

    assert!(matches!(said, Err(Error::OutcomeUnknown(_))), "{said:?}");
}

#[tokio::test]
async fn lost_during_a_commit_the_outcome_is_unknown() {
    let room = Room::new().await;
    let store = cut_at("COMMIT", &room).await;

    let changed = store.update_app(&room.scope(), room.app.id, AppChanges::default()).await;

    assert!(matches!(changed, Err(Error::OutcomeUnknown(_))), "{changed:?}");
}

#[tokio::test]
async fn lost_before_a_commit_nothing_was_written() {
    let room = Room::new().await;
    let store = cut_at("update nexo_apps", &room).await;

    let changes = AppChanges { name: Some("New".into()), ..AppChanges::default() };
    let changed = store.update_app(&room.scope(), room.app.id, changes).await;

    assert!(matches!(changed, Err(Error::Unavailable(_))), "{changed:?}");
    let app = room.store.get_app(&room.scope(), room.app.id).await.unwrap();
    assert_eq!(app.name, "Shop");
}

#[tokio::test]
async fn lost_during_a_read_it_is_unavailable() {
    let room = Room::new().await;
    let store = cut_at("from nexo_threads", &room).await;

    let read = store.get_thread(&room.scope(), room.thread.id).await;

    assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
}

#[tokio::test]
async fn a_server_that_stands_still_within_a_transaction_keeps_nobody_out() {
    let room = Room::new().await;
    let stuck = Arc::new(Notify::new());
    let options = PostgresOptions::new().with_standstill_timeout(Duration::from_millis(50));
    let frozen = connect(options, "COMMIT", Fate::Stuck(Arc::clone(&stuck)), &room).await;
    let (scope, app) = (room.scope(), room.app.id);
    let changes = |name: &str| AppChanges { name: Some(name.into()), ..AppChanges::default() };
    let theirs = changes("Theirs");
    tokio::spawn(async move { frozen.update_app(&scope, app, theirs).await });
    stuck.notified().await;

    let changed = room.store.update_app(&room.scope(), app, changes("Ours")).await;

    assert_eq!(changed.unwrap().name, "Ours");
}

#[tokio::test]
async fn a_transaction_that_was_broken_off_at_its_begin_takes_in_nothing_of_others() {
    a_transaction_broken_off_takes_in_nothing_of_others("BEGIN").await;
}

#[tokio::test]
async fn a_transaction_that_was_broken_off_in_the_middle_takes_in_nothing_of_others() {
    a_transaction_broken_off_takes_in_nothing_of_others("update nexo_apps").await;
}

/// That it failed is found out only afterwards.
#[tokio::test]
async fn a_transaction_that_was_broken_off_and_failed_keeps_nobody_from_its_connection() {
    let room = Room::new().await;
    let (begun, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let fate = Fate::Late(Arc::clone(&begun), Arc::clone(&answer));
    let one = PostgresOptions::new().with_max_connections(1);
    let ann = room.store.create_user(new_user("ann@example.com")).await.unwrap();
    room.store.create_user(new_user("bob@example.com")).await.unwrap();
    let store = connect(one, "bob@example.com", fate, &room).await;
    let taken = UserChanges { email: Some("bob@example.com".into()), ..UserChanges::default() };

    tokio::select! {
        changed = store.update_user(ann.id, taken) => panic!("{changed:?}"),
        () = begun.notified() => answer.notify_one(),
    }

    let found = store.find_user(ann.id).await.unwrap();
    assert_eq!(found.unwrap().email, "ann@example.com");
}

fn new_user(email: &str) -> NewUser {
    NewUser {
        email: email.into(),
        hashed_password: "hash".into(),
        is_superuser: false,
        is_verified: false,
        locale: "en".into(),
    }
}

async fn a_transaction_broken_off_takes_in_nothing_of_others(text: &'static str) {
    let room = Room::new().await;
    let (begun, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let fate = Fate::Late(Arc::clone(&begun), Arc::clone(&answer));
    let one = PostgresOptions::new().with_max_connections(1);
    let store = connect(one, text, fate, &room).await;
    let (scope, app, thread) = (room.scope(), room.app.id, room.thread.id);
    let changing = tokio::spawn({
        let (store, scope) = (store.clone(), scope.clone());
        async move { store.update_app(&scope, app, AppChanges::default()).await }
    });
    begun.notified().await;
    changing.abort();
    assert!(changing.await.unwrap_err().is_cancelled());
    answer.notify_one();

    let hello = NewMessage::new(Role::User, "Hello");
    let said = store.append_message(&scope, app, thread, hello).await.unwrap();

    let found = room.store.get_message(&scope, said.id).await;
    assert_eq!(found.unwrap().id, said.id, "it was acknowledged, and others do not see it");
}

#[tokio::test]
async fn a_deletion_is_waited_for_longer_than_other_statements() {
    let room = Room::new().await;
    let options = PostgresOptions::new()
        .with_statement_timeout(Duration::from_secs(2))
        .with_silence_timeout(Duration::from_millis(100));
    let (begun, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let fate = Fate::Late(Arc::clone(&begun), Arc::clone(&answer));
    let deleting = connect(options.clone(), "delete from nexo_threads", fate, &room).await;
    let stuck = Fate::Stuck(Arc::new(Notify::new()));
    let reading = connect(options, "from nexo_threads", stuck, &room).await;
    let (scope, app) = (room.scope(), room.app.id);
    let deleted = tokio::spawn(async move { deleting.delete_app(&scope, app).await });
    begun.notified().await;

    let read = reading.get_thread(&room.scope(), room.thread.id).await;
    answer.notify_one();

    assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
    deleted.await.unwrap().unwrap();
}
