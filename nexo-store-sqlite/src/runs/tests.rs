//! What no method of the store brings about yet is brought about by hand.

use std::time::Duration;

use nexo_core::{
    AppStore, FailureKind, Handlers, JsonObject, MessageRange, MessageStore, NewApp, NewMessage,
    NewThread, Reply, Role, RunState, ThreadStore,
};
use tempfile::TempDir;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::*;
use crate::testing::{execute, fresh_store};

const EVERYTHING: Scope = Scope::Everything;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3_600);

const PATIENCE: Duration = Duration::from_secs(30);

async fn asked() -> (SqliteStore, StartRun, TempDir) {
    let (store, directory) = fresh_store().await;
    let app = store.create_app(NewApp::new("o".parse().unwrap(), "app")).await.unwrap().id;
    let new = NewThread::default();
    let thread = store.create_thread(&EVERYTHING, app, new).await.unwrap().0.id;
    let (run, server) = (RunId::new(), ServerId::new());
    let (history, deadline) = (10, Duration::from_secs(60));
    let (overlap, debounce) = (None, None);
    let message_seq = None;
    let start = StartRun {
        run,
        app,
        thread,
        server,
        handlers: Handlers::default(),
        history,
        deadline,
        overlap,
        debounce,
        message_seq,
    };
    say(&store, &start).await;
    (store, start, directory)
}

async fn say(store: &SqliteStore, start: &StartRun) {
    let hello = NewMessage::new(Role::User, "hello");
    store.append_message(&EVERYTHING, start.app, start.thread, hello).await.unwrap();
}

/// Has something more answered, which waits for its turn.
async fn queue(store: &SqliteStore, start: &StartRun) -> Run {
    say(store, start).await;
    let next = StartRun { run: RunId::new(), ..start.clone() };
    match store.start_run(&EVERYTHING, next).await.unwrap() {
        StartedRun::Standing(run) => *run,
        StartedRun::Started(start) => panic!("run {} began at once", start.run.id),
    }
}

fn wish() -> ClaimRuns {
    let (server, deadline) = (ServerId::new(), Duration::from_secs(60));
    ClaimRuns { server, handlers: Handlers::default(), limit: 10, history: 10, deadline }
}

const HANDED: &str = "update nexo_threads set epoch = epoch + 1,
    holder_agent_id = (select id from nexo_agents where name = 'other')";

const HIRED: &str = "
    insert into nexo_agents (id, app_id, name, kind, config, grants, created_at, updated_at)
    select randomblob(16), app_id, 'other', kind, config, grants, created_at, updated_at
    from nexo_agents";

async fn sweep(store: &SqliteStore) -> SweptRuns {
    let (server, carried) = (ServerId::new(), Vec::new());
    store
        .sweep_runs(SweepRuns { server, carried, silence: LONG, handler_patience: LONG })
        .await
        .unwrap()
}

async fn run(store: &SqliteStore, run: RunId) -> Run {
    store.get_run(&EVERYTHING, run).await.unwrap()
}

/// Keeps the writer busy until the sender is used or dropped.
async fn occupy(store: &SqliteStore) -> oneshot::Sender<()> {
    let (release, released) = oneshot::channel::<()>();
    let (begun, is_busy) = oneshot::channel();
    let store = store.clone();
    tokio::spawn(async move {
        let wait = store.write(move |_| {
            Box::pin(async move {
                begun.send(()).unwrap();
                let _ = released.await;
                Ok(())
            })
        });
        wait.await.unwrap();
    });
    is_busy.await.unwrap();
    release
}

#[tokio::test]
async fn a_thread_that_a_person_holds_starts_no_run() {
    let (store, start, _directory) = asked().await;
    execute(&store, "update nexo_threads set holder_human = 'someone'").await;

    let asked = store.ask(&EVERYTHING, NewMessage::new(Role::User, "hello"), start.clone()).await;
    let refused = store.start_run(&EVERYTHING, start.clone()).await;

    assert!(matches!(asked, Err(Error::ThreadHeld(_))));
    assert!(matches!(refused, Err(Error::ThreadHeld(_))));
    let (app, thread, all) = (start.app, start.thread, MessageRange::After(0));
    let said = store.list_messages(&EVERYTHING, app, thread, all, 10).await.unwrap();
    assert_eq!(said.len(), 1);
}

#[tokio::test]
async fn a_failure_that_only_a_newer_server_knows_leaves_the_run_readable() {
    let (store, start, _directory) = asked().await;
    let id = start.run;
    store.start_run(&EVERYTHING, start).await.unwrap();
    let ended = "update nexo_runs set state = 'failed', failure_key = 'FROM_THE_FUTURE'";
    execute(&store, ended).await;

    let run = run(&store, id).await;

    assert_eq!(run.failure.unwrap().kind, FailureKind::Internal);
}

#[tokio::test]
async fn a_reply_is_not_spoken_after_the_thread_changed_hands() {
    let (store, start, _directory) = asked().await;
    let (app, thread, id) = (start.app, start.thread, start.run);
    store.start_run(&EVERYTHING, start).await.unwrap();
    execute(&store, "update nexo_threads set epoch = epoch + 1").await;

    let refused = store.finish_run(FinishRun {
        run: id,
        fence: 1,
        state: RunState::Completed,
        reply: Some(Reply { content: "late".into(), content_json: JsonObject::empty() }),
        failure: None,
        first_delta_at: None,
    });

    assert!(matches!(refused.await, Err(Error::Fenced)));
    let all = MessageRange::After(0);
    let said = store.list_messages(&EVERYTHING, app, thread, all, 10).await.unwrap();
    assert_eq!(said.len(), 1);
    assert_eq!(run(&store, id).await.state, RunState::Running);
}

#[tokio::test]
async fn a_run_is_not_parked_after_the_thread_changed_hands_but_may_be_handed_back() {
    let (store, start, _directory) = asked().await;
    let id = start.run;
    store.start_run(&EVERYTHING, start).await.unwrap();
    execute(&store, "update nexo_threads set epoch = epoch + 1").await;

    assert!(matches!(store.park_run(id, 1, LONG).await, Err(Error::Fenced)));
    store.hand_back_run(id, 1).await.unwrap();

    assert_eq!(run(&store, id).await.state, RunState::Queued);
}

#[tokio::test]
async fn a_queued_run_whose_thread_a_person_took_over_ends_when_it_would_begin() {
    let (store, mut start, _directory) = asked().await;
    start.debounce = Some(Duration::from_micros(1));
    let queued = queue(&store, &start).await;
    execute(&store, "update nexo_threads set holder_human = 'someone', epoch = epoch + 1").await;

    let deadline = Instant::now() + PATIENCE;
    while run(&store, queued.id).await.state == RunState::Queued {
        assert!(store.claim_runs(wish()).await.unwrap().is_empty());
        assert!(Instant::now() < deadline, "it never ended");
    }

    let ended = run(&store, queued.id).await;
    assert_eq!((ended.state, ended.attempt), (RunState::Superseded, 0));
    assert_eq!(ended.failure, Some(Stop::Supersede.failure()));
    assert!(ended.finished_at.is_some() && ended.available_at.is_none());
}

#[tokio::test]
async fn a_taken_over_run_whose_thread_changed_hands_makes_room_for_the_next() {
    let (store, start, _directory) = asked().await;
    let first = start.run;
    store.start_run(&EVERYTHING, start.clone()).await.unwrap();
    let next = queue(&store, &start).await;
    assert_eq!(sweep(&store).await.queued, [first]);
    execute(&store, "update nexo_threads set epoch = epoch + 1").await;

    let claimed = store.claim_runs(wish()).await.unwrap();

    let ended = run(&store, first).await;
    assert_eq!((ended.state, ended.attempt), (RunState::Superseded, 1));
    assert_eq!(ended.failure, Some(Stop::Supersede.failure()));
    let begun: Vec<RunId> = claimed.iter().map(|start| start.run.id).collect();
    assert_eq!(begun, [next.id]);
    assert_eq!(claimed[0].run.epoch, next.epoch + 1);
}

#[tokio::test]
async fn a_run_that_never_began_is_answered_by_who_holds_the_thread_then() {
    let (store, start, _directory) = asked().await;
    store.start_run(&EVERYTHING, start.clone()).await.unwrap();
    let next = queue(&store, &start).await;
    execute(&store, HIRED).await;
    store.stop_run(&EVERYTHING, start.app, start.run, Stop::Cancel).await.unwrap();
    assert_eq!(sweep(&store).await, SweptRuns { queued: vec![next.id], ended: vec![start.run] });
    execute(&store, HANDED).await;

    let claimed = store.claim_runs(wish()).await.unwrap().remove(0);

    assert_eq!(claimed.agent.name, "other");
    assert_eq!((claimed.run.id, claimed.run.agent), (next.id, claimed.agent.id));
    assert_eq!(run(&store, next.id).await, claimed.run);
}

/// Whoever finds that out has it found by a server with what is needed now.
#[tokio::test]
async fn a_run_is_left_to_a_server_with_the_handler_of_who_holds_the_thread_then() {
    let (store, start, _directory) = asked().await;
    store.start_run(&EVERYTHING, start.clone()).await.unwrap();
    let next = queue(&store, &start).await;
    execute(&store, HIRED).await;
    execute(&store, "update nexo_agents set handler = 'baker' where name = 'other'").await;
    store.stop_run(&EVERYTHING, start.app, start.run, Stop::Cancel).await.unwrap();
    sweep(&store).await;
    execute(&store, HANDED).await;

    assert!(store.claim_runs(wish()).await.unwrap().is_empty());
    let left = run(&store, next.id).await;
    assert_eq!((left.state, left.attempt), (RunState::Queued, 0));
    assert_eq!(left.handler.as_deref(), Some("baker"));
    assert!(store.claim_runs(wish()).await.unwrap().is_empty());
    let claim = ClaimRuns { handlers: Handlers::from_iter(["baker"]), ..wish() };
    let claimed = store.claim_runs(claim).await.unwrap().remove(0);
    assert_eq!((claimed.run.id, &*claimed.agent.name), (next.id, "other"));
}

#[tokio::test]
async fn a_run_behind_one_that_is_gone_is_found_by_a_sweep() {
    let (store, start, _directory) = asked().await;
    store.start_run(&EVERYTHING, start.clone()).await.unwrap();
    let (second, third) = (queue(&store, &start).await, queue(&store, &start).await);
    execute(&store, "delete from nexo_runs where state = 'running'").await;

    assert_eq!(sweep(&store).await.queued, [second.id]);

    assert_eq!(sweep(&store).await, SweptRuns::default());
    assert_eq!(run(&store, third.id).await, third);
}

#[tokio::test]
async fn each_attempt_begins_anew_and_a_stop_does_not_begin_it() {
    let (store, start, _directory) = asked().await;
    let (run, app) = (start.run, start.app);
    store.start_run(&EVERYTHING, start).await.unwrap();
    let began = async || {
        let mut reader = store.reader().await.unwrap();
        let began = sqlx::query_scalar::<_, i64>("select started_at from nexo_runs");
        began.fetch_one(&mut *reader).await.unwrap()
    };

    execute(&store, "update nexo_runs set started_at = 7").await;
    sweep(&store).await;
    assert_eq!(began().await, 7);
    store.claim_runs(wish()).await.unwrap();
    assert_ne!(began().await, 7);

    execute(&store, "update nexo_runs set started_at = 7").await;
    store.stop_run(&EVERYTHING, app, run, Stop::Cancel).await.unwrap();
    assert_eq!(began().await, 7);
}

#[tokio::test]
async fn an_idle_server_does_not_disturb_the_writer() {
    let (store, start, _directory) = asked().await;
    let server = start.server;
    store.start_run(&EVERYTHING, start.clone()).await.unwrap();
    queue(&store, &start).await;
    let _release = occupy(&store).await;

    let idle = timeout(PATIENCE, async {
        let claimed = store.claim_runs(wish()).await.unwrap();
        (claimed.len(), store.stopped_runs(server).await.unwrap().len())
    });

    assert_eq!(idle.await, Ok((0, 0)));
}

#[tokio::test]
async fn a_run_that_cannot_be_read_does_not_keep_others_from_their_turn() {
    let (store, start, _directory) = asked().await;
    let broken = start.run;
    store.start_run(&EVERYTHING, start.clone()).await.unwrap();
    store.hand_back_run(broken, 1).await.unwrap();
    execute(&store, "update nexo_runs set agent_id = zeroblob(16)").await;
    let new = NewThread::default();
    let thread = store.create_thread(&EVERYTHING, start.app, new).await.unwrap().0.id;
    let sound = StartRun { run: RunId::new(), thread, ..start };
    say(&store, &sound).await;
    store.start_run(&EVERYTHING, sound.clone()).await.unwrap();
    store.hand_back_run(sound.run, 1).await.unwrap();

    let claimed = store.claim_runs(wish()).await.unwrap();

    assert_eq!(claimed.iter().map(|start| start.run.id).collect::<Vec<_>>(), [sound.run]);
    let ended = store.get_run(&EVERYTHING, broken).await.unwrap();
    assert_eq!(ended.state, RunState::Failed);
    assert_eq!(ended.failure.unwrap().kind, FailureKind::Internal);
}
