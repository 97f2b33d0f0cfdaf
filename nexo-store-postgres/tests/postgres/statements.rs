//! How many statements the busiest methods take: each is a round trip.

use std::time::Duration;

use nexo_core::{
    AppId, AppStore as _, ChangeLimit, EventStore as _, FeedStore as _, FollowRun, Handlers,
    MessageRange, MessageStore as _, NewThread, RunState, RunStore as _, Said, Segment,
    ServerStore as _, StartRun, StartedRun, SweptRuns, ThreadCursor, ThreadId, ThreadStore as _,
    accounts::{NewUser, UserStore as _},
};

use crate::{
    room::{Room, answer},
    watch::Watch,
};

#[tokio::test]
async fn appending_a_message_is_one_statement() {
    let room = Room::new().await;
    let watch = Watch::begin();

    room.say("Hello").await.unwrap();

    assert_one(&watch.statements(), "insert into nexo_messages");
}

#[tokio::test]
async fn starting_a_run_is_one_statement() {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    let watch = Watch::begin();

    room.start().await;

    assert_one(&watch.statements(), "insert into nexo_runs");
}

/// Whether the server has what the agent needs is asked in the same one.
#[tokio::test]
async fn starting_a_run_that_needs_a_handler_is_one_statement() {
    let room = Room::new().await;
    room.execute("update nexo_agents set handler = 'baker'").await;
    room.say("Hello").await.unwrap();
    let wish = StartRun { handlers: Handlers::from_iter(["baker"]), ..room.wish() };
    let watch = Watch::begin();

    let started = room.store.start_run(&room.scope(), wish).await.unwrap();

    assert_one(&watch.statements(), "insert into nexo_runs");
    assert!(matches!(started, StartedRun::Started(start) if start.run.handler.is_some()));
}

#[tokio::test]
async fn joining_a_standing_run_is_two_statements() {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    let started = room.start().await;
    let watch = Watch::begin();

    let joined = room.try_start().await.unwrap();

    assert_eq!(watch.statements().len(), 2);
    assert!(matches!(joined, StartedRun::Standing(run) if run.id == started.run.id));
}

#[tokio::test]
async fn queueing_a_run_behind_another_is_a_few_statements() {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    room.start().await;
    room.say("And this?").await.unwrap();
    let watch = Watch::begin();

    let queued = room.try_start().await.unwrap();

    assert_eq!(watch.statements().len(), 7);
    assert!(matches!(queued, StartedRun::Standing(run) if run.state == RunState::Queued));
}

/// Every server asks twice a second, and mostly in vain.
#[tokio::test]
async fn finding_nothing_to_claim_or_to_sweep_is_one_statement() {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    let run = room.start().await.run;
    room.store.beat(run.server.unwrap(), &nexo_core::Handlers::default()).await.unwrap();
    room.queue().await;
    let watch = Watch::begin();

    assert!(room.claim().await.is_empty());
    assert_one(&watch.statements(), "from nexo_runs");

    assert_eq!(room.sweep().await, SweptRuns::default());
    assert_one(&watch.statements(), "from nexo_runs");

    room.store.stopped_runs(run.server.unwrap()).await.unwrap();
    assert_one(&watch.statements(), "from nexo_runs");
}

/// However many there are.
#[tokio::test]
async fn sweeping_and_claiming_runs_is_a_few_statements() {
    let mut room = Room::new().await;
    for _ in 0..5 {
        let (scope, new) = (room.scope(), NewThread::default());
        room.thread = room.store.create_thread(&scope, room.app.id, new).await.unwrap().0;
        room.say("Hello").await.unwrap();
        room.start().await;
        room.queue().await;
    }
    let watch = Watch::begin();

    assert_eq!(room.sweep().await.queued.len(), 5);
    assert_eq!(watch.statements().len(), 5);

    assert_eq!(room.claim().await.len(), 5);
    assert_eq!(watch.statements().len(), 6);
}

#[tokio::test]
async fn handing_a_run_back_and_parking_it_are_one_statement_each() {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    let run = room.start().await.run;
    let watch = Watch::begin();

    room.store.hand_back_run(run.id, run.fence).await.unwrap();
    assert_one(&watch.statements(), "update nexo_runs");

    let run = room.claim().await.remove(0).run;
    watch.statements();
    room.store.park_run(run.id, run.fence, Duration::from_secs(60)).await.unwrap();
    assert_one(&watch.statements(), "update nexo_runs");
}

#[tokio::test]
async fn finishing_a_run_and_releasing_the_next_is_one_statement() {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    let started = room.start().await;
    room.queue().await;
    let watch = Watch::begin();

    let finished = room.store.finish_run(answer(&started.run, "Hi")).await.unwrap();

    assert!(finished.released);
    assert_one(&watch.statements(), "update nexo_runs");
}

/// Each server does both again and again, for all its runs.
#[tokio::test]
async fn appending_segments_and_following_runs_are_one_statement_each() {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    let run = room.start().await.run;
    let said = |position: u32| Segment {
        run: run.id,
        app: run.app,
        attempt: 1,
        position,
        said: Said { text: "Hi".into(), speaker: None },
    };
    let watch = Watch::begin();

    room.store.append_segments(&[said(0), said(2), said(4)]).await.unwrap();
    assert_one(&watch.statements(), "insert into nexo_events");

    let known = [FollowRun { run: run.id, attempt: 1, bytes: 2 }];
    let followed = room.store.follow_runs(&known, 1_000).await.unwrap();
    assert_eq!(followed[0].segments, [said(2), said(4)]);
    assert_one(&watch.statements(), "from nexo_events");
}

#[tokio::test]
async fn reading_an_app_a_user_or_messages_is_one_statement() {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    let new = NewUser {
        email: "ann@example.com".into(),
        hashed_password: "hash".into(),
        is_superuser: false,
        is_verified: false,
        locale: "en".into(),
    };
    let user = room.store.create_user(new).await.unwrap();
    let (scope, range) = (room.scope(), MessageRange::Newest { before: None });
    let watch = Watch::begin();

    room.store.get_app(&scope, room.app.id).await.unwrap();
    assert_one(&watch.statements(), "from nexo_apps");

    room.store.find_user(user.id).await.unwrap();
    assert_one(&watch.statements(), "from nexo_users");

    room.store.list_messages(&scope, room.app.id, room.thread.id, range, 50).await.unwrap();
    assert_one(&watch.statements(), "from nexo_messages");
}

/// One task of each server asks for all that is watched there.
#[tokio::test]
async fn finding_out_what_changed_is_one_statement() {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    let (scope, app, thread) = (room.scope(), room.app.id, room.thread.id);
    let (after, limit) = (ThreadCursor::Seq(1), ChangeLimit { changes: 10, bytes: 1_000 });
    let watch = Watch::begin();

    room.store.list_changes(&scope, app, thread, after, limit).await.unwrap();
    assert_one(&watch.statements(), "from nexo_messages");

    room.store.thread_versions(&scope, &[thread, ThreadId::new()]).await.unwrap();
    assert_one(&watch.statements(), "from nexo_threads");

    room.store.newest_threads(&[app, AppId::new()], 10).await.unwrap();
    assert_one(&watch.statements(), "from nexo_threads");
}

/// That there was one statement, and it did this.
fn assert_one(statements: &[String], what: &str) {
    let [statement] = statements else { panic!("expected one statement, got {statements:#?}") };
    assert!(statement.contains(what), "{statement}");
}
