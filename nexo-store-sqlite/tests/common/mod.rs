//! What the tests share.

use std::path::Path;

use nexo_core::{
    AppId, AppStore, KeyRing, NewApp, NewMessage, NewThread, Role, Scope, ThreadId, ThreadStore,
};
use nexo_store_sqlite::SqliteStore;

/// The same keys each time, so that what one store sealed the next can open.
pub(crate) fn keys() -> KeyRing {
    format!("k:{}=", "A".repeat(43)).parse().unwrap()
}

pub(crate) async fn open(directory: &Path) -> SqliteStore {
    let store = SqliteStore::open(directory.join("nexo.db"), keys()).await.unwrap();
    store.migrate().await.unwrap();
    store
}

pub(crate) async fn app_with_thread(store: &SqliteStore) -> (AppId, ThreadId) {
    let app = store.create_app(NewApp::new("owner".parse().unwrap(), "app")).await.unwrap();
    let thread = NewThread { customer_id: Some("customer".into()), ..NewThread::default() };
    let (thread, _) = store.create_thread(&Scope::Everything, app.id, thread).await.unwrap();
    (app.id, thread.id)
}

pub(crate) fn text(content: &str) -> NewMessage {
    NewMessage::new(Role::User, content)
}
