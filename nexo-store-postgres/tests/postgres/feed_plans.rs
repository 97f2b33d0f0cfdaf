//! How the database finds what changed, by its own account, when there is much.

use nexo_core::{
    AppStore as _, ChangeLimit, FeedStore as _, MessageRange, MessageStore as _, RunFilter,
    RunStore as _, Scope, ThreadCursor, ThreadFilter, ThreadId, ThreadStore as _,
};

use crate::{
    plans::{TIMES, assert_indexed, assert_no_scan, explained},
    room::Room,
    watch::Watch,
};

const LIMIT: ChangeLimit = ChangeLimit { changes: 20, bytes: 64 * 1024 };

/// A thread with 20,000 messages and as many runs, among 20,000 others.
async fn crowd() -> Room {
    let room = Room::new().await;
    sqlx::raw_sql(
        "insert into nexo_messages
            (id, app_id, thread_id, seq, role, content, content_json, version, created_at)
        select gen_random_uuid(), app_id, id, n, 'user', 'hello', '{}', n * 2, now()
        from nexo_threads, generate_series(1, 20000) n;

        insert into nexo_runs (id, app_id, thread_id, agent_id, message_id, message_seq, state,
            attempt, fence, epoch, version, created_at, deadline_at)
        select gen_random_uuid(), t.app_id, t.id, t.id, m.id, m.seq, 'completed', 1, 1, 0,
            m.version + 1, now(), now()
        from nexo_threads t join nexo_messages m on m.thread_id = t.id;

        update nexo_threads set version = 40001, next_seq = 20001;

        insert into nexo_threads (id, app_id, status, created_at, updated_at)
        select gen_random_uuid(), id, 'active', now(), now() - n * interval '1 s'
        from nexo_apps, generate_series(1, 20000) n",
    )
    .execute(room.store.pool())
    .await
    .unwrap();
    sqlx::raw_sql("vacuum analyze").execute(room.store.pool()).await.unwrap();
    room
}

#[tokio::test]
async fn what_changed_is_found_by_an_index_wherever_a_reader_is() {
    let room = crowd().await;
    let store = explained(&room.database).await;
    let (scope, app, thread) = (room.scope(), room.app.id, room.thread.id);
    let watch = Watch::begin();

    for n in 1..=TIMES {
        let n = i64::try_from(n).unwrap();
        for after in [ThreadCursor::Version(n * 4_000), ThreadCursor::Seq(n * 2_000)] {
            let page = store.list_changes(&scope, app, thread, after, LIMIT).await.unwrap();
            assert_eq!(page.changes.len(), 20);
            assert_sought(&watch.notices());
        }
        let last = ThreadCursor::Version(40_001);
        store.list_changes(&scope, app, thread, last, LIMIT).await.unwrap();
        assert_sought(&watch.notices());
    }
}

/// That messages and runs are found by their versions, and no others are read.
fn assert_sought(plans: &[String]) {
    assert_no_scan(plans, "changes");
    for plan in plans {
        for index in ["nexo_messages_version", "nexo_runs_version"] {
            let line = plan.lines().find(|line| line.contains(index)).expect("the index is used");
            let read = line.split("actual time").nth(1).and_then(|it| it.split("rows=").nth(1));
            let read: u32 = read.unwrap().split([' ', '.']).next().unwrap().parse().unwrap();
            assert!(read <= LIMIT.changes, "{line}");
        }
    }
}

#[tokio::test]
async fn versions_are_found_by_an_index() {
    let room = crowd().await;
    let store = explained(&room.database).await;
    let (all, any) = (Scope::Everything, ThreadFilter::default());
    let page = room.store.list_threads(&all, room.app.id, &any, None, 20).await.unwrap();
    let threads: Vec<ThreadId> = page.items.iter().map(|thread| thread.id).collect();
    let watch = Watch::begin();

    for _ in 0..TIMES {
        store.thread_versions(&Scope::Everything, &threads).await.unwrap();
        assert_no_scan(&watch.notices(), "versions");
        store.newest_threads(&[room.app.id], 50).await.unwrap();
        assert_no_scan(&watch.notices(), "newest threads");
    }
}

/// The new indexes are in nobody's way.
#[tokio::test]
async fn other_lists_keep_their_indexes() {
    let room = crowd().await;
    let store = explained(&room.database).await;
    let (scope, app, thread) = (room.scope(), room.app.id, room.thread.id);
    let of_thread = RunFilter { thread: Some(thread), states: None };
    let watch = Watch::begin();

    store.get_app(&scope, app).await.unwrap();
    watch.notices();
    for _ in 0..TIMES {
        store.list_messages(&scope, app, thread, MessageRange::After(9_000), 50).await.unwrap();
        assert_indexed(&watch.notices(), "messages");
        store.list_runs(&scope, app, &of_thread, None, 50).await.unwrap();
        assert_indexed(&watch.notices(), "runs");
    }
}
