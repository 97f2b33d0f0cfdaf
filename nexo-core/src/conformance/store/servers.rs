//! Servers.

use std::{sync::Arc, time::Duration};

use crate::{
    Error, FailureKind, Run, RunId, RunState, Scope, ServerId, StartRun, Store,
    conformance::{
        assert_fails,
        fixtures::{Room, at_once, completed, eventually, started},
    },
};

/// Longer than any case takes: whoever has ever beaten is alive.
const LONG: Duration = Duration::from_secs(3_600);

/// Soon over.
const SHORT: Duration = Duration::from_millis(200);

async fn interrupt(store: &Arc<dyn Store>, silence: Duration) -> Vec<RunId> {
    store.interrupt_orphans(ServerId::new(), &[], silence).await.unwrap()
}

fn server_of(run: &Run) -> ServerId {
    run.server.expect("a running run has a server")
}

pub(super) async fn runs_of_a_server_that_never_beat_are_interrupted(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;

    assert_eq!(interrupt(&store, LONG).await, [run.id]);

    let ended = room.run(run.id).await;
    assert_eq!(ended.state, RunState::Failed);
    assert_eq!(ended.failure.unwrap().kind, FailureKind::RunInterrupted);
    assert!(ended.finished_at.is_some());
    assert_eq!(ended.reply, None);
    assert_eq!(room.messages().await.len(), 1);
}

pub(super) async fn runs_of_a_server_that_fell_silent_are_interrupted(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    store.beat(server_of(&run)).await.unwrap();

    assert!(interrupt(&store, LONG).await.is_empty());
    eventually("the silence's end", || async { interrupt(&store, SHORT).await == [run.id] }).await;

    assert_eq!(room.run(run.id).await.state, RunState::Failed);
}

pub(super) async fn runs_of_this_and_of_live_servers_are_left_alone(store: Arc<dyn Store>) {
    let mine = Room::new(&store).await;
    let live = Room::new(&store).await;
    let (my_run, live_run) = (mine.started().await.run, live.started().await.run);
    store.beat(server_of(&live_run)).await.unwrap();

    let ended = store.interrupt_orphans(server_of(&my_run), &[], LONG).await.unwrap();

    assert!(ended.is_empty());
    assert_eq!((mine.run(my_run.id).await, live.run(live_run.id).await), (my_run, live_run));
}

/// Whoever started it never learned of it: a live server with a run that it does not carry.
pub(super) async fn a_run_that_its_own_server_does_not_carry_is_interrupted(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let server = server_of(&run);
    store.beat(server).await.unwrap();

    eventually("the silence's end", || async {
        store.interrupt_orphans(server, &[], SHORT).await.unwrap() == [run.id]
    })
    .await;

    let ended = room.run(run.id).await;
    assert_eq!(ended.state, RunState::Failed);
    assert_eq!(ended.failure.unwrap().kind, FailureKind::RunInterrupted);
    started(store.start_run(&Scope::Everything, room.start()).await);
}

pub(super) async fn runs_that_a_server_carries_are_left_alone(store: Arc<dyn Store>) {
    let (kept, lost) = (Room::new(&store).await, Room::new(&store).await);
    let kept_run = kept.started().await.run;
    let server = server_of(&kept_run);
    lost.say("Hello?").await;
    let start = StartRun { server, ..lost.start() };
    let lost_run = started(store.start_run(&Scope::Everything, start).await).run;

    // What was made later is interrupted; so it is not for its youth that the other one is not.
    eventually("the silence's end", || async {
        let carried = [kept_run.id];
        store.interrupt_orphans(server, &carried, SHORT).await.unwrap() == [lost_run.id]
    })
    .await;

    assert_eq!(kept.run(kept_run.id).await, kept_run);
}

pub(super) async fn ended_runs_are_never_interrupted(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    store.finish_run(completed(&run, "Hi")).await.unwrap();
    let before = room.run(run.id).await;

    assert!(interrupt(&store, LONG).await.is_empty());

    assert_eq!(room.run(run.id).await, before);
}

pub(super) async fn an_interrupted_run_can_speak_no_more(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    interrupt(&store, LONG).await;

    assert_fails!(store.finish_run(completed(&run, "late")).await, Error::Fenced);

    assert_eq!(room.messages().await.len(), 1);
    started(store.start_run(&Scope::Everything, room.start()).await);
}

pub(super) async fn of_many_servers_one_interrupts_a_run(store: Arc<dyn Store>) {
    let mut runs = Vec::new();
    for _ in 0..5 {
        runs.push(Room::new(&store).await.started().await.run.id);
    }

    let ended = at_once(8, |_| {
        let store = Arc::clone(&store);
        async move { interrupt(&store, LONG).await }
    })
    .await;

    let mut ended = ended.concat();
    ended.sort_unstable();
    runs.sort_unstable();
    assert_eq!(ended, runs);
}

pub(super) async fn a_pinned_setting_stands(store: Arc<dyn Store>) {
    assert_eq!(store.pin_setting("one", "first é").await.unwrap(), "first é");
    assert_eq!(store.pin_setting("one", "second").await.unwrap(), "first é");
    assert_eq!(store.pin_setting("two", "second").await.unwrap(), "second");
}

pub(super) async fn settings_pinned_at_once_are_the_same_for_all(store: Arc<dyn Store>) {
    let standing = at_once(32, |number| {
        let store = Arc::clone(&store);
        async move { store.pin_setting("secret", &number.to_string()).await.unwrap() }
    })
    .await;

    assert!(standing.iter().all(|value| *value == standing[0]));
    assert_eq!(store.pin_setting("secret", "late").await.unwrap(), standing[0]);
}

pub(super) async fn a_server_may_report_in_any_order(store: Arc<dyn Store>) {
    let server = ServerId::new();

    store.ping().await.unwrap();
    store.retire(server).await.unwrap();
    store.beat(server).await.unwrap();
    store.beat(server).await.unwrap();
    store.retire(server).await.unwrap();
    store.beat(server).await.unwrap();
}

pub(super) async fn pruning_leaves_live_servers_alone(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    store.beat(server_of(&run)).await.unwrap();

    store.prune().await.unwrap();

    assert!(interrupt(&store, LONG).await.is_empty());
    assert_eq!(room.run(run.id).await, run);
}
