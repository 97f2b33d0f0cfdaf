//! What happens at once, and what a method finds that no method brings about.

use std::{sync::Arc, time::Duration};

use nexo_core::{
    AppStore as _, Change, ChangeLimit, Changed, Error, FeedStore as _, IdempotencyStore as _,
    KeyedRequest, MessageRange, MessageStore as _, NewMessage, NewThread, Result, Role,
    RunStore as _, Scope, StartedRun, Stop, SubscriberStore as _, ThreadCursor, ThreadStore as _,
};
use sqlx::{PgPool, Row as _};
use tokio::task::JoinSet;

use crate::room::{Room, answer, claim, keyed, sweep};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_writers_leave_no_gap_in_a_thread() {
    const WRITERS: usize = 64;
    const EACH: usize = 17;
    let room = Arc::new(Room::new().await);

    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let room = Arc::clone(&room);
        writers.spawn(async move {
            for n in 0..EACH {
                room.say(&format!("{writer}/{n}")).await.unwrap();
            }
        });
    }
    writers.join_all().await;

    let (scope, range) = (Scope::Everything, MessageRange::After(0));
    let messages =
        room.store.list_messages(&scope, room.app.id, room.thread.id, range, 5_000).await.unwrap();
    let seqs: Vec<i64> = messages.iter().map(|message| message.seq).collect();
    assert_eq!(seqs, (1..=1_088).collect::<Vec<_>>());
    assert!(messages.is_sorted_by_key(|message| message.created_at), "time runs with seq");
}

/// Runs a change of the thread in a transaction, and meanwhile an action that has to wait for it.
pub(crate) async fn meanwhile<T: Send + 'static>(
    pool: &PgPool,
    change: &'static str,
    action: impl Future<Output = T> + Send + 'static,
) -> T {
    let mut transaction = pool.begin().await.unwrap();
    sqlx::raw_sql(change).execute(&mut *transaction).await.unwrap();
    let waiting = tokio::spawn(action);
    until_somebody_waits(&mut transaction).await;
    transaction.commit().await.unwrap();
    waiting.await.unwrap()
}

async fn until_somebody_waits(connection: &mut sqlx::PgConnection) {
    let waiting = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        // Each look has to be a new one: what it shows is kept until the transaction's end.
        sqlx::query("select pg_stat_clear_snapshot()").execute(&mut *connection).await.unwrap();
        let row = sqlx::query(waiting).fetch_one(&mut *connection).await.unwrap();
        if row.get::<i64, _>(0) > 0 {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "nobody waits");
    }
}

/// Another server speaks in the thread while a run is started.
const APPEND: &str = "
    update nexo_threads set next_seq = next_seq + 1, version = version + 1;
    insert into nexo_messages
        (id, app_id, thread_id, seq, role, content, content_json, version, created_at)
    select gen_random_uuid(), app_id, id, next_seq - 1, 'user', 'second', '{}', version, now()
    from nexo_threads";

#[tokio::test]
async fn a_start_that_waited_for_an_append_knows_the_message() {
    let room = Arc::new(Room::new().await);
    room.say("first").await.unwrap();

    let starting = Arc::clone(&room);
    let start = meanwhile(room.store.pool(), APPEND, async move { starting.start().await }).await;

    assert_eq!(start.message.content.as_deref(), Some("second"));
    assert_eq!(start.history.len(), 2);
    assert_eq!(start.run.message_seq, 2);
}

#[tokio::test]
async fn a_thread_that_a_person_took_meanwhile_starts_no_run() {
    let room = Arc::new(Room::new().await);
    room.say("Hello").await.unwrap();

    let starting = Arc::clone(&room);
    let take = "update nexo_threads set holder_human = 'ann', epoch = epoch + 1";
    let started =
        meanwhile(room.store.pool(), take, async move { starting.try_start().await }).await;

    assert!(matches!(started, Err(Error::ThreadHeld(_))), "{started:?}");
}

#[tokio::test]
async fn a_reply_is_not_spoken_in_a_thread_that_changed_hands_meanwhile() {
    let room = Arc::new(Room::new().await);
    room.say("Hello").await.unwrap();
    let run = room.start().await.run;

    let finishing = Arc::clone(&room);
    let take = "update nexo_threads set holder_human = 'ann', epoch = epoch + 1";
    let finished = meanwhile(room.store.pool(), take, async move {
        finishing.store.finish_run(answer(&run, "Hi")).await
    })
    .await;

    assert!(matches!(finished, Err(Error::Fenced)), "{finished:?}");
    assert_eq!(room.say("still there?").await.unwrap().seq, 2);
}

#[tokio::test]
async fn a_run_that_was_taken_over_meanwhile_is_fenced() {
    let room = Arc::new(Room::new().await);
    room.say("Hello").await.unwrap();
    let run = room.start().await.run;

    let finishing = Arc::clone(&room);
    let take = "update nexo_runs set fence = fence + 1";
    let finished = meanwhile(room.store.pool(), take, async move {
        finishing.store.finish_run(answer(&run, "Hi")).await
    })
    .await;

    assert!(matches!(finished, Err(Error::Fenced)), "{finished:?}");
}

#[tokio::test]
async fn a_message_to_a_thread_that_is_deleted_meanwhile_is_refused() {
    let room = Arc::new(Room::new().await);

    let saying = Arc::clone(&room);
    let delete = "delete from nexo_threads";
    let said = meanwhile(room.store.pool(), delete, async move { saying.say("Hello").await }).await;

    assert!(matches!(said, Err(Error::ThreadNotFound(_))), "{said:?}");
}

#[tokio::test]
async fn a_thread_in_an_app_that_is_deleted_meanwhile_is_not_created() {
    let room = Arc::new(Room::new().await);

    let creating = Arc::clone(&room);
    let delete = "delete from nexo_apps";
    let created = meanwhile(room.store.pool(), delete, async move {
        let thread = NewThread { customer_id: Some("bob".into()), ..NewThread::default() };
        creating.store.create_thread(&creating.scope(), creating.app.id, thread).await
    })
    .await;

    assert!(matches!(created, Err(Error::AppNotFound(_))), "{created:?}");
}

/// Such a thread is left where its subscriber was removed by hand, or came from elsewhere.
#[tokio::test]
async fn a_message_gives_a_thread_the_subscriber_that_it_lacks() {
    let room = Room::new().await;
    let scope = room.scope();
    sqlx::query("delete from nexo_subscribers").execute(room.store.pool()).await.unwrap();

    let message = room.say("Hello").await.unwrap();

    let thread = room.store.get_thread(&scope, room.thread.id).await.unwrap();
    let subscriber =
        room.store.get_subscriber(&scope, room.app.id, thread.subscriber.unwrap()).await.unwrap();
    assert_eq!(subscriber.customer_id, "ann");
    assert_eq!(subscriber.last_message_at, Some(message.created_at));
    let found = room.store.list_subscribers(&scope, room.app.id, "ANN", None, 5).await.unwrap();
    assert_eq!(found.items.len(), 1);
    let (app, limit) = (room.app.id, ChangeLimit { changes: 10, bytes: 1_000 });
    let seen = ThreadCursor::Version(1);
    let page = room.store.list_changes(&scope, app, thread.id, seen, limit).await.unwrap();
    let [attached, appended] = &page.changes[..] else { panic!("{page:?}") };
    assert!(matches!(attached, Change { version: 2, what: Changed::Thread(_) }));
    assert!(matches!(appended, Change { version: 3, what: Changed::Message(_) }));
}

/// Everything at once on few rows: whoever locks in another order than the rest is found out,
/// since the database ends one of the two that wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_that_happens_at_once_waits_for_each_other() {
    let room = Arc::new(Room::new().await);
    room.say("Hello").await.unwrap();

    let mut tasks = JoinSet::new();
    for _ in 0..6 {
        let room = Arc::clone(&room);
        tasks.spawn(async move {
            for _ in 0..20 {
                converse(&room).await.unwrap();
            }
        });
    }
    tasks.join_all().await;

    let waits =
        sqlx::query("select deadlocks from pg_stat_database where datname = current_database()");
    assert_eq!(waits.fetch_one(room.store.pool()).await.unwrap().get::<i64, _>(0), 0);
}

/// A second thread of the same customer comes and goes, and the first one is talked in.
async fn converse(room: &Room) -> Result<()> {
    let (scope, app) = (room.scope(), room.app.id);
    let customer = NewThread { customer_id: Some("bob".into()), ..NewThread::default() };
    let (thread, _) = room.store.create_thread(&scope, app, customer).await?;
    room.say("Hello").await?;
    for started in [room.try_start().await?, ask(room).await?] {
        if let StartedRun::Started(start) = started {
            let finished = room.store.finish_run(answer(&start.run, "Hi")).await;
            finished.map(drop).or_else(unless_gone)?;
        }
    }
    room.store.sweep_runs(sweep()).await?;
    for begun in room.store.claim_runs(claim()).await? {
        let stop = room.store.stop_run(&scope, app, begun.run.id, Stop::Cancel).await;
        stop.map(drop).or_else(unless_gone)?;
        room.store.hand_back_run(begun.run.id, begun.run.fence).await.or_else(unless_gone)?;
    }
    room.store.delete_thread(&scope, thread.id).await
}

/// Under one key for all, which each finds free again.
async fn ask(room: &Room) -> Result<StartedRun> {
    let request = KeyedRequest { lifetime: Duration::ZERO, ..keyed("shared") };
    let hello = NewMessage::new(Role::User, "Hello");
    Ok(room.store.ask_once(&room.scope(), hello, room.wish(), request).await?.made.1)
}

/// Somebody else may have been faster with the run.
fn unless_gone(error: Error) -> Result<()> {
    let gone = matches!(error, Error::Fenced | Error::RunEnded(_) | Error::RunNotFound);
    if gone { Ok(()) } else { Err(error) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_app_can_be_deleted_while_it_is_talked_to() {
    for _ in 0..5 {
        let room = Arc::new(Room::new().await);
        room.say("Hello").await.unwrap();
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            let room = Arc::clone(&room);
            tasks.spawn(async move {
                while converse(&room).await.map_err(|e| assert_gone(&e)).is_ok() {}
            });
        }

        room.store.delete_app(&room.scope(), room.app.id).await.unwrap();

        tasks.join_all().await;
    }
}

fn assert_gone(error: &Error) {
    assert!(matches!(error, Error::AppNotFound(_) | Error::ThreadNotFound(_)), "{error:?}");
}
