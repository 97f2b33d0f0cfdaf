//! What was acknowledged is there, and what is secret is not readable, whatever happens.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

mod common;

use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use common::{app_with_thread, keys, open, text};
use nexo_core::{
    AppChanges, AppId, AppStore, Error, KeyRing, MessageId, MessageRange, MessageStore, NewApp,
    Scope, ThreadId, ThreadStore,
};
use nexo_store_sqlite::{SqliteOptions, SqliteStore};

const ALL: MessageRange = MessageRange::After(0);

#[tokio::test]
async fn a_sealed_secret_is_nowhere_in_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let (first, second) = ("first-secret-of-the-app", "second-secret-of-the-app");
    let mut new = NewApp::new("owner".parse().unwrap(), "readable");
    new.webhook_secret = Some(first.into());
    let app = store.create_app(new).await.unwrap();
    let changes = AppChanges {
        webhook_secret: Some(Some(second.into())),
        secret_overlap: std::time::Duration::from_secs(60),
        ..AppChanges::default()
    };

    store.update_app(&Scope::Everything, app.id, changes).await.unwrap();

    assert!(on_disk(directory.path(), "readable"));
    assert!(!on_disk(directory.path(), first) && !on_disk(directory.path(), second));
    store.close().await;
    assert!(on_disk(directory.path(), "readable"));
    assert!(!on_disk(directory.path(), first) && !on_disk(directory.path(), second));
}

/// Whether a text is in the database or one of the files beside it.
fn on_disk(directory: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(directory).unwrap();
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test]
async fn a_secret_opens_after_reopening_with_the_same_keys_only() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let mut new = NewApp::new("owner".parse().unwrap(), "app");
    new.webhook_secret = Some("hunter2".into());
    let app = store.create_app(new).await.unwrap();
    store.close().await;

    let same = open(directory.path()).await;
    let found = same.get_app(&Scope::Everything, app.id).await.unwrap();
    assert_eq!(found, app);

    let path = directory.path().join("nexo.db");
    let other = SqliteStore::open(path, KeyRing::generate("other")).await.unwrap();
    let refused = other.get_app(&Scope::Everything, app.id).await;
    assert!(matches!(refused, Err(Error::Corrupt(_))));
}

#[tokio::test]
async fn everything_acknowledged_is_there_after_reopening_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let (app, thread) = app_with_thread(&store).await;
    let mut said = Vec::new();
    for number in 0..20 {
        let message = text(&format!("message {number}"));
        said.push(store.append_message(&Scope::Everything, app, thread, message).await.unwrap());
    }
    store.close().await;

    let store = open(directory.path()).await;

    let found = store.list_messages(&Scope::Everything, app, thread, ALL, 100).await.unwrap();
    assert_eq!(found, said);
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_readable_for_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();

    let store = open(directory.path()).await;
    app_with_thread(&store).await;

    for file in std::fs::read_dir(directory.path()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_full_disk_refuses_what_needs_space_and_keeps_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(directory.path().join("nexo.db")).with_max_bytes(600 * 1024);
    let store = SqliteStore::open_with(options, keys()).await.unwrap();
    store.migrate().await.unwrap();
    let (app, thread) = app_with_thread(&store).await;
    let (_, spare) = app_with_thread(&store).await;
    let everything = Scope::Everything;
    let large = "x".repeat(10_000);

    let appends = (0..100).map(|_| {
        let (store, message) = (store.clone(), text(&large));
        tokio::spawn(
            async move { store.append_message(&Scope::Everything, app, thread, message).await },
        )
    });
    let (mut said, mut refused) = (Vec::new(), 0);
    for append in appends.collect::<Vec<_>>() {
        match append.await.unwrap() {
            Ok(message) => said.push(message),
            Err(Error::Full(_)) => refused += 1,
            // Its group went down with the one that did not fit.
            Err(Error::Unavailable(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    assert!(refused > 0);
    said.sort_by_key(|message| message.seq);
    let mut found = Vec::new();
    while found.len() < said.len() {
        let rest = MessageRange::After(i64::try_from(found.len()).unwrap());
        let listed = store.list_messages(&everything, app, thread, rest, 200).await.unwrap();
        assert!(!listed.is_empty(), "what was acknowledged is gone");
        found.extend(listed);
    }
    assert_eq!(found, said);

    store.delete_thread(&everything, thread).await.unwrap();
    let spare = store.get_thread(&everything, spare).await.unwrap();
    store.append_message(&everything, spare.app, spare.id, text(&large)).await.unwrap();
}

const APPEND_TO: &str = "NEXO_TEST_APPEND_TO";
const KILL_AFTER: usize = 400;

/// Starts itself as another process, which appends until it is killed.
#[test]
fn what_was_acknowledged_survives_a_kill() {
    if let Some(directory) = env::var_os(APPEND_TO) {
        return append_forever(&PathBuf::from(directory));
    }
    let directory = tempfile::tempdir().unwrap();

    let acknowledged = append_in_another_process_and_kill_it(directory.path());

    assert!(acknowledged.len() >= KILL_AFTER);
    run(async {
        let store = open(directory.path()).await;
        for id in acknowledged {
            store.get_message(&Scope::Everything, id).await.unwrap();
        }
    });
}

fn append_in_another_process_and_kill_it(directory: &Path) -> Vec<MessageId> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "what_was_acknowledged_survives_a_kill", "--nocapture"])
        .env(APPEND_TO, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    // What it said before it died counts, also when it is read afterwards.
    for line in lines.map_while(Result::ok) {
        if let Some(id) = line.strip_prefix("acknowledged ").and_then(|id| id.parse().ok()) {
            acknowledged.push(id);
        }
        if acknowledged.len() == KILL_AFTER {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    acknowledged
}

fn append_forever(directory: &Path) {
    run(async {
        let store = open(directory).await;
        let (app, thread) = app_with_thread(&store).await;
        for _ in 0..8 {
            tokio::spawn(append_and_acknowledge(store.clone(), app, thread));
        }
        std::future::pending().await
    });
}

async fn append_and_acknowledge(store: SqliteStore, app: AppId, thread: ThreadId) {
    loop {
        let said = store.append_message(&Scope::Everything, app, thread, text("there?")).await;
        println!("acknowledged {}", said.unwrap().id);
    }
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work);
}
