//! Handlers: which server may carry which runs.

use std::{sync::Arc, time::Duration};

use crate::{
    ClaimRuns, FailureKind, Handlers, NewAgent, NewApp, Run, RunId, RunState, Scope, ServerId,
    StartRun, StartedRun, Store, SweepRuns, SweptRuns,
    conformance::fixtures::{ALL, Room, claim, completed, owner, standing, started, sweep},
};

const CONCIERGE: &str = "concierge";

/// Longer than any case takes.
const LONG: Duration = Duration::from_secs(3_600);

fn having(handlers: &[&str]) -> Handlers {
    handlers.iter().copied().collect()
}

/// A room in which an agent answers that needs the handler `concierge`.
async fn room(store: &Arc<dyn Store>) -> Room {
    let agents = vec![NewAgent::in_process(CONCIERGE)];
    let app = store.ensure_app(NewApp::new(owner("ann"), "Hotel"), agents).await.unwrap();
    let room = Room::of(store, &app, "carl").await;
    room.say("Hello?").await;
    room
}

/// Has the newest message answered by a server with these handlers.
async fn start(room: &Room, handlers: &[&str]) -> StartedRun {
    let start = StartRun { handlers: having(handlers), ..room.start() };
    room.store.start_run(&Scope::Everything, start).await.unwrap()
}

/// The runs that a new server with these handlers begins.
async fn claimed(store: &Arc<dyn Store>, handlers: &[&str]) -> Vec<Run> {
    let claim = ClaimRuns { handlers: having(handlers), ..claim(ALL) };
    store.claim_runs(claim).await.unwrap().into_iter().map(|start| start.run).collect()
}

/// What a sweep changes that gives runs so much time to find their handler.
async fn swept(store: &Arc<dyn Store>, handler_patience: Duration) -> SweptRuns {
    let (server, carried) = (ServerId::new(), Vec::new());
    let sweep = SweepRuns { server, carried, silence: LONG, handler_patience };
    store.sweep_runs(sweep).await.unwrap()
}

fn ended(run: RunId) -> SweptRuns {
    SweptRuns { queued: Vec::new(), ended: vec![run] }
}

pub(super) async fn a_run_carries_the_handler_that_its_agent_needs(store: Arc<dyn Store>) {
    let (room, plain) = (room(&store).await, Room::new(&store).await);

    let run = started(Ok(start(&room, &["baker", CONCIERGE]).await)).run;

    assert_eq!(run.handler.as_deref(), Some(CONCIERGE));
    assert_eq!((run.agent, run.state), (room.app.default_agent, RunState::Running));
    assert_eq!(room.run(run.id).await, run);
    assert_eq!(plain.started().await.run.handler, None);
    store.finish_run(completed(&run, "Hi")).await.unwrap();
    assert_eq!(room.run(run.id).await.handler.as_deref(), Some(CONCIERGE));
}

pub(super) async fn a_run_whose_handler_is_elsewhere_is_queued_and_due(store: Arc<dyn Store>) {
    let room = room(&store).await;

    let run = standing(Ok(start(&room, &["baker"]).await));

    assert_eq!((run.state, run.attempt, run.server), (RunState::Queued, 0, None));
    assert_eq!(run.handler.as_deref(), Some(CONCIERGE));
    assert!(run.available_at.is_some_and(|at| at >= run.created_at));
    assert_eq!(room.run(run.id).await, run);
    assert_eq!(standing(Ok(start(&room, &[CONCIERGE]).await)), run, "it is joined");
    assert_eq!(claimed(&store, &["baker"]).await, []);
    let begun = claimed(&store, &[CONCIERGE]).await.remove(0);
    assert_eq!((begun.id, begun.state, begun.attempt), (run.id, RunState::Running, 1));
    assert_eq!(begun.handler, run.handler);
    store.finish_run(completed(&begun, "Hi")).await.unwrap();
}

pub(super) async fn what_is_said_waits_for_a_server_with_the_handler(store: Arc<dyn Store>) {
    let room = room(&store).await;
    let message = crate::NewMessage::new(crate::Role::User, "Anybody?");

    let asked = store.ask(&Scope::Everything, message, room.start()).await.unwrap();

    let run = standing(Ok(asked.1));
    assert_eq!((run.message_seq, run.state), (2, RunState::Queued));
    assert_eq!(claimed(&store, &[CONCIERGE]).await[0].id, run.id);
}

pub(super) async fn a_claim_is_given_what_its_server_can_handle(store: Arc<dyn Store>) {
    let (room, plain) = (room(&store).await, Room::new(&store).await);
    let special = standing(Ok(start(&room, &[]).await));
    let simple = plain.started().await.run;
    sweep(&store, LONG).await;

    let [without] = &*claimed(&store, &["baker"]).await else { panic!("not one") };
    assert_eq!(without.id, simple.id);
    let [with] = &*claimed(&store, &[CONCIERGE, "baker"]).await else { panic!("not one") };
    assert_eq!(with.id, special.id);
}

pub(super) async fn a_run_is_taken_over_by_a_server_with_its_handler(store: Arc<dyn Store>) {
    let room = room(&store).await;
    let run = started(Ok(start(&room, &[CONCIERGE]).await)).run;
    assert_eq!(sweep(&store, LONG).await.queued, [run.id]);

    assert_eq!(claimed(&store, &[]).await, []);
    let again = claimed(&store, &[CONCIERGE]).await.remove(0);

    assert_eq!((again.id, again.attempt, again.handler), (run.id, 2, run.handler));
}

pub(super) async fn a_run_that_no_server_can_handle_fails(store: Arc<dyn Store>) {
    let room = room(&store).await;
    let run = standing(Ok(start(&room, &[]).await));
    let behind = room.queued().await;
    store.beat(ServerId::new(), &having(&["baker"])).await.unwrap();

    assert_eq!(swept(&store, LONG).await, SweptRuns::default(), "it has time");
    let swept = swept(&store, Duration::ZERO).await;

    assert_eq!(swept, SweptRuns { queued: vec![behind.id], ..ended(run.id) });
    let failed = room.run(run.id).await;
    assert_eq!((failed.state, failed.available_at), (RunState::Failed, None));
    assert_eq!(failed.failure.map(|it| it.kind), Some(FailureKind::AgentUnavailable));
    assert_eq!(claimed(&store, &[CONCIERGE]).await[0].id, behind.id);
}

pub(super) async fn a_run_waits_while_a_live_server_has_its_handler(store: Arc<dyn Store>) {
    let server = ServerId::new();
    let room = room(&store).await;
    let run = standing(Ok(start(&room, &[]).await));

    store.beat(server, &having(&["baker", CONCIERGE])).await.unwrap();
    assert_eq!(swept(&store, Duration::ZERO).await, SweptRuns::default());
    store.beat(server, &having(&["baker"])).await.unwrap();
    assert_eq!(swept(&store, Duration::ZERO).await, ended(run.id));

    room.say("Hello again?").await;
    let run = standing(Ok(start(&room, &[]).await));
    store.beat(server, &having(&[CONCIERGE])).await.unwrap();
    assert_eq!(swept(&store, Duration::ZERO).await, SweptRuns::default());
    store.retire(server).await.unwrap();
    assert_eq!(swept(&store, Duration::ZERO).await, ended(run.id));
}

/// Whoever needs no handler waits for its turn as long as it takes.
pub(super) async fn a_run_that_needs_no_handler_does_not_fail_for_one(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    sweep(&store, LONG).await;

    assert_eq!(swept(&store, Duration::ZERO).await, SweptRuns::default());

    assert_eq!(claimed(&store, &[]).await[0].id, run.id);
}
