//! What happens at once to one thing, of which one ends the other.

use std::{future::Future, sync::Arc, time::Duration};

use crate::{
    Error, FinishRun, NewMessage, NewThread, Result, Role, RunState, Scope, StartedRun, Store,
    conformance::fixtures::{ALL, Room, at_once, completed, new_thread, sweep},
};

/// A race has two ends: it is run until both have had their chance.
const ROUNDS: usize = 8;

/// What may come of an action whose thread or app goes away meanwhile.
fn assert_done_or_gone(outcome: &Result<()>) {
    let gone = matches!(
        outcome,
        Ok(()) | Err(Error::AppNotFound(_) | Error::ThreadNotFound(_) | Error::Fenced)
    );
    assert!(gone, "expected success, or that it is gone, got {outcome:?}");
}

/// One of the things that may be done in a thread.
async fn act(room: Room, number: usize, finish: FinishRun) -> Result<()> {
    let (store, all) = (&room.store, Scope::Everything);
    match number % 4 {
        0 => room.append(NewMessage::new(Role::User, "Hello")).await.map(drop),
        1 => store.start_run(&all, room.start()).await.map(drop),
        2 => store.finish_run(finish).await.map(drop),
        _ => {
            let thread = NewThread { customer_id: Some("nora".into()), ..NewThread::default() };
            store.create_thread(&all, room.app.id, thread).await.map(drop)
        }
    }
}

/// Does all of them at once, and something else in their midst.
async fn act_while<F>(room: &Room, other: impl Fn(Arc<dyn Store>) -> F)
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let finish = completed(&room.started().await.run, "Hi");
    let outcomes = at_once(13, |number| {
        let (room, finish) = (room.clone(), finish.clone());
        let other = (number == 6).then(|| other(Arc::clone(&room.store)));
        async move {
            match other {
                Some(other) => other.await,
                None => act(room, number, finish).await,
            }
        }
    })
    .await;
    outcomes.iter().for_each(assert_done_or_gone);
}

pub(super) async fn a_thread_may_be_deleted_while_it_is_used(store: Arc<dyn Store>) {
    for _ in 0..ROUNDS {
        let room = Room::new(&store).await;
        let thread = room.thread.id;

        act_while(
            &room,
            |store| async move { store.delete_thread(&Scope::Everything, thread).await },
        )
        .await;

        let found = store.get_thread(&Scope::Everything, thread).await;
        assert!(matches!(found, Err(Error::ThreadNotFound(_))), "{found:?}");
    }
}

pub(super) async fn an_app_may_be_deleted_while_it_is_used(store: Arc<dyn Store>) {
    for _ in 0..ROUNDS {
        let room = Room::new(&store).await;
        let app = room.app.id;

        act_while(&room, |store| async move { store.delete_app(&Scope::Everything, app).await })
            .await;

        let found = store.get_app(&Scope::Everything, app).await;
        assert!(matches!(found, Err(Error::AppNotFound(_))), "{found:?}");
    }
}

/// Deleting the last thread must not take away the subscriber that a new thread has just got.
pub(super) async fn a_subscriber_who_returns_while_their_last_thread_is_deleted_stays(
    store: Arc<dyn Store>,
) {
    for _ in 0..ROUNDS {
        let room = Room::new(&store).await;
        let (app, last) = (room.app.id, room.thread.id);

        let made = at_once(4, |number| {
            let store = Arc::clone(&store);
            async move {
                if number == 2 {
                    store.delete_thread(&Scope::Everything, last).await.unwrap();
                    return None;
                }
                Some(new_thread(&store, app, "carl").await)
            }
        })
        .await;

        for thread in made.into_iter().flatten() {
            let room = Room { thread, ..room.clone() };
            assert_eq!(room.thread().await.subscriber, room.thread.subscriber);
            assert_eq!(room.subscriber().await.customer_id, "carl");
        }
        let page = store.list_subscribers(&Scope::Everything, app, "", None, ALL).await.unwrap();
        let counts: Vec<u64> = page.items.iter().map(|row| row.thread_count).collect();
        assert_eq!(counts, [3]);
    }
}

pub(super) async fn a_run_finished_and_taken_over_at_once_goes_one_way(store: Arc<dyn Store>) {
    for _ in 0..ROUNDS {
        let room = Room::new(&store).await;
        let run = room.started().await.run;

        let outcomes = at_once(2, |number| {
            let (store, finish) = (Arc::clone(&store), completed(&run, "Hi"));
            async move {
                if number == 0 {
                    return store.finish_run(finish).await.map(|_| true);
                }
                Ok(sweep(&store, Duration::from_secs(3_600)).await.queued.contains(&finish.run))
            }
        })
        .await;

        let wins = outcomes.iter().filter(|outcome| matches!(outcome, Ok(true))).count();
        assert_eq!(wins, 1, "{outcomes:?}");
        let spoke = room.messages().await.len() == 2;
        let left = if spoke { RunState::Completed } else { RunState::Queued };
        assert_eq!(room.run(run.id).await.state, left);
    }
}

/// Whoever ends a run and whoever queues one behind it must see each other: else the queued
/// one waits for ever.
pub(super) async fn a_run_queued_while_the_one_before_ends_is_not_forgotten(store: Arc<dyn Store>) {
    for _ in 0..ROUNDS {
        let room = Room::new(&store).await;
        let first = room.started().await.run;
        room.say("And this?").await;

        let outcomes = at_once(2, |number| {
            let (room, finish) = (room.clone(), completed(&first, "Hi"));
            async move {
                if number == 0 {
                    room.store.finish_run(finish).await.unwrap();
                    return None;
                }
                Some(room.store.start_run(&Scope::Everything, room.start()).await.unwrap())
            }
        })
        .await;

        match outcomes.into_iter().flatten().next().unwrap() {
            StartedRun::Started(start) => assert_ne!(start.run.id, first.id),
            StartedRun::Standing(run) => {
                let claimed = room.claim().await;
                assert_eq!(claimed.iter().map(|start| start.run.id).collect::<Vec<_>>(), [run.id]);
            }
        }
    }
}
