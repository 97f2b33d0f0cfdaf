//! What a failing database looks like from outside.

use std::time::Duration;

use nexo_core::{
    Error, KeyRing, MessageStore as _, NewMessage, Role, ServerStore as _, ThreadStore as _,
};
use nexo_store_postgres::{PostgresOptions, PostgresStore};
use tokio::net::TcpListener;

use crate::{common::fresh_store, room::Room};

fn keys() -> KeyRing {
    KeyRing::generate("test")
}

#[tokio::test]
async fn a_database_that_is_not_there_is_unavailable() {
    // Nobody listens on a port that was just given back.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();

    let url = format!("postgres://nobody@127.0.0.1:{port}/nothing");
    let connected = PostgresStore::connect(&url, PostgresOptions::new(), keys()).await;

    assert!(matches!(connected, Err(Error::Unavailable(_))), "{connected:?}");
}

#[tokio::test]
async fn a_database_that_never_says_a_word_is_unavailable() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://nobody@{}/nothing", silent.local_addr().unwrap());

    let options = PostgresOptions::new().with_acquire_timeout(Duration::from_millis(50));
    let connected = PostgresStore::connect(&url, options, keys()).await;

    assert!(matches!(connected, Err(Error::Unavailable(_))), "{connected:?}");
}

#[tokio::test]
async fn a_url_that_is_none_is_refused() {
    let connected = PostgresStore::connect("no url", PostgresOptions::new(), keys()).await;

    assert!(matches!(connected, Err(Error::Store(_))), "{connected:?}");
}

#[tokio::test]
async fn when_all_connections_are_taken_it_is_unavailable() {
    let (_, database) = fresh_store().await;
    let options = PostgresOptions::new()
        .with_max_connections(1)
        .with_acquire_timeout(Duration::from_millis(50));
    let store = PostgresStore::connect(&database.url(), options, keys()).await.unwrap();

    let taken = store.pool().acquire().await.unwrap();
    let refused = store.ping().await;
    drop(taken);

    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn who_waits_too_long_for_a_lock_is_told_so_and_wrote_nothing() {
    let room = Room::new().await;
    let options = PostgresOptions::new().with_lock_timeout(Duration::from_millis(50));
    let impatient = PostgresStore::connect(&room.database.url(), options, keys()).await.unwrap();
    let mut holder = room.store.pool().begin().await.unwrap();
    sqlx::query("select 1 from nexo_threads for update").execute(&mut *holder).await.unwrap();

    let hello = NewMessage::new(Role::User, "Hello");
    let appended =
        impatient.append_message(&room.scope(), room.app.id, room.thread.id, hello).await;
    holder.rollback().await.unwrap();

    assert!(matches!(appended, Err(Error::Unavailable(_))), "{appended:?}");
    assert_eq!(room.say("Hello").await.unwrap().seq, 1);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_stopped() {
    let (_, database) = fresh_store().await;
    let options = PostgresOptions::new().with_statement_timeout(Duration::from_millis(50));
    let store = PostgresStore::connect(&database.url(), options, keys()).await.unwrap();

    let stopped = sqlx::query("select pg_sleep(60)").execute(store.pool()).await;

    let code = stopped.unwrap_err().into_database_error().unwrap();
    assert_eq!(code.code().as_deref(), Some("57014"));
}

/// As when the server is restarted: what was open is lost, and the next try finds its way.
#[tokio::test]
async fn after_all_connections_were_cut_the_store_recovers() {
    let room = Room::new().await;
    let scope = room.scope();
    let outsider = room.database.connect().await;
    sqlx::query(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()",
    )
    .execute(outsider.pool())
    .await
    .unwrap();

    let mut attempts = 0;
    while let Err(error) = room.store.get_thread(&scope, room.thread.id).await {
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        attempts += 1;
        assert!(attempts < 10, "still unavailable");
    }

    assert_eq!(room.say("Hello").await.unwrap().seq, 1);
}

#[tokio::test]
async fn text_that_postgresql_cannot_keep_is_kept_as_well_as_it_can() {
    let room = Room::new().await;

    let message = room.say("a\0b").await.unwrap();

    assert_eq!(message.content.as_deref(), Some("a\u{fffd}b"));
}
