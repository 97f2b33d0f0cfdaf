//! Events.

use std::{sync::Arc, time::Duration};

use crate::{
    FollowRun, FollowedRun, MAX_SEGMENT_BYTES, Run, RunId, RunState, Said, Scope, Segment, Speaker,
    Store,
    conformance::fixtures::{Room, completed, eventually, sweep},
};

/// More than all segments of a case have.
const MUCH: u32 = 1_000_000;

fn segment(run: &Run, position: usize, text: &str) -> Segment {
    let source = || Speaker { source: "webhook".into(), reason: Some("why ‽".into()) };
    Segment {
        run: run.id,
        app: run.app,
        attempt: run.attempt,
        position: u32::try_from(position).unwrap(),
        said: Said { text: text.into(), speaker: (position == 0).then(source) },
    }
}

/// The segments in which a run says these texts, one after the other.
fn segments(run: &Run, texts: &[&str]) -> Vec<Segment> {
    let mut position = 0;
    let next = |text: &&str| {
        let segment = segment(run, position, text);
        position += text.len();
        segment
    };
    texts.iter().map(next).collect()
}

async fn follow(store: &Arc<dyn Store>, run: RunId, attempt: i32, bytes: u32) -> FollowedRun {
    let known = FollowRun { run, attempt, bytes };
    let mut followed = store.follow_runs(&[known], MUCH).await.unwrap();
    assert_eq!(followed.len(), 1);
    followed.remove(0)
}

pub(super) async fn what_a_run_says_is_followed_from_any_segment(store: Arc<dyn Store>) {
    let run = Room::new(&store).await.started().await.run;
    let said = segments(&run, &["Grüß ", "\0 \\u0000 \"'\u{1f389}\r\n", &"é".repeat(8_000)]);

    store.append_segments(&said[..1]).await.unwrap();
    store.append_segments(&said[1..]).await.unwrap();

    for (number, first) in said.iter().enumerate() {
        let followed = follow(&store, run.id, 1, first.position).await;
        assert_eq!(followed.run, run);
        assert!(followed.segments == said[number..], "a segment has changed, or is not there");
    }
    let all = u32::try_from(said.iter().map(|it| it.said.text.len()).sum::<usize>()).unwrap();
    assert!(follow(&store, run.id, 1, all).await.segments.is_empty());
}

pub(super) async fn a_segment_that_is_appended_again_stays_as_it_is(store: Arc<dyn Store>) {
    let run = Room::new(&store).await.started().await.run;
    let said = segments(&run, &["one", "two"]);
    store.append_segments(&said[..1]).await.unwrap();

    store.append_segments(&[segment(&run, 0, "another"), said[1].clone()]).await.unwrap();
    store.append_segments(&said).await.unwrap();

    assert_eq!(follow(&store, run.id, 1, 0).await.segments, said);
}

pub(super) async fn many_runs_are_followed_at_once(store: Arc<dyn Store>) {
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(Room::new(&store).await.started().await.run);
    }
    let said: Vec<_> = runs.iter().flat_map(|run| segments(run, &["a", "b"])).collect();

    store.append_segments(&said).await.unwrap();
    store.append_segments(&[]).await.unwrap();

    let known = |run: &Run| FollowRun { run: run.id, attempt: 1, bytes: 1 };
    let known: Vec<_> = runs.iter().rev().map(known).collect();
    let followed = store.follow_runs(&known, MUCH).await.unwrap();
    let found: Vec<_> = followed.iter().map(|it| (it.run.id, it.segments.clone())).collect();
    runs.sort_by_key(|run| run.id);
    let expected: Vec<_> = runs.iter().map(|run| (run.id, vec![segment(run, 1, "b")])).collect();
    assert_eq!(found, expected);
    assert!(store.follow_runs(&[], MUCH).await.unwrap().is_empty());
}

pub(super) async fn a_new_attempt_is_followed_from_its_start(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let first = room.started().await.run;
    store.append_segments(&segments(&first, &["first", "attempt"])).await.unwrap();
    assert_eq!(sweep(&store, Duration::ZERO).await.queued, [first.id]);
    let waiting = follow(&store, first.id, 1, 5).await;
    assert_eq!((waiting.run.state, waiting.run.attempt), (RunState::Queued, 1));
    assert_eq!(waiting.segments, [segment(&first, 5, "attempt")]);

    let second = room.claim().await.remove(0).run;
    let said = segments(&second, &["the second", "one"]);
    store.append_segments(&said).await.unwrap();
    // Whoever lost the run may not know it yet.
    store.append_segments(&[segment(&first, 12, "late")]).await.unwrap();

    for (attempt, bytes) in [(1, 12), (0, 0), (2, 0)] {
        let followed = follow(&store, first.id, attempt, bytes).await;
        assert_eq!((followed.run.attempt, followed.segments), (2, said.clone()));
    }
}

pub(super) async fn much_text_comes_in_parts(store: Arc<dyn Store>) {
    let run = Room::new(&store).await.started().await.run;
    let other = Room::new(&store).await.started().await.run;
    let text = "x".repeat(MAX_SEGMENT_BYTES);
    let said = segments(&run, &[text.as_str(); 5]);
    let others = segments(&other, &["short"]);
    store.append_segments(&[said.clone(), others.clone()].concat()).await.unwrap();

    for max_bytes in [1, 40_000] {
        let (mut bytes, mut seen) = (0, Vec::new());
        while seen.len() < said.len() {
            let known = [(run.id, bytes), (other.id, 0)].map(|(run, bytes)| FollowRun {
                run,
                attempt: 1,
                bytes,
            });
            let followed = store.follow_runs(&known, max_bytes).await.unwrap();
            assert_eq!(followed[1].segments, others);
            let part = &followed[0].segments;
            let long: usize = part.iter().map(|segment| segment.said.text.len()).sum();
            assert!(!part.is_empty(), "it does not go on");
            assert!(part.len() == 1 || long <= 40_000, "{long} bytes are too many");
            bytes += u32::try_from(long).unwrap();
            seen.extend(part.clone());
        }
        assert!(seen == said, "a part has changed, or comes twice");
    }
}

pub(super) async fn what_has_ended_is_told_without_its_segments(store: Arc<dyn Store>) {
    let run = Room::new(&store).await.started().await.run;
    store.append_segments(&segments(&run, &["Hi", " there"])).await.unwrap();

    let finished = store.finish_run(completed(&run, "Hi there")).await.unwrap();

    let followed = follow(&store, run.id, 1, 0).await;
    assert!(followed.segments.is_empty());
    assert_eq!(followed.run.state, RunState::Completed);
    assert_eq!(followed.run.reply, finished.reply.map(|reply| reply.id));
}

pub(super) async fn segments_of_runs_that_are_gone_are_dropped(store: Arc<dyn Store>) {
    let (room, other) = (Room::new(&store).await, Room::new(&store).await);
    let (gone, run) = (room.started().await.run, other.started().await.run);
    store.append_segments(&segments(&gone, &["Hi"])).await.unwrap();

    store.delete_thread(&Scope::Everything, room.thread.id).await.unwrap();
    store.append_segments(&[segment(&gone, 2, "Hi"), segment(&run, 0, "Hi")]).await.unwrap();

    let known = [gone.id, run.id].map(|run| FollowRun { run, attempt: 1, bytes: 0 });
    let followed = store.follow_runs(&known, MUCH).await.unwrap();
    assert_eq!(followed.len(), 1);
    assert_eq!(followed[0].segments, segments(&run, &["Hi"]));
    store.finish_run(completed(&run, "Hi")).await.unwrap();
    pruned(&store, 1).await;
}

pub(super) async fn segments_are_pruned_by_slices_after_the_end(store: Arc<dyn Store>) {
    const HOUR: Duration = Duration::from_secs(3_600);
    let (room, other) = (Room::new(&store).await, Room::new(&store).await);
    let (ended, running) = (room.started().await.run, other.started().await.run);
    let said = segments(&running, &["a", "b", "c"]);
    store
        .append_segments(&[segments(&ended, &["a", "b", "c"]), said.clone()].concat())
        .await
        .unwrap();
    assert_eq!(store.prune_segments(Duration::ZERO, 10).await.unwrap(), 0, "both are under way");
    store.finish_run(completed(&ended, "abc")).await.unwrap();

    assert_eq!(store.prune_segments(HOUR, 10).await.unwrap(), 0, "it has just ended");
    assert_eq!(store.prune_segments(Duration::ZERO, 0).await.unwrap(), 0);
    // An instant has to pass by the store's clock.
    eventually("a first slice", || async {
        store.prune_segments(Duration::ZERO, 2).await.unwrap() == 2
    })
    .await;
    pruned(&store, 1).await;
    assert_eq!(follow(&store, running.id, 1, 0).await.segments, said);
}

/// So many segments and no more are left to be pruned.
async fn pruned(store: &Arc<dyn Store>, count: u64) {
    eventually("something to prune", || async {
        let pruned = store.prune_segments(Duration::ZERO, 10).await.unwrap();
        assert!(pruned == 0 || pruned == count, "{pruned} were pruned");
        pruned == count
    })
    .await;
    assert_eq!(store.prune_segments(Duration::ZERO, 10).await.unwrap(), 0);
}
