//! Replays.

use std::{sync::Arc, time::Duration};

use crate::{
    Error, Failure, FailureKind, Replay, ReplayId, Reply, Run, RunId, Scope, Store,
    conformance::{
        assert_fails,
        fixtures::{ALL, Room, forged_cursors, walk},
    },
};

fn replay(run: &Run) -> Replay {
    let content_json = r#"{"source" : "webhook"}"#.parse().unwrap();
    Replay {
        id: ReplayId::new(),
        app: run.app,
        run: run.id,
        agent: run.agent,
        reply: Some(Reply { content: "¿Qué? 🎉".into(), content_json }),
        failure: Some(Failure::new(FailureKind::WebhookTimeout, "too slow ‽")),
        created_at: run.created_at,
        first_delta_at: Some(run.created_at.plus(Duration::from_micros(1))),
        finished_at: run.created_at.plus(Duration::from_secs(1)),
    }
}

/// A replay in which nothing was said.
fn silent(run: &Run) -> Replay {
    Replay { reply: None, failure: None, first_delta_at: None, ..replay(run) }
}

pub(super) async fn a_replay_comes_back_as_it_was(store: Arc<dyn Store>) {
    let run = Room::new(&store).await.started().await.run;

    for kept in [replay(&run), silent(&run)] {
        store.record_replay(kept.clone()).await.unwrap();
        let found = store.get_replay(&Scope::Everything, run.app, kept.id).await.unwrap();
        assert_eq!(found, kept);
    }
}

/// Nothing of it is to be seen where the customer looks.
pub(super) async fn a_replay_leaves_its_run_and_thread_alone(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let (thread, messages) = (room.thread().await, room.messages().await);

    store.record_replay(replay(&run)).await.unwrap();

    assert_eq!(room.run(run.id).await, run);
    assert_eq!(room.thread().await, thread);
    assert_eq!(room.messages().await, messages);
}

pub(super) async fn replays_are_listed_newest_first(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let other = Room::of(&store, &room.app, "nora").await.started().await.run;
    let mut kept: Vec<Replay> = (0..5).map(|_| silent(&run)).collect();
    for one in &kept {
        store.record_replay(one.clone()).await.unwrap();
    }
    store.record_replay(silent(&other)).await.unwrap();
    kept.sort_by_key(|one| std::cmp::Reverse(one.id));

    for limit in [1, 2, ALL] {
        let seen = walk(limit, |cursor| {
            let (store, app, run) = (Arc::clone(&store), run.app, run.id);
            async move {
                let all = Scope::Everything;
                store.list_replays(&all, app, run, cursor.as_ref(), limit).await
            }
        });
        assert_eq!(seen.await, kept);
    }
    for cursor in forged_cursors() {
        let all = Scope::Everything;
        let refused = store.list_replays(&all, run.app, run.id, Some(&cursor), ALL).await;
        assert_fails!(refused, Error::InvalidCursor);
    }
}

pub(super) async fn a_replay_outside_the_scope_does_not_exist(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let kept = replay(&run);
    store.record_replay(kept.clone()).await.unwrap();
    let mut outside = room.outside_app().await;
    outside.push(room.neighbour().await);
    let (all, other) = (Scope::Everything, Room::new(&store).await.app.id);

    for scope in room.inside() {
        assert_eq!(store.get_replay(&scope, run.app, kept.id).await.unwrap(), kept);
        let page = store.list_replays(&scope, run.app, run.id, None, ALL).await.unwrap();
        assert_eq!(page.items, std::slice::from_ref(&kept), "{scope:?}");
    }
    for scope in outside {
        assert_fails!(store.get_replay(&scope, run.app, kept.id).await, Error::ReplayNotFound);
        let refused = store.list_replays(&scope, run.app, run.id, None, ALL).await;
        assert_fails!(refused, Error::RunNotFound);
    }
    assert_fails!(store.get_replay(&all, other, kept.id).await, Error::ReplayNotFound);
    assert_fails!(store.get_replay(&all, run.app, ReplayId::new()).await, Error::ReplayNotFound);
    let elsewhere = store.list_replays(&all, other, run.id, None, ALL).await;
    assert_fails!(elsewhere, Error::RunNotFound);
    let unknown = store.list_replays(&all, run.app, RunId::new(), None, ALL).await;
    assert_fails!(unknown, Error::RunNotFound);
}

pub(super) async fn a_replay_whose_run_is_gone_is_dropped(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let (before, after) = (replay(&run), replay(&run));
    store.record_replay(before.clone()).await.unwrap();

    store.delete_app(&Scope::Everything, run.app).await.unwrap();
    store.record_replay(after.clone()).await.unwrap();

    for gone in [before, after] {
        let found = store.get_replay(&Scope::Everything, run.app, gone.id).await;
        assert_fails!(found, Error::ReplayNotFound);
    }
}
