//! Runs.

use std::{sync::Arc, time::Duration};

use crate::{
    Error, Failure, FailureKind, FinishRun, FinishedRun, NewMessage, Role, RunId, RunState, Scope,
    StartRun, StartedRun, Store, ThreadId,
    conformance::{
        assert_fails,
        fixtures::{Room, at_once, completed, eventually, new_app, started},
    },
};

const ENDS: [RunState; 5] = [
    RunState::Completed,
    RunState::Failed,
    RunState::Cancelled,
    RunState::Superseded,
    RunState::Expired,
];

pub(super) async fn a_run_answers_the_newest_user_message(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    room.say("first").await;
    let asked = room.say("second").await;
    room.append(NewMessage::new(Role::Assistant, "aside")).await.unwrap();
    let wish = StartRun { deadline: Duration::from_secs(90), ..room.start() };

    let start = started(store.start_run(&Scope::Everything, wish.clone()).await);

    let run = &start.run;
    assert_eq!((run.id, run.app, run.thread), (wish.run, room.app.id, room.thread.id));
    assert_eq!((run.message, run.message_seq), (asked.id, 2));
    assert_eq!(run.agent, room.app.default_agent);
    assert_eq!((run.state, run.attempt, run.fence), (RunState::Running, 1, 1));
    assert_eq!((run.epoch, run.server), (room.thread.epoch, Some(wish.server)));
    assert_eq!((run.reply, run.finished_at, run.first_delta_at), (None, None, None));
    assert!(run.failure.is_none());
    assert_eq!(run.deadline_at, run.created_at.plus(Duration::from_secs(90)));
    assert_eq!(start.time_left, Duration::from_secs(90));
    assert_eq!((start.app, start.message), (room.app.clone(), asked));
    assert_eq!((start.agent.id, start.thread.id), (room.app.default_agent, room.thread.id));
    assert_eq!(room.run(run.id).await, *run);
}

pub(super) async fn a_run_is_told_the_newest_messages_in_rising_order(store: Arc<dyn Store>) {
    for (history, expected) in [(0, vec![]), (3, vec![4, 5, 6]), (100, vec![1, 2, 3, 4, 5, 6])] {
        let room = Room::new(&store).await;
        room.say("asked").await;
        for _ in 0..5 {
            room.append(NewMessage::new(Role::Assistant, "aside")).await.unwrap();
        }

        let wish = StartRun { history, ..room.start() };
        let start = started(store.start_run(&Scope::Everything, wish).await);

        let seqs: Vec<i64> = start.history.iter().map(|message| message.seq).collect();
        assert_eq!(seqs, expected);
        let said = room.messages().await;
        assert!(said.ends_with(&start.history), "whole messages are told");
        assert_eq!(start.message.seq, 1, "it is told beside the history");
    }
}

pub(super) async fn fifty_starts_at_once_make_one_run(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    room.say("Hello?").await;

    let outcomes = at_once(50, |_| {
        let room = room.clone();
        async move { room.store.start_run(&Scope::Everything, room.start()).await.unwrap() }
    })
    .await;

    let (mut made, mut joined) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            StartedRun::Started(start) => made.push(start.run),
            StartedRun::Standing(run) => joined.push(*run),
        }
    }
    assert_eq!((made.len(), joined.len()), (1, 49));
    assert!(joined.iter().all(|run| *run == made[0]));
}

pub(super) async fn a_thread_without_a_user_message_starts_no_run(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    for role in [Role::Assistant, Role::System, Role::Tool] {
        room.append(NewMessage::new(role, "aside")).await.unwrap();
    }

    let wish = room.start();
    let run = wish.run;

    assert_fails!(store.start_run(&Scope::Everything, wish).await, Error::NoUserMessages(_));
    assert_fails!(store.get_run(&Scope::Everything, run).await, Error::RunNotFound);
}

pub(super) async fn a_thread_outside_the_scope_starts_no_run(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    room.say("Hello?").await;
    let owned = Scope::Owner(room.app.owner.clone());
    let other = new_app(&store, "ann").await.id;

    for scope in room.outside_app().await {
        assert_fails!(store.start_run(&scope, room.start()).await, Error::AppNotFound(_));
    }
    let neighbour = room.neighbour().await;
    for (scope, wish) in [
        (&neighbour, room.start()),
        (&owned, StartRun { thread: ThreadId::new(), ..room.start() }),
        (&owned, StartRun { app: other, ..room.start() }),
    ] {
        assert_fails!(store.start_run(scope, wish).await, Error::ThreadNotFound(_));
    }

    for scope in room.inside() {
        let start = started(store.start_run(&scope, room.start()).await);
        store.finish_run(completed(&start.run, "Hi")).await.unwrap();
    }
}

pub(super) async fn finishing_a_run_speaks_its_reply(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    room.say("And another thing").await;
    let first_delta_at = Some(run.created_at.plus(Duration::from_micros(1_234_567)));

    let finish = FinishRun { first_delta_at, ..completed(&run, "Hi 👋") };
    let reply = store.finish_run(finish).await.unwrap().reply.unwrap();

    assert_eq!((reply.thread, reply.seq, reply.role), (room.thread.id, 3, Role::Assistant));
    assert_eq!(reply.content.as_deref(), Some("Hi 👋"));
    assert_eq!(reply.content_json.as_str(), r#"{"source":"webhook"}"#);
    assert_eq!(room.messages().await.last(), Some(&reply));
    let ended = room.run(run.id).await;
    assert_eq!((ended.state, ended.reply), (RunState::Completed, Some(reply.id)));
    assert_eq!(ended.first_delta_at, first_delta_at);
    assert!(ended.finished_at.unwrap() >= run.created_at);
    assert!(ended.failure.is_none());
    assert_eq!((ended.message, ended.deadline_at), (run.message, run.deadline_at));
}

pub(super) async fn a_reply_touches_the_thread_but_not_the_subscriber(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let mut run = room.started().await.run;
    let asked = room.thread().await.updated_at;

    eventually("a later reply", || {
        let (room, this) = (room.clone(), run.clone());
        let next = room.start();
        run.id = next.run;
        async move {
            let before = (room.thread().await.version, room.subscriber().await);
            room.store.finish_run(completed(&this, "Hi")).await.unwrap();
            assert!(room.thread().await.version > before.0);
            assert_eq!(room.subscriber().await, before.1);
            let later = room.thread().await.updated_at > asked;
            started(room.store.start_run(&Scope::Everything, next).await);
            later
        }
    })
    .await;
}

pub(super) async fn a_run_may_end_without_a_reply(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;

    let failure = Some(Failure::new(FailureKind::WebhookTimeout, "no answer in 30 s: ж"));
    let finish = FinishRun {
        state: RunState::Failed,
        reply: None,
        failure: failure.clone(),
        ..completed(&run, "")
    };

    assert_eq!(store.finish_run(finish).await.unwrap(), FinishedRun::default());
    let ended = room.run(run.id).await;
    assert_eq!((ended.state, ended.reply, ended.failure), (RunState::Failed, None, failure));
    assert!(ended.finished_at.is_some());
    assert_eq!(room.messages().await.len(), 1);
}

pub(super) async fn every_end_and_every_failure_is_kept(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let ends = ENDS.into_iter().map(|end| (end, None));
    let failures = FailureKind::ALL
        .iter()
        .map(|kind| (RunState::Failed, Some(Failure::new(*kind, kind.key()))));

    for (state, failure) in ends.chain(failures) {
        let run = room.started().await.run;
        let finish =
            FinishRun { state, reply: None, failure: failure.clone(), ..completed(&run, "") };
        store.finish_run(finish).await.unwrap();
        let ended = room.run(run.id).await;
        assert_eq!((ended.state, ended.failure), (state, failure));
    }
}

pub(super) async fn a_wrong_fence_finishes_nothing(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let before = (room.thread().await, room.messages().await, room.run(run.id).await);

    for fence in [run.fence - 1, run.fence + 1, 0, i64::MAX] {
        let finish = FinishRun { fence, ..completed(&run, "overtaken") };
        assert_fails!(store.finish_run(finish).await, Error::Fenced);
    }
    let unknown = FinishRun { run: RunId::new(), ..completed(&run, "unknown") };
    assert_fails!(store.finish_run(unknown).await, Error::Fenced);

    let after = (room.thread().await, room.messages().await, room.run(run.id).await);
    assert_eq!(after, before, "nothing was written");
}

pub(super) async fn a_run_is_finished_once(store: Arc<dyn Store>) {
    for state in ENDS {
        let room = Room::new(&store).await;
        let run = room.started().await.run;
        let finish = FinishRun { state, ..completed(&run, "first") };
        store.finish_run(finish).await.unwrap();
        let before = (room.thread().await, room.messages().await, room.run(run.id).await);

        assert_fails!(store.finish_run(completed(&run, "second")).await, Error::Fenced);

        let after = (room.thread().await, room.messages().await, room.run(run.id).await);
        assert_eq!(after, before, "nothing was written");
    }
}

pub(super) async fn of_many_finishes_at_once_one_speaks(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;

    let outcomes = at_once(20, |number| {
        let (store, finish) = (Arc::clone(&store), completed(&run, &number.to_string()));
        async move { store.finish_run(finish).await }
    })
    .await;

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|outcome| match outcome {
        Ok(finished) => finished.reply.is_some(),
        Err(error) => matches!(error, Error::Fenced),
    }));
    assert_eq!(room.messages().await.len(), 2);
}

pub(super) async fn replies_and_messages_at_once_leave_no_gap(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;

    at_once(20, |number| {
        let (room, run) = (room.clone(), run.clone());
        async move {
            if number == 10 {
                {
                    let finished = room.store.finish_run(completed(&run, "reply")).await.unwrap();
                    finished.reply.unwrap().seq
                }
            } else {
                room.say("Hello").await.seq
            }
        }
    })
    .await;

    let seqs: Vec<i64> = room.messages().await.iter().map(|message| message.seq).collect();
    assert_eq!(seqs, (1..=21).collect::<Vec<_>>());
}

pub(super) async fn after_its_end_another_run_may_start(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let first = room.started().await.run;

    let meanwhile = store.start_run(&Scope::Everything, room.start()).await.unwrap();
    assert!(matches!(meanwhile, StartedRun::Standing(run) if run.id == first.id));

    store.finish_run(completed(&first, "Hi")).await.unwrap();
    let again = started(store.start_run(&Scope::Everything, room.start()).await).run;
    assert_eq!(again.message, first.message, "the same message may be answered again");
    store.finish_run(completed(&again, "Hi again")).await.unwrap();

    assert_eq!(room.run(first.id).await.state, RunState::Completed);
    assert_eq!(room.started().await.run.message_seq, 4);
}

pub(super) async fn a_run_outside_the_scope_does_not_exist(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let mut outside = room.outside_app().await;
    outside.push(room.neighbour().await);

    for scope in room.inside() {
        assert_eq!(store.get_run(&scope, run.id).await.unwrap(), run, "{scope:?}");
    }
    for scope in outside {
        assert_fails!(store.get_run(&scope, run.id).await, Error::RunNotFound);
    }
    assert_fails!(store.get_run(&Scope::Everything, RunId::new()).await, Error::RunNotFound);
}
