//! Runs that wait for their turn: behind another, for a burst to end, or for their agent.

use std::{sync::Arc, time::Duration};

use crate::{
    AppChanges, ConfigChange, Error, Overlap, Run, RunFilter, RunId, RunState, Scope, StartRun,
    Stop, Store,
    conformance::{
        assert_fails,
        fixtures::{
            ALL, Room, at_once, claim, completed, eventually, forged_cursors, standing, started,
            sweep, walk,
        },
    },
};

/// Longer than any case takes.
const LONG: Duration = Duration::from_secs(3_600);

/// Soon over.
const SHORT: Duration = Duration::from_millis(200);

fn ids(runs: &[Run]) -> Vec<RunId> {
    runs.iter().map(|run| run.id).collect()
}

async fn claimed(room: &Room) -> Vec<RunId> {
    room.claim().await.into_iter().map(|start| start.run.id).collect()
}

async fn stop(room: &Room, run: &Run, stop: Stop) -> Run {
    room.store.stop_run(&Scope::Everything, run.app, run.id, stop).await.unwrap()
}

pub(super) async fn a_newer_message_waits_behind_the_run_of_an_older_one(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let first = room.started().await.run;

    let second = room.queued().await;

    assert_eq!((second.state, second.attempt, second.fence), (RunState::Queued, 0, 0));
    assert_eq!((second.server, second.available_at), (None, None));
    assert_eq!((second.message_seq, second.thread), (2, first.thread));
    assert_eq!(room.run(second.id).await, second);
    let again = standing(store.start_run(&Scope::Everything, room.start()).await);
    assert_eq!(again, second, "a second wish for the same message makes no second run");
    assert!(claimed(&room).await.is_empty(), "it is not its turn");
    assert_eq!(room.run(first.id).await, first);
}

pub(super) async fn the_end_of_a_run_makes_the_oldest_behind_it_due(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let first = room.started().await.run;
    let second = room.queued().await;
    let third = room.queued().await;

    let finished = store.finish_run(completed(&first, "one")).await.unwrap();
    assert!(finished.released);
    let begun = room.claim().await;
    assert_eq!(begun.len(), 1);
    assert_eq!(begun[0].run.id, second.id);
    assert_eq!((begun[0].run.attempt, begun[0].run.fence), (1, 1));
    assert_eq!((begun[0].message.seq, begun[0].history.len()), (2, 4));
    assert!(begun[0].run.deadline_at > second.created_at);
    assert_eq!(begun[0].run, room.run(second.id).await);

    assert!(store.finish_run(completed(&begun[0].run, "two")).await.unwrap().released);
    let last = room.claim().await;
    assert_eq!(last[0].run.id, third.id);
    let end = store.finish_run(completed(&last[0].run, "three")).await.unwrap();
    assert_eq!((end.released, end.reply.unwrap().seq), (false, 6));
}

pub(super) async fn a_wish_for_a_free_thread_does_not_overtake_what_is_due(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let first = room.started().await.run;
    sweep(&store, LONG).await;

    let second = room.queued().await;

    assert_eq!(claimed(&room).await, [first.id]);
    assert_eq!(room.run(second.id).await, second);
}

pub(super) async fn a_wish_that_may_not_wait_is_refused(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let first = room.started().await.run;

    let refused = room.wish(|start| start.overlap = Some(Overlap::Reject)).await;

    assert_fails!(refused, Error::RunActive(_));
    let all = RunFilter::default();
    let page = store.list_runs(&Scope::Everything, room.app.id, &all, None, ALL).await.unwrap();
    assert_eq!(page.items, [first]);
}

/// Also where the thread is busy, and where a run answers the newer message already.
pub(super) async fn a_wish_for_a_message_that_is_not_the_newest_is_refused(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let meant = room.say("And this?").await.seq;
    let wish = |message_seq| StartRun { message_seq: Some(message_seq), ..room.start() };
    let all = Scope::Everything;

    assert_fails!(store.start_run(&all, wish(meant + 1)).await, Error::MessageOutdated(_));
    let first = started(store.start_run(&all, wish(meant)).await).run;
    assert_eq!(standing(store.start_run(&all, wish(meant)).await).id, first.id);
    let newer = room.queued().await;
    assert_fails!(store.start_run(&all, wish(meant)).await, Error::MessageOutdated(_));
    assert_eq!(standing(store.start_run(&all, wish(newer.message_seq)).await).id, newer.id);
}

pub(super) async fn an_impatient_wish_stops_what_is_under_way(store: Arc<dyn Store>) {
    for (overlap, reason) in [(Overlap::Interrupt, Stop::Cancel), (Overlap::Merge, Stop::Supersede)]
    {
        let room = Room::new(&store).await;
        let first = room.started().await.run;
        let second = room.queued().await;

        let third = standing(room.wish(|start| start.overlap = Some(overlap)).await);

        assert_eq!(room.run(first.id).await, Run { stop: Some(reason), ..first.clone() });
        let skipped = room.run(second.id).await;
        assert_eq!(skipped.state, RunState::Superseded);
        assert_eq!(skipped.failure, Some(Stop::Supersede.failure()));
        assert_eq!((third.state, third.available_at), (RunState::Queued, None));
        let end = crate::FinishRun { state: reason.state(), ..completed(&first, "said so far") };
        assert!(store.finish_run(end).await.unwrap().released);
        assert_eq!(claimed(&room).await, [third.id]);
    }
}

pub(super) async fn an_impatient_wish_begins_at_once_where_nothing_runs(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let first = room.started().await.run;
    sweep(&store, LONG).await;

    let second = started(room.wish(|start| start.overlap = Some(Overlap::Merge)).await).run;

    assert_eq!((second.attempt, second.fence, second.message_seq), (1, 1, 2));
    assert_eq!(room.run(first.id).await.state, RunState::Superseded);
    assert!(claimed(&room).await.is_empty());
    store.finish_run(completed(&second, "both")).await.unwrap();
}

pub(super) async fn an_impatient_wish_does_not_wait_for_a_late_answer(store: Arc<dyn Store>) {
    for overlap in [Overlap::Interrupt, Overlap::Merge] {
        let room = Room::new(&store).await;
        let first = room.started().await.run;
        store.park_run(first.id, first.fence, LONG).await.unwrap();

        let second = started(room.wish(|start| start.overlap = Some(overlap)).await).run;

        assert_eq!(room.run(first.id).await.state, RunState::Superseded);
        assert_fails!(store.finish_run(completed(&first, "late")).await, Error::Fenced);
        store.finish_run(completed(&second, "both")).await.unwrap();
    }
}

pub(super) async fn the_apps_own_rule_holds_where_a_wish_says_nothing(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let config = r#"{"runs":{"overlap":"reject","debounce_ms":60000}}"#.parse().unwrap();
    let config = Some(ConfigChange::Replace(config));
    let changes = AppChanges { config, ..AppChanges::default() };
    store.update_app(&Scope::Everything, room.app.id, changes).await.unwrap();

    let debounced = standing(room.wish(|_| {}).await);
    assert!(debounced.available_at.unwrap() > debounced.created_at.plus(SHORT));
    let now = |start: &mut StartRun| start.debounce = Some(Duration::ZERO);
    assert_fails!(room.wish(now).await, Error::RunActive(_));
}

pub(super) async fn a_burst_of_messages_is_answered_once(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let wait = |start: &mut StartRun| start.debounce = Some(SHORT);

    let first = standing(room.wish(wait).await);
    assert_eq!((first.state, first.message_seq), (RunState::Queued, 1));
    let second = standing(room.wish(wait).await);
    assert_eq!((second.id, second.message_seq), (first.id, 2));
    assert!(second.available_at >= first.available_at);
    assert_eq!(room.run(first.id).await, second);

    eventually("the burst's end", || async { claimed(&room).await == [first.id] }).await;
    assert_eq!(room.run(first.id).await.message_seq, 2);
}

pub(super) async fn a_burst_behind_a_run_is_answered_once(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let active = room.started().await.run;
    let wait = |start: &mut StartRun| start.debounce = Some(SHORT);

    let second = standing(room.wish(wait).await);
    let third = standing(room.wish(wait).await);

    assert_eq!((third.id, third.message_seq), (second.id, 3));
    assert_eq!(third.available_at, None);
    store.finish_run(completed(&active, "Hi")).await.unwrap();
    assert_eq!(claimed(&room).await, [second.id]);
}

pub(super) async fn a_due_run_of_a_busy_thread_is_behind_another_again(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let late = standing(room.wish(|start| start.debounce = Some(SHORT)).await);
    let first = room.queued().await;
    assert_eq!(sweep(&store, LONG).await.queued, [first.id], "nothing is in its way");
    assert_eq!(claimed(&room).await, [first.id]);
    assert!(room.run(late.id).await.available_at.is_some());

    eventually("it being due", || async {
        assert!(claimed(&room).await.is_empty());
        room.run(late.id).await.available_at.is_none()
    })
    .await;

    let begun = room.run(first.id).await;
    assert!(store.finish_run(completed(&begun, "Hi")).await.unwrap().released);
    assert_eq!(claimed(&room).await, [late.id]);
}

pub(super) async fn of_many_servers_one_claims_a_run(store: Arc<dyn Store>) {
    let mut due = Vec::new();
    for _ in 0..6 {
        due.push(Room::new(&store).await.started().await.run.id);
    }
    sweep(&store, LONG).await;

    let claimed = at_once(8, |_| {
        let store = Arc::clone(&store);
        async move { store.claim_runs(claim(10)).await.unwrap() }
    })
    .await;

    let mut got: Vec<RunId> = claimed.iter().flatten().map(|start| start.run.id).collect();
    got.sort_unstable();
    due.sort_unstable();
    assert_eq!(got, due);
}

pub(super) async fn a_claim_takes_the_longest_due_and_no_more_than_asked(store: Arc<dyn Store>) {
    let mut due = Vec::new();
    for _ in 0..5 {
        let run = Room::new(&store).await.started().await.run.id;
        sweep(&store, LONG).await;
        due.push(run);
    }

    for expected in due.chunks(2) {
        let mut got = store.claim_runs(claim(2)).await.unwrap();
        got.sort_unstable_by_key(|start| start.run.id);
        assert_eq!(got.iter().map(|start| start.run.id).collect::<Vec<_>>(), expected);
    }
    assert!(store.claim_runs(claim(0)).await.unwrap().is_empty());
}

pub(super) async fn a_run_that_is_handed_back_goes_on_elsewhere(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    assert_fails!(store.hand_back_run(run.id, run.fence + 1).await, Error::Fenced);

    store.hand_back_run(run.id, run.fence).await.unwrap();

    let left = room.run(run.id).await;
    assert_eq!((left.state, left.server), (RunState::Queued, None));
    assert_eq!((left.attempt, left.handbacks), (1, 1));
    assert_fails!(store.finish_run(completed(&run, "late")).await, Error::Fenced);
    let again = room.claim().await.remove(0).run;
    assert_eq!((again.id, again.attempt, again.handbacks, again.fence), (run.id, 2, 1, 2));
}

pub(super) async fn a_stopped_run_that_is_handed_back_does_not_begin_again(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    stop(&room, &run, Stop::Cancel).await;
    store.hand_back_run(run.id, run.fence).await.unwrap();

    assert!(claimed(&room).await.is_empty());

    let left = room.run(run.id).await;
    assert_eq!((left.state, left.failure), (RunState::Cancelled, Some(Stop::Cancel.failure())));
}

pub(super) async fn a_run_has_its_whole_time_from_when_it_begins(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let first = room.started().await.run;
    let short = |start: &mut StartRun| start.deadline = Duration::ZERO;
    let second = standing(room.wish(short).await);

    assert!(sweep(&store, LONG).await.ended.is_empty(), "it waits for its turn");

    // The first was queued again by the sweep, and is the one to begin.
    let first = room.claim().await.into_iter().find(|start| start.run.id == first.id).unwrap().run;
    store.finish_run(completed(&first, "Hi")).await.unwrap();
    let begun = room.claim().await.remove(0).run;
    assert_eq!(begun.id, second.id);
    assert!(begun.deadline_at > second.deadline_at);
}

pub(super) async fn a_waiting_run_keeps_its_thread_until_it_is_answered(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    assert_fails!(store.park_run(run.id, run.fence + 1, LONG).await, Error::Fenced);

    store.park_run(run.id, run.fence, LONG).await.unwrap();

    let waiting = room.run(run.id).await;
    assert_eq!((waiting.state, waiting.server), (RunState::Waiting, None));
    assert!(waiting.deadline_at >= run.created_at.plus(LONG));
    assert_fails!(store.park_run(run.id, run.fence, LONG).await, Error::Fenced);
    let behind = room.queued().await;
    assert!(sweep(&store, LONG).await.queued.is_empty());
    assert!(claimed(&room).await.is_empty());
    assert_fails!(
        store.finish_run(crate::FinishRun { fence: 7, ..completed(&run, "x") }).await,
        Error::Fenced
    );
    let finished = store.finish_run(completed(&run, "at last")).await.unwrap();
    assert_eq!((finished.reply.unwrap().seq, finished.released), (3, true));
    assert_eq!(room.run(run.id).await.state, RunState::Completed);
    assert_eq!(claimed(&room).await, [behind.id]);
}

pub(super) async fn a_running_run_is_told_to_stop(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let server = run.server.unwrap();
    assert!(store.stopped_runs(server).await.unwrap().is_empty());

    let told = stop(&room, &run, Stop::Cancel).await;

    assert_eq!(told, Run { stop: Some(Stop::Cancel), ..run.clone() });
    assert_eq!(stop(&room, &run, Stop::Supersede).await.stop, Some(Stop::Cancel));
    assert_eq!(room.run(run.id).await, told);
    assert_eq!(store.stopped_runs(server).await.unwrap(), [(run.id, Stop::Cancel)]);
    assert!(store.stopped_runs(crate::ServerId::new()).await.unwrap().is_empty());
    let next = standing(store.start_run(&Scope::Everything, room.start()).await);
    assert_ne!(next.id, run.id, "a run that stops is not joined");
    let end = crate::FinishRun { state: RunState::Cancelled, ..completed(&run, "so far") };
    store.finish_run(end).await.unwrap();
    assert!(store.stopped_runs(server).await.unwrap().is_empty());
    assert_eq!(claimed(&room).await, [next.id]);
}

pub(super) async fn a_queued_or_waiting_run_stops_at_once(store: Arc<dyn Store>) {
    for reason in Stop::ALL {
        let room = Room::new(&store).await;
        let first = room.started().await.run;
        store.park_run(first.id, first.fence, LONG).await.unwrap();
        let (second, third) = (room.queued().await, room.queued().await);

        let ended = stop(&room, &second, reason).await;
        assert_eq!((ended.state, &ended.failure), (reason.state(), &Some(reason.failure())));
        assert_eq!(room.run(second.id).await, ended);
        assert!(claimed(&room).await.is_empty());

        assert_eq!(stop(&room, &first, reason).await.state, reason.state());
        assert_eq!(claimed(&room).await, [third.id]);
        assert_eq!(
            store.finish_run(completed(&first, "late")).await.err().map(|e| e.kind()),
            Some(crate::ErrorKind::Fenced)
        );
    }
}

pub(super) async fn what_has_ended_cannot_be_stopped(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    assert!(!store.finish_run(completed(&run, "Hi")).await.unwrap().released);
    let before = room.run(run.id).await;

    let refused = store.stop_run(&Scope::Everything, run.app, run.id, Stop::Cancel).await;

    assert_fails!(refused, Error::RunEnded(_));
    assert_eq!(room.run(run.id).await, before);
}

pub(super) async fn a_run_outside_the_scope_is_not_stopped(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let other = Room::new(&store).await;
    let mut outside = room.outside_app().await;
    outside.push(room.neighbour().await);

    for scope in outside {
        let refused = store.stop_run(&scope, run.app, run.id, Stop::Cancel).await;
        assert_fails!(refused, Error::RunNotFound);
    }
    let elsewhere = store.stop_run(&Scope::Everything, other.app.id, run.id, Stop::Cancel).await;
    assert_fails!(elsewhere, Error::RunNotFound);
    assert_eq!(room.run(run.id).await, run);
}

pub(super) async fn runs_are_listed_newest_first(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let other = Room::of(&store, &room.app, "nora").await;
    let _foreign = Room::new(&store).await.started().await;
    let mut made = Vec::new();
    for _ in 0..3 {
        let run = room.started().await.run;
        store.finish_run(completed(&run, "Hi")).await.unwrap();
        made.push(room.run(run.id).await);
    }
    made.push(other.started().await.run);
    made.reverse();
    let app = room.app.id;
    let all = Scope::Everything;

    for limit in [1, 2, 4] {
        let seen = walk(limit, |cursor| {
            let store = Arc::clone(&store);
            async move {
                store
                    .list_runs(
                        &Scope::Everything,
                        app,
                        &RunFilter::default(),
                        cursor.as_ref(),
                        limit,
                    )
                    .await
            }
        });
        assert_eq!(seen.await, made);
    }
    let list = |filter: RunFilter| {
        let (store, all) = (Arc::clone(&store), all.clone());
        async move { ids(&store.list_runs(&all, app, &filter, None, ALL).await.unwrap().items) }
    };
    let thread = Some(other.thread.id);
    assert_eq!(list(RunFilter { thread, states: None }).await, [made[0].id]);
    let states = Some(vec![RunState::Completed, RunState::Failed]);
    assert_eq!(list(RunFilter { thread: None, states }).await, ids(&made[1..]));
    let states = Some(vec![RunState::Completed]);
    assert!(list(RunFilter { thread, states }).await.is_empty());
    assert!(list(RunFilter { thread: None, states: Some(Vec::new()) }).await.is_empty());
}

pub(super) async fn a_list_of_runs_is_bound_to_its_scope(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let run = room.started().await.run;
    let (app, any) = (room.app.id, RunFilter::default());

    for scope in room.inside() {
        let page = store.list_runs(&scope, app, &any, None, ALL).await.unwrap();
        assert_eq!(page.items, std::slice::from_ref(&run), "{scope:?}");
    }
    for scope in room.outside_app().await {
        assert_fails!(store.list_runs(&scope, app, &any, None, ALL).await, Error::AppNotFound(_));
    }
    let neighbour = room.neighbour().await;
    assert!(store.list_runs(&neighbour, app, &any, None, ALL).await.unwrap().items.is_empty());
    for cursor in forged_cursors() {
        let refused = store.list_runs(&Scope::Everything, app, &any, Some(&cursor), ALL).await;
        assert_fails!(refused, Error::InvalidCursor);
    }
}
