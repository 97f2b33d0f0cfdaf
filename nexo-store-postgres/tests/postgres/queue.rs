//! Runs that wait for their turn, and what happens in their thread meanwhile.

use std::{sync::Arc, time::Duration};

use nexo_core::{
    AppChanges, AppStore as _, ConfigChange, Error, FailureKind, NewThread, RunState,
    RunStore as _, ServerStore as _, StartRun, StartedRun, Stop, ThreadStore as _,
};

use crate::{
    races::meanwhile,
    room::{Room, answer, claim},
};

/// A run of another wish for the same message, made by hand: behind another.
const QUEUE: &str = "
    update nexo_threads set version = version + 1;
    insert into nexo_runs (id, app_id, thread_id, agent_id, message_id, message_seq, state,
        attempt, fence, epoch, version, created_at, deadline_at)
    select gen_random_uuid(), t.app_id, t.id, a.default_agent_id, m.id, m.seq, 'queued',
        0, 0, 0, t.version, now(), now() + interval '1 hour'
    from nexo_threads t
    join nexo_apps a on a.id = t.app_id
    join nexo_messages m on m.thread_id = t.id and m.seq = 1";

async fn asked() -> Room {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    room
}

#[tokio::test]
async fn a_queued_run_whose_thread_a_person_took_over_is_superseded_when_claimed() {
    let room = asked().await;
    let first = room.start().await.run;
    let second = room.queue().await;
    room.store.finish_run(answer(&first, "Hi")).await.unwrap();
    room.execute("update nexo_threads set holder_human = 'ann', epoch = epoch + 1").await;

    let claimed = room.claim().await;

    assert!(claimed.is_empty(), "{claimed:?}");
    let ended = room.run(second.id).await;
    assert_eq!((ended.state, ended.attempt), (RunState::Superseded, 0));
    assert_eq!(ended.failure, Some(Stop::Supersede.failure()));
    assert!(ended.finished_at.is_some());
}

#[tokio::test]
async fn a_run_whose_thread_changed_hands_before_it_goes_on_is_superseded_when_claimed() {
    let room = asked().await;
    let first = room.start().await.run;
    let second = room.queue().await;
    room.store.hand_back_run(first.id, first.fence).await.unwrap();
    room.execute("update nexo_threads set epoch = epoch + 1").await;

    let claimed = room.claim().await;

    assert_eq!(room.run(first.id).await.state, RunState::Superseded);
    // The one behind it never began: it answers for whoever holds the thread now.
    let begun: Vec<_> = claimed.iter().map(|start| (start.run.id, start.run.epoch)).collect();
    assert_eq!(begun, [(second.id, 1)]);
    room.store.finish_run(answer(&claimed[0].run, "Hi")).await.unwrap();
}

#[tokio::test]
async fn a_run_that_was_queued_while_the_one_before_ended_is_released() {
    let room = Arc::new(asked().await);
    let first = room.start().await.run;

    let finishing = Arc::clone(&room);
    let finished = meanwhile(room.store.pool(), QUEUE, async move {
        finishing.store.finish_run(answer(&first, "Hi")).await.unwrap()
    })
    .await;

    assert!(finished.released);
    assert_eq!(finished.reply.unwrap().seq, 2);
    assert_eq!(room.claim().await.len(), 1);
}

#[tokio::test]
async fn a_start_that_waited_for_a_run_to_be_queued_joins_it() {
    let room = Arc::new(asked().await);

    let starting = Arc::clone(&room);
    let started =
        meanwhile(room.store.pool(), QUEUE, async move { starting.try_start().await.unwrap() })
            .await;

    let StartedRun::Standing(run) = started else { panic!("{started:?} overtook it") };
    assert_eq!((run.state, run.message_seq), (RunState::Queued, 1));
}

/// As when a server dies between the end of a run and the release of the next.
#[tokio::test]
async fn a_run_that_nobody_released_is_released_by_a_sweep() {
    let room = asked().await;
    room.execute(QUEUE).await;
    assert!(room.claim().await.is_empty());

    let swept = room.sweep().await;

    assert_eq!((swept.queued.len(), swept.ended.len()), (1, 0));
    assert_eq!(room.claim().await[0].run.id, swept.queued[0]);
    assert_eq!(room.sweep().await.queued.len(), 1, "its server never beat");
}

/// Neither a claim nor a sweep may be held up by one thread.
#[tokio::test]
async fn a_thread_that_somebody_works_on_is_left_to_the_next_time() {
    let room = asked().await;
    let run = room.start().await.run;
    let mut worker = room.store.pool().begin().await.unwrap();
    sqlx::query("select 1 from nexo_threads for update").execute(&mut *worker).await.unwrap();
    assert!(room.sweep().await.queued.is_empty());
    worker.rollback().await.unwrap();
    assert_eq!(room.sweep().await.queued, [run.id]);

    let mut worker = room.store.pool().begin().await.unwrap();
    sqlx::query("select 1 from nexo_threads for update").execute(&mut *worker).await.unwrap();
    assert!(room.claim().await.is_empty());
    worker.rollback().await.unwrap();
    assert_eq!(room.claim().await[0].run.id, run.id);
}

#[tokio::test]
async fn a_run_that_cannot_be_read_does_not_keep_others_from_their_turn() {
    let room = asked().await;
    let broken = room.start().await.run;
    room.store.hand_back_run(broken.id, broken.fence).await.unwrap();
    room.execute("update nexo_runs set agent_id = gen_random_uuid()").await;
    let (thread, _) =
        room.store.create_thread(&room.scope(), room.app.id, NewThread::default()).await.unwrap();
    let other = Room { thread, ..room };
    other.say("Hello").await.unwrap();
    let sound = other.start().await.run;
    other.store.hand_back_run(sound.id, sound.fence).await.unwrap();

    let claimed = other.claim().await;

    assert_eq!(claimed.iter().map(|start| start.run.id).collect::<Vec<_>>(), [sound.id]);
    let ended = other.run(broken.id).await;
    assert_eq!(
        (ended.state, ended.failure.unwrap().kind),
        (RunState::Failed, FailureKind::Internal)
    );
    assert!(other.claim().await.is_empty());
}

/// A run goes back to whoever claimed it only after a while, however old it is.
#[tokio::test]
async fn a_run_that_was_just_claimed_is_not_swept_by_its_own_server() {
    let room = asked().await;
    let run = room.start().await.run;
    room.store.hand_back_run(run.id, run.fence).await.unwrap();
    room.execute("update nexo_runs set created_at = now() - interval '1 hour'").await;
    room.execute("update nexo_runs set started_at = created_at").await;
    let wish = claim();
    room.store.claim_runs(wish.clone()).await.unwrap();

    let sweep = nexo_core::SweepRuns { server: wish.server, ..crate::room::sweep() };
    let swept = room.store.sweep_runs(sweep).await.unwrap();

    assert!(swept.queued.is_empty(), "{swept:?}");
}

#[tokio::test]
async fn a_sweep_ends_what_is_behind_a_live_run_and_leaves_that_alone() {
    let room = asked().await;
    let first = room.start().await.run;
    room.store.beat(first.server.unwrap(), &nexo_core::Handlers::default()).await.unwrap();
    let second = room.queue().await;
    room.execute("update nexo_runs set deadline_at = now()").await;
    assert!(room.sweep().await.ended.is_empty(), "what never began has all its time");
    room.execute("update nexo_runs set attempt = 1").await;

    let swept = room.sweep().await;

    assert_eq!((swept.queued, swept.ended), (vec![], vec![second.id]));
    assert_eq!(room.run(first.id).await.state, RunState::Running);
}

#[tokio::test]
async fn a_run_whose_thread_changed_hands_is_not_parked() {
    let room = asked().await;
    let run = room.start().await.run;
    room.execute("update nexo_threads set epoch = epoch + 1").await;

    let parked = room.store.park_run(run.id, run.fence, Duration::from_secs(60)).await;

    assert!(matches!(parked, Err(Error::Fenced)), "{parked:?}");
    assert_eq!(room.run(run.id).await, run);
}

#[tokio::test]
async fn where_one_is_due_already_the_end_of_a_run_releases_no_other() {
    let room = asked().await;
    let first = room.start().await.run;
    let (second, third) = (room.queue().await, room.queue().await);
    room.execute("update nexo_runs set available_at = now() where message_seq = 3").await;

    let finished = room.store.finish_run(answer(&first, "Hi")).await.unwrap();

    assert!(!finished.released);
    assert_eq!(room.claim().await[0].run.id, third.id);
    assert_eq!(room.run(second.id).await, *second);
}

/// Whoever finds that out has it found by a server with what is needed now.
#[tokio::test]
async fn a_run_is_left_to_a_server_with_the_handler_of_who_holds_the_thread_then() {
    let room = asked().await;
    let first = room.start().await.run;
    let next = room.queue().await;
    room.execute(
        "insert into nexo_agents (id, app_id, name, kind, config, handler, grants, created_at,
            updated_at)
        select gen_random_uuid(), app_id, 'other', kind, config, 'baker', grants, created_at,
            updated_at
        from nexo_agents;
        update nexo_threads
        set holder_agent_id = (select id from nexo_agents where name = 'other')",
    )
    .await;
    room.store.finish_run(answer(&first, "Hi")).await.unwrap();

    assert!(room.claim().await.is_empty());
    let left = room.run(next.id).await;
    assert_eq!((left.state, left.attempt), (RunState::Queued, 0));
    assert_eq!(left.handler.as_deref(), Some("baker"));
    assert!(room.claim().await.is_empty());
    let handlers = nexo_core::Handlers::from_iter(["baker"]);
    let claim = nexo_core::ClaimRuns { handlers, ..crate::room::claim() };
    let claimed = room.store.claim_runs(claim).await.unwrap().remove(0);
    assert_eq!((claimed.run.id, &*claimed.agent.name), (next.id, "other"));
}

async fn configure(room: &Room, config: &str) {
    let config = Some(ConfigChange::Replace(config.parse().unwrap()));
    let changes = AppChanges { config, ..AppChanges::default() };
    room.store.update_app(&room.scope(), room.app.id, changes).await.unwrap();
}

#[tokio::test]
async fn how_long_to_wait_for_a_burst_is_read_however_it_is_written() {
    for (config, waits) in [
        (r#"{"runs":{"debounce_ms":60000}}"#, true),
        (r#"{"runs":{"debounc\u0065\u005Fms":60000}}"#, true),
        (r#"{"runs":{"debounce_ms":0}}"#, false),
        (r#"{"runs":{"debounce_ms":"soon"}}"#, false),
        (r#"{"debounce_ms":60000,"runs":[]}"#, false),
        (r#"{"greeting":"\u0000 \ud83d\udc4b","runs":{}}"#, false),
    ] {
        let room = asked().await;
        configure(&room, config).await;

        let started = room.try_start().await.unwrap();

        assert_eq!(matches!(started, StartedRun::Standing(_)), waits, "{config}: {started:?}");
    }
}

#[tokio::test]
async fn an_endless_wait_is_a_long_one() {
    let room = asked().await;
    let endless = Some(Duration::MAX);
    let wish = StartRun { debounce: endless, deadline: Duration::MAX, ..room.wish() };

    let started = room.store.start_run(&room.scope(), wish).await.unwrap();

    let StartedRun::Standing(run) = started else { panic!("{started:?} began") };
    assert_eq!(room.run(run.id).await, *run);
    assert!(run.available_at.unwrap() > run.created_at.plus(Duration::from_secs(1_000_000)));
    assert!(run.deadline_at > run.created_at.plus(Duration::from_secs(1_000_000)));
    assert!(room.sweep().await.ended.is_empty());
}

#[tokio::test]
async fn a_stop_of_a_run_that_ends_meanwhile_comes_too_late() {
    let room = Arc::new(asked().await);
    let run = room.start().await.run;

    let stopping = Arc::clone(&room);
    let end = "update nexo_threads set version = version + 1;
        update nexo_runs set state = 'completed', finished_at = now()";
    let stopped = meanwhile(room.store.pool(), end, async move {
        stopping.store.stop_run(&stopping.scope(), run.app, run.id, Stop::Cancel).await
    })
    .await;

    assert!(matches!(stopped, Err(Error::RunEnded(_))), "{stopped:?}");
}
