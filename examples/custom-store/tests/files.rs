//! What the suite can't know: what becomes of the files.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use custom_store::FiledDeliveries;
use nexo_core::{
    App, AppStore, Delivery, DeliveryId, DeliveryStore, Frames, MemoryStore, NewMessage, NewThread,
    Nexo, Role, Run, RunStore, Scope, Thread, ThreadStore,
};
use tempfile::TempDir;

type Store = FiledDeliveries<MemoryStore>;

/// A store with a delivery of a run, in a directory.
async fn with_a_delivery() -> (TempDir, Store, App, Thread) {
    let directory = tempfile::tempdir().unwrap();
    let store = FiledDeliveries::open(directory.path(), MemoryStore::new()).unwrap();
    let nexo = Nexo::builder().store(Arc::new(store.clone())).build();
    let app = nexo.ensure_app("nora".parse().unwrap(), "Bakery", [""; 0]).await.unwrap();
    let all = Scope::Everything;
    let (thread, _) = store.create_thread(&all, app.id, NewThread::default()).await.unwrap();
    let said = NewMessage::new(Role::User, "Hi");
    let asked = nexo.engine().ask(&all, app.id, thread.id, said, Default::default(), None).await;
    let (_, watch) = asked.unwrap().made;
    let run = store.get_run(&all, watch.run()).await.unwrap();
    watch.end().await.unwrap();
    store.record_delivery(delivery(&run)).await.unwrap();
    (directory, store, app, thread)
}

fn delivery(run: &Run) -> Delivery {
    Delivery {
        id: DeliveryId::new(),
        app: run.app,
        run: run.id,
        agent: run.agent,
        replay: None,
        repeats: None,
        attempt: run.attempt,
        url: "https://example.com/".into(),
        request_headers: Vec::new(),
        request_body: Vec::new(),
        peer: None,
        status: None,
        response_headers: Vec::new(),
        response_body: Vec::new(),
        response_bytes: 0,
        frames: Frames::default(),
        error: None,
        error_detail: None,
        started_at: run.created_at,
        first_byte_after: None,
        ended_after: Duration::ZERO,
    }
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(directory).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

#[tokio::test]
async fn the_files_of_a_thread_that_is_deleted_go() {
    let (directory, store, _, thread) = with_a_delivery().await;
    assert_eq!(files(directory.path()).len(), 1);

    store.delete_thread(&Scope::Everything, thread.id).await.unwrap();

    assert!(files(directory.path()).is_empty());
}

#[tokio::test]
async fn the_files_of_an_app_that_is_deleted_go() {
    let (directory, store, app, _) = with_a_delivery().await;

    store.delete_app(&Scope::Everything, app.id).await.unwrap();

    assert!(files(directory.path()).is_empty());
}

#[tokio::test]
async fn what_was_not_written_to_its_end_is_never_there() {
    let (directory, store, app, _) = with_a_delivery().await;
    let whole = files(directory.path()).remove(0);
    fs::write(whole.with_extension("unfinished"), "{").unwrap();
    let list = |store: Store| async move {
        let (all, any) = (Scope::Everything, Default::default());
        store.list_deliveries(&all, app.id, &any, None, 10).await.unwrap().items
    };

    assert_eq!(list(store.clone()).await.len(), 1);

    FiledDeliveries::open(directory.path(), MemoryStore::new()).unwrap();
    assert_eq!(files(directory.path()), [whole]);
}
