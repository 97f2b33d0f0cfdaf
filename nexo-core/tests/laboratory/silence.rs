//! A store that does not answer at all, not even with an error.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, channel::mpsc};
use nexo_core::{
    AgentEvent, AgentStream, AppStore, Dispatcher, Failure, MemoryStore, MessageStore, NewApp,
    NewMessage, NewThread, Nexo, Role, Scope, ThreadStore, Turn,
};

use crate::{
    chance::Chance,
    gate::{Gate, GatedStore, Standing},
    history::History,
};

type Steps = mpsc::UnboundedReceiver<Result<AgentEvent, Failure>>;

/// An agent that is asked once, and says what it is told to.
#[derive(Debug)]
struct Asked(Mutex<Option<Steps>>);

impl Dispatcher for Asked {
    fn dispatch(&self, _: Arc<Turn>) -> AgentStream {
        self.0.lock().unwrap().take().expect("it is asked once").boxed()
    }
}

/// Others begin its runs anew after ten seconds, and it must not go on speaking then.
#[tokio::test(start_paused = true)]
async fn a_server_that_gets_no_answer_of_its_store_lets_go_of_its_runs() {
    let (store, all) = (MemoryStore::new(), Scope::Everything);
    let app = NewApp {
        webhook_url: Some("https://agent.example.com".into()),
        config: r#"{"integration":{"mode":"webhook"}}"#.parse().unwrap(),
        ..NewApp::new("owner".parse().unwrap(), "app")
    };
    let app = store.create_app(app).await.unwrap().id;
    let thread = store.create_thread(&all, app, NewThread::default()).await.unwrap().0.id;
    store.append_message(&all, app, thread, NewMessage::new(Role::User, "hello")).await.unwrap();
    let gate = Arc::new(Gate::new(0, Chance::new(1), Arc::new(History::new())));
    let gated = GatedStore { gate: Arc::clone(&gate), behind: Arc::new(store), lie: None };
    let (agent, heard) = mpsc::unbounded();
    let asked = Arc::new(Asked(Mutex::new(Some(heard))));
    let nexo = Nexo::builder().store(Arc::new(gated)).dispatcher("webhook", asked).build();
    let mut watch = nexo.engine().start(&all, app, thread).await.unwrap();
    watch.next().await.unwrap();

    gate.set(Standing::Frozen);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!agent.is_closed());
    tokio::time::sleep(Duration::from_secs(4)).await;

    assert!(agent.is_closed());
}
