//! Many callers at once, on one file.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::{app_with_thread, open, text};
use nexo_core::{MessageRange, MessageStore, Scope};

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_get_distinct_numbers_and_nobody_is_turned_away() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let (app, thread) = app_with_thread(&store).await;

    let appends = (0..400).map(|number| {
        let (store, message) = (store.clone(), text(&format!("message {number}")));
        tokio::spawn(async move {
            store.append_message(&Scope::Everything, app, thread, message).await.unwrap().seq
        })
    });
    let mut seqs = Vec::new();
    for append in appends.collect::<Vec<_>>() {
        seqs.push(append.await.unwrap());
    }

    seqs.sort_unstable();
    assert_eq!(seqs, (1..=400).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_sees_every_write_that_was_answered_before() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let (app, thread) = app_with_thread(&store).await;
    let everything = Scope::Everything;

    for _ in 0..50 {
        let said = store.append_message(&everything, app, thread, text("x")).await.unwrap();
        let newest = MessageRange::Newest { before: None };
        let found = store.list_messages(&everything, app, thread, newest, 1).await.unwrap();

        assert_eq!(found, [said]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_on_one_file_wait_for_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let other = open(directory.path()).await;
    let (app, thread) = app_with_thread(&store).await;

    let appends = (0..100).map(|number| {
        let store = if number % 2 == 0 { store.clone() } else { other.clone() };
        tokio::spawn(async move {
            store.append_message(&Scope::Everything, app, thread, text("x")).await.unwrap().seq
        })
    });
    let mut seqs = Vec::new();
    for append in appends.collect::<Vec<_>>() {
        seqs.push(append.await.unwrap());
    }

    seqs.sort_unstable();
    assert_eq!(seqs, (1..=100).collect::<Vec<i64>>());
}
