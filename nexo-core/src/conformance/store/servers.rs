//! Servers, and what becomes of the runs of those that are gone.

use std::{sync::Arc, time::Duration};

use crate::{
    Error, FailureKind, Handlers, Run, RunId, RunState, Scope, ServerId, StartRun, Stop, Store,
    SweepRuns, SweptRuns,
    conformance::{
        assert_fails,
        fixtures::{Room, at_once, claim, completed, eventually, started, sweep},
    },
};

/// Longer than any case takes: whoever has ever beaten is alive.
const LONG: Duration = Duration::from_secs(3_600);

/// Soon over.
const SHORT: Duration = Duration::from_millis(200);

fn server_of(run: &Run) -> ServerId {
    run.server.expect("a running run has a server")
}

fn queued(run: RunId) -> SweptRuns {
    SweptRuns { queued: vec![run], ended: Vec::new() }
}

fn ended(run: RunId) -> SweptRuns {
    SweptRuns { queued: Vec::new(), ended: vec![run] }
}

pub(super) async fn runs_of_a_server_that_never_beat_are_queued_again(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;

    assert_eq!(sweep(&store, LONG).await, queued(run.id));

    let left = room.run(run.id).await;
    assert_eq!((left.state, left.server, left.finished_at), (RunState::Queued, None, None));
    assert_eq!((left.attempt, left.handbacks), (1, 0));
    assert!(left.available_at.unwrap() >= run.created_at);
    assert_eq!(room.messages().await.len(), 1);
}

pub(super) async fn runs_of_a_server_that_fell_silent_are_queued_again(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    store.beat(server_of(&run), &Handlers::default()).await.unwrap();

    assert_eq!(sweep(&store, LONG).await, SweptRuns::default());
    eventually("the silence's end", || async { sweep(&store, SHORT).await == queued(run.id) })
        .await;

    assert_eq!(room.run(run.id).await.state, RunState::Queued);
}

pub(super) async fn a_run_that_was_taken_over_begins_again_elsewhere(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let first = room.started().await;
    let run = &first.run;
    sweep(&store, LONG).await;
    let wish = claim(10);

    let mut claimed = store.claim_runs(wish.clone()).await.unwrap();

    assert_eq!(claimed.len(), 1);
    let again = claimed.remove(0);
    assert_eq!((again.run.id, again.run.state), (run.id, RunState::Running));
    assert_eq!((again.run.attempt, again.run.fence), (2, run.fence + 1));
    assert_eq!((again.run.server, again.run.available_at), (Some(wish.server), None));
    assert_eq!((again.run.deadline_at, again.run.created_at), (run.deadline_at, run.created_at));
    assert!(!again.time_left.is_zero() && again.time_left <= first.time_left);
    assert_eq!((&again.message, &again.history), (&first.message, &first.history));
    assert_eq!((&again.app, &again.agent), (&first.app, &first.agent));
    assert_fails!(store.finish_run(completed(run, "zombie")).await, Error::Fenced);
    store.finish_run(completed(&again.run, "Hi")).await.unwrap();
    assert_eq!(room.messages().await.len(), 2);
}

pub(super) async fn a_new_attempt_gives_a_run_no_new_time(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    room.say("hello").await;
    let wish = StartRun { deadline: Duration::ZERO, ..room.start() };
    let first = started(store.start_run(&Scope::Everything, wish).await);
    store.hand_back_run(first.run.id, first.run.fence).await.unwrap();

    let again = store.claim_runs(claim(10)).await.unwrap().remove(0);

    assert_eq!((again.run.id, again.run.attempt), (first.run.id, 2));
    assert_eq!(again.run.deadline_at, first.run.deadline_at);
    assert_eq!((first.time_left, again.time_left), (Duration::ZERO, Duration::ZERO));
}

pub(super) async fn runs_of_this_and_of_live_servers_are_left_alone(store: Arc<dyn Store>) {
    let mine = Room::new(&store).await;
    let live = Room::new(&store).await;
    let (my_run, live_run) = (mine.started().await.run, live.started().await.run);
    store.beat(server_of(&live_run), &Handlers::default()).await.unwrap();

    let (server, carried) = (server_of(&my_run), Vec::new());
    let swept = store
        .sweep_runs(SweepRuns { server, carried, silence: LONG, handler_patience: LONG })
        .await
        .unwrap();

    assert_eq!(swept, SweptRuns::default());
    assert_eq!((mine.run(my_run.id).await, live.run(live_run.id).await), (my_run, live_run));
}

/// Whoever started it never learned of it: a live server with a run that it does not carry.
pub(super) async fn a_run_that_its_own_server_does_not_carry_is_queued_again(
    store: Arc<dyn Store>,
) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let server = server_of(&run);
    store.beat(server, &Handlers::default()).await.unwrap();

    eventually("the silence's end", || async {
        let (carried, silence, handler_patience) = (Vec::new(), SHORT, LONG);
        let wish = SweepRuns { server, carried, silence, handler_patience };
        store.sweep_runs(wish).await.unwrap() == queued(run.id)
    })
    .await;

    assert_eq!(room.claim().await[0].run.id, run.id);
}

pub(super) async fn runs_that_a_server_carries_are_left_alone(store: Arc<dyn Store>) {
    let (kept, lost) = (Room::new(&store).await, Room::new(&store).await);
    let kept_run = kept.started().await.run;
    let server = server_of(&kept_run);
    lost.say("Hello?").await;
    let start = StartRun { server, ..lost.start() };
    let lost_run = started(store.start_run(&Scope::Everything, start).await).run;

    // What was made later is swept; so it is not for its youth that the other one is not.
    eventually("the silence's end", || async {
        let (carried, silence, handler_patience) = (vec![kept_run.id], SHORT, LONG);
        let wish = SweepRuns { server, carried, silence, handler_patience };
        store.sweep_runs(wish).await.unwrap() == queued(lost_run.id)
    })
    .await;

    assert_eq!(kept.run(kept_run.id).await, kept_run);
}

pub(super) async fn ended_runs_are_never_swept(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    store.finish_run(completed(&run, "Hi")).await.unwrap();
    let before = room.run(run.id).await;

    assert_eq!(sweep(&store, LONG).await, SweptRuns::default());

    assert_eq!(room.run(run.id).await, before);
}

pub(super) async fn a_run_that_was_taken_over_can_speak_no_more(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    sweep(&store, LONG).await;

    assert_fails!(store.finish_run(completed(&run, "late")).await, Error::Fenced);
    assert_fails!(store.hand_back_run(run.id, run.fence).await, Error::Fenced);
    assert_fails!(store.park_run(run.id, run.fence, LONG).await, Error::Fenced);

    assert_eq!(room.messages().await.len(), 1);
}

pub(super) async fn of_many_servers_one_takes_a_run_over(store: Arc<dyn Store>) {
    let mut runs = Vec::new();
    for _ in 0..5 {
        runs.push(Room::new(&store).await.started().await.run.id);
    }

    let swept = at_once(8, |_| {
        let store = Arc::clone(&store);
        async move { sweep(&store, LONG).await.queued }
    })
    .await;

    let mut swept = swept.concat();
    swept.sort_unstable();
    runs.sort_unstable();
    assert_eq!(swept, runs);
}

pub(super) async fn a_stopped_run_whose_server_is_gone_ends(store: Arc<dyn Store>) {
    for stop in Stop::ALL {
        let room = Room::new(&store).await;
        let run = room.started().await.run;
        store.stop_run(&Scope::Everything, run.app, run.id, stop).await.unwrap();

        assert_eq!(sweep(&store, LONG).await, ended(run.id));

        let left = room.run(run.id).await;
        assert_eq!((left.state, left.failure), (stop.state(), Some(stop.failure())));
        assert!(left.finished_at.is_some());
    }
}

pub(super) async fn a_run_whose_time_is_over_expires(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let short = |start: &mut StartRun| start.deadline = SHORT;
    let orphan = started(room.wish(short).await).run;

    eventually("its deadline", || async { sweep(&store, LONG).await == ended(orphan.id) }).await;

    let left = room.run(orphan.id).await;
    assert_eq!(left.state, RunState::Expired);
    assert_eq!(left.failure.unwrap().kind, FailureKind::RunExpired);
}

pub(super) async fn a_waiting_run_expires_after_its_patience(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    store.park_run(run.id, run.fence, SHORT).await.unwrap();
    let behind = room.queued().await;

    eventually("its patience's end", || async {
        let swept = sweep(&store, LONG).await;
        swept == SweptRuns { queued: vec![behind.id], ended: vec![run.id] }
    })
    .await;

    assert_eq!(room.run(run.id).await.state, RunState::Expired);
    assert_eq!(room.claim().await[0].run.id, behind.id);
}

pub(super) async fn a_pinned_setting_stands(store: Arc<dyn Store>) {
    assert_eq!(store.pin_setting("one", "first é").await.unwrap(), "first é");
    assert_eq!(store.pin_setting("one", "second").await.unwrap(), "first é");
    assert_eq!(store.pin_setting("two", "second").await.unwrap(), "second");
}

pub(super) async fn a_setting_is_replaced_by_whoever_knows_it(store: Arc<dyn Store>) {
    store.pin_setting("key", "first").await.unwrap();
    let replace = async |from, to| store.replace_setting("key", from, to).await.unwrap();

    assert!(!replace("second", "third").await);
    assert!(replace("first", "second é").await);
    assert!(!replace("first", "third").await);

    assert_eq!(store.pin_setting("key", "late").await.unwrap(), "second é");
    assert!(!store.replace_setting("nobody set this", "", "x").await.unwrap());
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
    store.beat(server, &Handlers::default()).await.unwrap();
    store.beat(server, &Handlers::default()).await.unwrap();
    store.retire(server).await.unwrap();
    store.beat(server, &Handlers::default()).await.unwrap();
}

pub(super) async fn pruning_leaves_live_servers_alone(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    store.beat(server_of(&run), &Handlers::default()).await.unwrap();

    store.prune().await.unwrap();

    assert_eq!(sweep(&store, LONG).await, SweptRuns::default());
    assert_eq!(room.run(run.id).await, run);
}
