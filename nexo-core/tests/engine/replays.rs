//! Replays: a turn is put to its agent again, and the thread knows nothing of it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use nexo_core::{
    AgentEvent, AgentId, AgentStream, Dispatcher, Error, FailureKind, Nexo, Purpose, Replay, RunId,
    RunState, Turn,
};

use crate::stage::{Stage, Step, delta, end};

impl Stage {
    /// A run that has ended.
    async fn answered(&self) -> RunId {
        self.say("hello").await;
        self.agent.answer_with(vec![delta("Hi!")]);
        let watch = self.start().await;
        let run = watch.run();
        end(watch).await;
        run
    }

    async fn replays(&self, run: RunId) -> Vec<Replay> {
        let store = self.nexo.store();
        store.list_replays(&self.scope, self.app, run, None, 50).await.unwrap().items
    }

    /// Waits until the agent was asked so often.
    async fn asked(&self, turns: usize) {
        while self.agent.turns.load(Ordering::SeqCst) < turns {
            tokio::task::yield_now().await;
        }
    }
}

/// Begins a replay in a task of its own.
fn begin(stage: &Stage, run: RunId) -> tokio::task::JoinHandle<nexo_core::Result<Replay>> {
    let (engine, scope, app) = (stage.nexo.engine().clone(), stage.scope.clone(), stage.app);
    tokio::spawn(async move { engine.replay(&scope, app, run, None).await })
}

#[tokio::test(start_paused = true)]
async fn a_replay_is_kept_beside_the_thread() {
    let stage = Stage::new().await;
    let run = stage.answered().await;
    let (before, thread) = (stage.run(run).await, stage.messages().await);
    stage.agent.answer_with(vec![delta("Hello"), delta(" again")]);

    let replay = stage.nexo.engine().replay(&stage.scope, stage.app, run, None).await.unwrap();

    assert_eq!(replay.reply.as_ref().unwrap().content, "Hello again");
    assert_eq!((replay.run, replay.agent, &replay.failure), (run, before.agent, &None));
    assert!(replay.first_delta_at.is_some());
    assert_eq!(stage.replays(run).await, [replay]);
    assert_eq!(stage.run(run).await, before);
    assert_eq!(stage.messages().await, thread);
}

#[tokio::test(start_paused = true)]
async fn a_replay_and_a_run_of_one_thread_do_not_wait_for_each_other() {
    let stage = Stage::new().await;
    let run = stage.answered().await;
    let say = stage.agent.answer();
    let replaying = begin(&stage, run);
    stage.asked(2).await;

    // A new run begins and ends while the replay is under way.
    let next = stage.answered().await;
    say.unbounded_send(delta("late")).unwrap();
    drop(say);
    let replay = replaying.await.unwrap().unwrap();

    assert_eq!(stage.run(next).await.state, RunState::Completed);
    assert_eq!(replay.reply.unwrap().content, "late");
    let said = ["hello", "Hi!", "hello", "Hi!"];
    assert_eq!(stage.messages().await.iter().map(|it| it.1.as_str()).collect::<Vec<_>>(), said);
}

#[tokio::test(start_paused = true)]
async fn a_replay_goes_on_when_whoever_asked_is_gone() {
    let stage = Stage::new().await;
    let run = stage.answered().await;
    let say = stage.agent.answer();
    let replaying = begin(&stage, run);
    stage.asked(2).await;

    replaying.abort();
    say.unbounded_send(delta("unheard")).unwrap();
    drop(say);

    let kept = async {
        while stage.replays(run).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), kept).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_replay_ends_with_its_server() {
    let stage = Stage::new().await;
    let run = stage.answered().await;
    let _silent = stage.agent.answer();
    let replaying = begin(&stage, run);
    stage.asked(2).await;

    stage.nexo.engine().shutdown(Duration::ZERO).await;

    let replay = replaying.await.unwrap().unwrap();
    assert_eq!(replay.failure.unwrap().kind, FailureKind::RunInterrupted);
    let refused = stage.nexo.engine().replay(&stage.scope, stage.app, run, None).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))));
}

/// Not even by another server, which looks after the runs of those that are gone.
#[tokio::test(start_paused = true)]
async fn nobody_takes_a_replay_over() {
    let stage = Stage::new().await;
    let run = stage.answered().await;
    let say = stage.agent.answer();
    let replaying = begin(&stage, run);
    stage.asked(2).await;

    let other = stage.another_server();
    other.engine().sign_on().await.unwrap();
    stage.pass(30).await;
    say.unbounded_send(delta("mine")).unwrap();
    drop(say);

    assert_eq!(replaying.await.unwrap().unwrap().reply.unwrap().content, "mine");
    assert_eq!(stage.agent.turns.load(Ordering::SeqCst), 2);
    assert_eq!(stage.messages().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_replay_can_not_come_to_is_told() {
    let stage = Stage::new().await;
    let run = stage.answered().await;
    let pending: Step = Ok(AgentEvent::Pending);
    stage.agent.answer_with(vec![pending]);
    let engine = stage.nexo.engine();

    let later = engine.replay(&stage.scope, stage.app, run, None).await.unwrap();
    let nobody = engine.replay(&stage.scope, stage.app, run, Some(AgentId::new())).await;
    let nothing = engine.replay(&stage.scope, stage.app, RunId::new(), None).await;

    assert_eq!(later.failure.unwrap().kind, FailureKind::RunWaiting);
    assert!(matches!(nobody, Err(Error::AgentNotFound)));
    assert!(matches!(nothing, Err(Error::RunNotFound)));
}

/// Answers a thread, and breaks down in a replay.
#[derive(Debug)]
struct Fragile;

impl Dispatcher for Fragile {
    fn dispatch(&self, turn: Arc<Turn>) -> AgentStream {
        assert!(matches!(turn.purpose, Purpose::Answer), "on purpose");
        Box::pin(futures::stream::iter([delta("Hi!")]))
    }
}

#[tokio::test(start_paused = true)]
async fn a_dispatcher_that_panics_has_failed() {
    let stage = Stage::new().await;
    let run = stage.answered().await;
    let store = Arc::clone(stage.nexo.store());
    let fragile = Nexo::builder().store(store).dispatcher("webhook", Arc::new(Fragile)).build();

    let replay = fragile.engine().replay(&stage.scope, stage.app, run, None).await.unwrap();

    assert_eq!(replay.failure.unwrap().kind, FailureKind::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_replay_tells_all_that_was_said_however_long_it_is() {
    let stage = Stage::new().await;
    let long = "x".repeat(nexo_core::MAX_LISTED_BYTES * 2 / 3);
    for _ in 0..4 {
        stage.say(&long).await;
    }
    let run = stage.answered().await;
    let told = Arc::new(Told::default());
    let nexo =
        Nexo::builder().store(Arc::clone(stage.nexo.store())).dispatcher("webhook", told.clone());

    nexo.build().engine().replay(&stage.scope, stage.app, run, None).await.unwrap();

    assert_eq!(*told.0.lock().unwrap(), [1, 2, 3, 4, 5]);
}

/// Notes which messages it is told.
#[derive(Debug, Default)]
struct Told(std::sync::Mutex<Vec<i64>>);

impl Dispatcher for Told {
    fn dispatch(&self, turn: Arc<Turn>) -> AgentStream {
        self.0.lock().unwrap().extend(turn.history.iter().map(|message| message.seq));
        Box::pin(futures::stream::empty())
    }
}
