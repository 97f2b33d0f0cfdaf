//! A connection that is lost in the middle: nobody can say whether the commit came to pass.

use std::sync::Arc;

use nexo_core::{
    AppChanges, AppStore as _, Error, KeyRing, MessageStore as _, NewMessage, Role,
    ThreadStore as _,
};
use nexo_store_postgres::{PostgresOptions, PostgresStore};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::room::Room;

/// A store on the room's database, whose connection is cut as soon as it sends this text.
async fn cut_at(text: &'static str, room: &Room) -> PostgresStore {
    let url = room.database.url();
    let (head, rest) = url.split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    tokio::spawn(relay_all(proxy, Arc::from(server), text));

    let url = format!("{head}@{address}/{database}");
    let one = PostgresOptions::new().with_max_connections(1);
    PostgresStore::connect(&url, one, KeyRing::generate("test")).await.unwrap()
}

async fn relay_all(proxy: TcpListener, server: Arc<str>, text: &'static str) {
    while let Ok((client, _)) = proxy.accept().await {
        let server = TcpStream::connect(&*server).await.unwrap();
        tokio::spawn(relay(client, server, text.as_bytes()));
    }
}

/// Passes on what comes from either side, until the client sends `text`: the server gets it
/// still, but its answer does not come back.
async fn relay(mut client: TcpStream, mut server: TcpStream, text: &[u8]) {
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            Ok(count) = client.read(&mut asked) => {
                if count == 0 || server.write_all(&asked[..count]).await.is_err() {
                    return;
                }
                if asked[..count].windows(text.len()).any(|window| window == text) {
                    return;
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
