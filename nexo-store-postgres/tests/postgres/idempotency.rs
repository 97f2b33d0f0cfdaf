//! Requests with a key: what they cost, and what stands in their way.

use std::time::Duration;

use nexo_core::{
    Error, IdempotencyStore as _, KeyRing, MessageRange, MessageStore as _, NewMessage, Once,
    Result, Role, RunStore as _, StartedRun,
};
use nexo_store_postgres::{PostgresOptions, PostgresStore};

use crate::{
    plans::{TIMES, explained},
    room::{Room, keyed},
    watch::Watch,
};

fn hello() -> NewMessage {
    NewMessage::new(Role::User, "Hello")
}

impl Room {
    async fn say_once(&self, key: &str) -> Result<Once<nexo_core::Message>> {
        let (scope, app, thread) = (self.scope(), self.app.id, self.thread.id);
        self.store.append_message_once(&scope, app, thread, hello(), keyed(key)).await
    }

    async fn ask(&self) -> Result<(nexo_core::Message, StartedRun)> {
        self.store.ask(&self.scope(), hello(), self.wish()).await
    }

    pub(crate) async fn message_count(&self) -> usize {
        let (scope, all) = (self.scope(), MessageRange::After(0));
        let messages = self.store.list_messages(&scope, self.app.id, self.thread.id, all, 200);
        messages.await.unwrap().len()
    }
}

#[tokio::test]
async fn a_key_costs_two_statements_and_a_commit() {
    let room = Room::new().await;
    let watch = Watch::begin();

    room.say_once("k").await.unwrap();
    assert_eq!(watch.statements().len(), 4);

    assert!(room.say_once("k").await.unwrap().replayed);
    let again = watch.statements();
    assert_eq!(again.len(), 4, "{again:#?}");
}

#[tokio::test]
async fn saying_something_and_having_it_answered_is_two_statements_and_a_commit() {
    let room = Room::new().await;
    let watch = Watch::begin();

    let (said, started) = room.ask().await.unwrap();

    assert_eq!(watch.statements().len(), 3);
    let StartedRun::Started(start) = started else { panic!("{started:?}") };
    assert_eq!(start.message, said);
}

#[tokio::test]
async fn in_a_thread_that_a_person_holds_nothing_is_said_to_agents() {
    let room = Room::new().await;
    room.say("Hello").await.unwrap();
    let scope = room.scope();
    let start = || room.store.start_run_once(&scope, room.wish(), keyed("k"));
    let before = start().await.unwrap().made.run().id;

    room.execute("update nexo_threads set holder_human = 'ann', epoch = epoch + 1").await;

    assert!(matches!(room.ask().await, Err(Error::ThreadHeld(_))));
    assert_eq!(room.message_count().await, 1);
    assert_eq!(start().await.unwrap().made.run().id, before);
}

#[tokio::test]
async fn who_waits_too_long_for_a_request_with_the_same_key_is_told_so() {
    let room = Room::new().await;
    room.say_once("k").await.unwrap();
    let options = PostgresOptions::new().with_lock_timeout(Duration::from_millis(50));
    let url = room.database.url();
    let impatient = PostgresStore::connect(&url, options, KeyRing::generate("k")).await.unwrap();
    let mut holder = room.store.pool().begin().await.unwrap();
    sqlx::query("select 1 from nexo_idempotency for update").execute(&mut *holder).await.unwrap();

    let (scope, app, thread) = (room.scope(), room.app.id, room.thread.id);
    let outcome = impatient.append_message_once(&scope, app, thread, hello(), keyed("k")).await;
    holder.rollback().await.unwrap();

    assert!(matches!(outcome, Err(Error::RequestInProgress)), "{outcome:?}");
    assert!(room.say_once("k").await.unwrap().replayed);
}

#[tokio::test]
async fn keys_are_found_and_forgotten_by_their_indexes() {
    let room = Room::new().await;
    room.execute(
        "insert into nexo_idempotency (app_id, key, route, body_sha256, made, created_at)
        select id, 'k' || n, 'POST /', sha256('x'), '{}', now() - n * interval '1 minute'
        from nexo_apps, generate_series(1, 20000) n;
        analyze nexo_idempotency",
    )
    .await;
    let store = explained(&room.database).await;
    let (scope, app, thread) = (room.scope(), room.app.id, room.thread.id);
    let watch = Watch::begin();

    for _ in 0..TIMES {
        store.append_message_once(&scope, app, thread, hello(), keyed("new")).await.unwrap();
        store.prune_idempotency_keys(Duration::from_secs(3_600), 100).await.unwrap();
    }

    let plans = watch.notices();
    assert!(plans.iter().any(|plan| plan.contains("nexo_idempotency_age")), "{plans:#?}");
    let scanned = plans.iter().find(|plan| plan.contains("Seq Scan on nexo_idempotency"));
    assert_eq!(scanned, None);
}
