//! Runs whose agents are code of some servers, and not of others.

use std::{sync::Arc, time::Duration};

use futures::future::pending;
use nexo_core::{
    AppId, FailureKind, LiveTurn, ManualClock, MemoryStore, NewMessage, NewThread, Nexo, Role,
    RunOptions, RunState, RunWatch, Scope, Store, ThreadId, Timestamp,
};

use crate::stage::end;

/// An app in which the agent `concierge` answers, and the servers on its store.
struct Hotel {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    app: AppId,
    thread: ThreadId,
}

impl Hotel {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::with_clock(clock.clone()));
        let nexo = Nexo::builder().store(Arc::clone(&store)).build();
        let app = nexo.ensure_app("hotel".parse().unwrap(), "Desk", ["concierge"]).await;
        let (app, new) = (app.unwrap().id, NewThread::default());
        let thread = store.create_thread(&Scope::App(app), app, new).await.unwrap().0.id;
        Self { store, clock, app, thread }
    }

    /// A server that has nobody.
    fn empty(&self) -> Nexo {
        Nexo::builder().store(Arc::clone(&self.store)).build()
    }

    /// A server whose concierge says this.
    fn staffed(&self, says: &'static str) -> Nexo {
        let concierge = move |_: LiveTurn| async move { Ok(says) };
        Nexo::builder().store(Arc::clone(&self.store)).agent("concierge", concierge).build()
    }

    /// A server whose concierge never comes to an end.
    fn busy(&self) -> Nexo {
        let concierge = |turn: LiveTurn| async move {
            turn.say("One moment").await;
            pending::<()>().await;
            Ok(())
        };
        Nexo::builder().store(Arc::clone(&self.store)).agent("concierge", concierge).build()
    }

    async fn ask(&self, server: &Nexo) -> RunWatch {
        let (scope, message) = (Scope::App(self.app), NewMessage::new(Role::User, "A room?"));
        let options = RunOptions::default();
        let asked = server.engine().ask(&scope, self.app, self.thread, message, options, None);
        asked.await.unwrap().made.1
    }

    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn said(end: &nexo_core::RunEnd) -> Option<&str> {
    end.message.as_ref()?.content.as_deref()
}

#[tokio::test(start_paused = true)]
async fn a_run_begins_where_its_handler_is() {
    let hotel = Hotel::new().await;
    let (here, elsewhere) = (hotel.empty(), hotel.staffed("Room 7."));
    elsewhere.engine().sign_on().await.unwrap();

    let watch = hotel.ask(&here).await;
    let run = watch.run();
    hotel.pass(2).await;

    assert_eq!(said(&*end(watch).await), Some("Room 7."));
    let run = hotel.store.get_run(&Scope::Everything, run).await.unwrap();
    assert_eq!((run.server, run.attempt), (Some(elsewhere.engine().server()), 1));
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_a_server_with_its_handler_but_not_for_ever() {
    let hotel = Hotel::new().await;
    let here = hotel.empty();
    let late = hotel.ask(&here).await;
    hotel.pass(25).await;
    let server = hotel.staffed("Here I am.");
    server.engine().sign_on().await.unwrap();
    hotel.pass(2).await;
    assert_eq!(said(&*end(late).await), Some("Here I am."));
    server.engine().shutdown(Duration::ZERO).await;

    let lost = hotel.ask(&here).await;
    hotel.pass(40).await;

    let end = end(lost).await;
    assert_eq!((end.state, said(&end)), (RunState::Failed, None));
    assert_eq!(end.failure.as_ref().unwrap().kind, FailureKind::AgentUnavailable);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_taken_over_where_its_handler_is() {
    let hotel = Hotel::new().await;
    let (first, idle) = (hotel.busy(), hotel.empty());
    idle.engine().sign_on().await.unwrap();
    let watch = hotel.ask(&first).await;
    let run = watch.run();
    hotel.pass(1).await;
    first.engine().shutdown(Duration::ZERO).await;
    hotel.pass(15).await;
    let left = hotel.store.get_run(&Scope::Everything, run).await.unwrap();
    assert_eq!((left.state, left.attempt), (RunState::Queued, 1), "nobody there can begin it");

    let second = hotel.staffed("Room 8.");
    second.engine().sign_on().await.unwrap();
    let watch = second.engine().watch(&Scope::Everything, run).await.unwrap();
    hotel.pass(2).await;

    assert_eq!(said(&*end(watch).await), Some("Room 8."));
}

/// A server that knows only others' handlers still does what needs none.
#[tokio::test(start_paused = true)]
async fn two_servers_with_different_handlers_do_not_take_each_others_runs() {
    let hotel = Hotel::new().await;
    let baker = |_: LiveTurn| async { Ok("Bread.") };
    let bakery = Nexo::builder().store(Arc::clone(&hotel.store)).agent("baker", baker).build();
    let desk = hotel.staffed("Room 9.");
    bakery.engine().sign_on().await.unwrap();
    desk.engine().sign_on().await.unwrap();

    let watch = hotel.ask(&bakery).await;
    hotel.pass(2).await;

    assert_eq!(said(&*end(watch).await), Some("Room 9."));
}
