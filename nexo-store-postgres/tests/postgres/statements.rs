//! How many statements the busiest methods take: each is a round trip.

use nexo_core::{
    AppStore as _, MessageRange, MessageStore as _, RunState, RunStore as _, StartedRun,
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

#[tokio::test]
async fn finishing_a_run_is_one_statement() {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    let started = room.start().await;
    let watch = Watch::begin();

    room.store.finish_run(answer(&started.run, "Hi")).await.unwrap();

    assert_one(&watch.statements(), "update nexo_runs");
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

/// That there was one statement, and it did this.
fn assert_one(statements: &[String], what: &str) {
    let [statement] = statements else { panic!("expected one statement, got {statements:#?}") };
    assert!(statement.contains(what), "{statement}");
}
