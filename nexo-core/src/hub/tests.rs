//! Logs, and who reads them.

use proptest::prelude::*;

use super::*;
use crate::{AppId, Error, FailureKind, Said, Speaker};

fn delta(text: &str) -> RunEvent {
    RunEvent::Delta(text.into())
}

fn meta() -> RunEvent {
    RunEvent::Meta { source: "simulator".into(), reason: Some("why".into()) }
}

fn well() -> RunEnd {
    RunEnd { state: RunState::Completed, message: None, failure: None }
}

fn badly() -> RunEnd {
    let failure = Some(Failure::new(FailureKind::WebhookTimeout, "no answer"));
    RunEnd { state: RunState::Failed, message: None, failure }
}

/// What a reader makes of a run: the text as it stands, and what else happened.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    text: String,
    events: Vec<String>,
}

impl Seen {
    fn see(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Meta { .. } => {}
            RunEvent::Delta(text) => self.text.push_str(text),
            RunEvent::Reset { .. } => *self = Self::default(),
            event => self.events.push(format!("{event:?}")),
        }
    }
}

/// All that can be seen without waiting.
async fn ready(watch: &mut RunWatch) -> Vec<RunEvent> {
    let mut events = Vec::new();
    while let Some(event) = futures::FutureExt::now_or_never(watch.next()).flatten() {
        events.push(event);
    }
    events
}

async fn seen(watch: &mut RunWatch) -> Seen {
    let mut seen = Seen::default();
    ready(watch).await.iter().for_each(|event| seen.see(event));
    seen
}

#[tokio::test]
async fn early_and_late_watchers_see_the_same() {
    let hub = Hub::default();
    let publisher = hub.open(RunId::new(), 1);
    let mut early = publisher.watch();

    publisher.publish(meta());
    publisher.publish(delta("a"));
    let mut late = hub.watch(publisher.run).0;
    let first = seen(&mut early).await;
    publisher.publish(delta("é🎉"));
    publisher.end(well());
    drop(publisher);

    assert_eq!(first.text, "a");
    let (rest, all) = (seen(&mut early).await, seen(&mut late).await);
    assert_eq!((rest.text.as_str(), all.text.as_str()), ("é🎉", "aé🎉"));
    assert_eq!(rest.events, all.events);
    assert!(early.next().await.is_none());
}

#[tokio::test]
async fn a_run_that_begins_before_its_wish_is_answered_is_heard() {
    let hub = Hub::default();
    let wished = hub.open(RunId::new(), 0);
    let mut early = wished.watch();
    let claimed = hub.open(wished.run, 1);

    let mirror = wished.leave();
    mirror.follow(0);
    let is_wanted = mirror.is_wanted();
    drop(mirror);
    claimed.publish(delta("a"));
    let first = ready(&mut early).await;
    claimed.end(well());

    assert!(!is_wanted);
    assert!(matches!(&first[..], [RunEvent::Delta(text)] if &**text == "a"), "{first:?}");
    assert_eq!(seen(&mut hub.watch(claimed.run).0).await.text, "a");
    assert!(matches!(&ready(&mut early).await[..], [RunEvent::End(_)]));
}

#[tokio::test]
async fn a_closed_log_ends_its_watchers_and_is_forgotten() {
    let hub = Hub::default();
    let publisher = hub.open(RunId::new(), 1);
    let (run, mut watch) = (publisher.run, publisher.watch());

    drop(publisher);

    assert!(hub.watch(run).1.is_some(), "it is not known any more");
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn an_attempt_that_replaces_another_is_told_to_those_who_saw_some_of_it() {
    let hub = Hub::default();
    let run = RunId::new();
    let first = hub.open(run, 1);
    first.publish(meta());
    first.publish(delta("half a sen"));
    let (mut reader, mut idle) = (first.watch(), first.watch());
    ready(&mut reader).await;

    let mirror = first.leave();
    let second = hub.open(run, 2);
    mirror.resign();
    second.publish(delta("a whole sentence"));
    second.end(well());

    let events = ready(&mut reader).await;
    assert!(matches!(events[0], RunEvent::Reset { attempt: 2 }));
    assert!(matches!(&events[1], RunEvent::Delta(text) if &**text == "a whole sentence"));
    assert!(matches!(events[2], RunEvent::End(_)));
    let events = ready(&mut idle).await;
    assert!(matches!(events[0], RunEvent::Meta { .. }));
    assert!(matches!(events[1], RunEvent::Delta(_)), "who saw nothing needs no reset");
}

#[tokio::test]
async fn a_mirror_is_made_once_and_goes_with_its_last_watcher() {
    let hub = Hub::default();
    let run = RunId::new();
    let (one, mirror) = hub.watch(run);
    let (two, none) = hub.watch(run);
    let mirror = mirror.unwrap();
    assert!(none.is_none());
    assert!(mirror.is_wanted());

    drop((one, two));

    assert!(!mirror.is_wanted());
    assert!(hub.watch(run).1.is_some());
}

#[tokio::test]
async fn a_run_that_comes_to_this_server_is_read_on_by_those_who_watched_its_mirror() {
    let hub = Hub::default();
    let run = RunId::new();
    let (mut watch, mirror) = hub.watch(run);
    let mirror = mirror.unwrap();
    mirror.follow(1);

    let publisher = hub.open(run, 2);
    publisher.publish(meta());
    publisher.publish(delta("here"));
    assert!(!mirror.is_wanted());
    mirror.resign();
    publisher.end(well());

    assert_eq!(seen(&mut watch).await.text, "here");
    assert!(hub.watch(run).1.is_none());
}

#[tokio::test]
async fn impossible_cursors_are_refused_where_the_run_is_known() {
    let hub = Hub::default();
    let publisher = hub.open(RunId::new(), 2);
    publisher.publish(meta());
    publisher.publish(delta("é"));
    let at = |attempt, bytes, events| {
        let run = publisher.run;
        publisher.watch().resume(RunCursor { run, attempt, bytes, events }, false)
    };

    assert!(at(2, 2, 0).unwrap());
    assert!(at(1, 700, 3).unwrap(), "an attempt that is over may have said anything");
    assert!(at(3, 700, 3).unwrap(), "the run may have been lost to another server by now");
    for (attempt, bytes, events) in [(2, 1, 0), (2, 3, 0), (2, 2, 1)] {
        assert!(matches!(at(attempt, bytes, events), Err(Error::InvalidCursor)));
    }
    publisher.end(badly());
    assert!(at(2, 2, 1).unwrap(), "the end is still to come after the error");
    assert!(!at(2, 2, 2).unwrap());
}

#[tokio::test]
async fn who_has_seen_more_than_a_server_knows_waits_until_it_knows() {
    let hub = Hub::default();
    let publisher = hub.open(RunId::new(), 1);
    let run = publisher.run;
    publisher.publish(delta("lost"));
    let mut watch = hub.watch(run).0;
    assert!(watch.resume(RunCursor { run, attempt: 2, bytes: 3, events: 0 }, false).unwrap());
    assert!(ready(&mut watch).await.is_empty(), "nothing of the attempt that was lost");

    let mirror = publisher.leave();
    mirror.follow(2);
    mirror.finish(2, meta(), "found", well());

    let events = ready(&mut watch).await;
    assert!(matches!(&events[1], RunEvent::Delta(text) if &**text == "nd"), "{events:?}");
}

fn segment(run: RunId, attempt: i32, position: u32, text: &str) -> Segment {
    let speaker = || Speaker { source: "webhook".into(), reason: None };
    let said = Said { text: text.into(), speaker: (position == 0).then(speaker) };
    Segment { run, app: AppId::new(), attempt, position, said }
}

#[tokio::test]
async fn a_mirror_goes_on_with_what_is_stored_of_its_attempt() {
    let hub = Hub::default();
    let run = RunId::new();
    let (mut watch, mirror) = hub.watch(run);
    let mirror = mirror.unwrap();
    assert!(watch.is_quiet());
    mirror.follow(1);

    mirror.hear(&segment(run, 1, 0, "é"));
    mirror.hear(&segment(run, 1, 0, "éa"));
    mirror.hear(&segment(run, 1, 9, "far ahead"));
    mirror.hear(&segment(run, 2, 3, "of another attempt"));
    mirror.hear(&segment(run, 1, 3, "b"));

    assert_eq!(mirror.known(), FollowRun { run, attempt: 1, bytes: 4 });
    assert!(!watch.is_quiet());
    let events = ready(&mut watch).await;
    assert!(matches!(&events[0], RunEvent::Meta { source, .. } if &**source == "webhook"));
    let text = |event: &RunEvent| match event {
        RunEvent::Delta(text) => text.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(events[1..].iter().map(text).collect::<Vec<_>>(), ["é", "a", "b"]);
    mirror.follow(2);
    mirror.hear(&segment(run, 2, 0, "anew"));
    let events = ready(&mut watch).await;
    assert!(matches!(events[..], [RunEvent::Reset { attempt: 2 }, RunEvent::Delta(_)]));
}

#[tokio::test]
async fn a_mirror_refuses_only_what_it_knows_to_be_impossible() {
    let hub = Hub::default();
    let run = RunId::new();
    let (_keep, mirror) = hub.watch(run);
    let mirror = mirror.unwrap();
    mirror.follow(1);
    mirror.hear(&segment(run, 1, 0, "aé"));

    let at = |bytes| {
        let cursor = RunCursor { run, attempt: 1, bytes, events: 0 };
        hub.watch(run).0.resume(cursor, false)
    };

    assert!(at(3).unwrap() && at(700).unwrap(), "the run's own server may have told more");
    assert!(matches!(at(2), Err(Error::InvalidCursor)), "that is amid a character");
}

#[tokio::test]
async fn what_is_said_is_taken_to_be_stored_until_the_run_ends() {
    let (hub, unstored) = (Hub::default(), Arc::new(Unstored::default()));
    let publisher = hub.open(RunId::new(), 1);
    let publisher = publisher.recorded(&unstored, AppId::new(), ThreadId::new());
    let taken = || {
        let taken = unstored.take();
        taken.iter().map(|it| it.segment.clone()).collect::<Vec<_>>()
    };
    publisher.publish(meta());
    assert!(taken().is_empty());

    publisher.publish(delta("Grüß "));
    publisher.publish(delta("Gott"));
    unstored.gather().await;
    let first = taken();
    assert_eq!((first[0].position, first[0].said.text.as_str()), (0, "Grüß Gott"));
    assert_eq!(first[0].said.speaker.as_ref().unwrap().source, "simulator");
    assert!(taken().is_empty(), "nothing is taken twice");
    publisher.publish(delta(&"é".repeat(20_000)));
    let rest = taken();
    assert_eq!(rest.iter().map(|it| it.said.text.len()).sum::<usize>(), 40_000);
    assert_eq!(rest[1].position, rest[0].position + 16_384);
    publisher.publish(delta("the end"));
    publisher.end(well());

    assert!(taken().is_empty(), "its message is stored instead");
}

#[tokio::test]
async fn an_end_that_was_seen_elsewhere_is_waited_for() {
    let hub = Hub::default();
    let publisher = hub.open(RunId::new(), 1);
    let run = publisher.run;
    publisher.publish(meta());
    let mut watch = publisher.watch();

    let after_error = RunCursor { run, attempt: 1, bytes: 0, events: 1 };
    assert!(matches!(watch.resume(after_error, false), Err(Error::InvalidCursor)));
    assert!(watch.resume(after_error, true).unwrap());
    publisher.end(badly());

    let events = ready(&mut watch).await;
    assert!(matches!(events[..], [RunEvent::Meta { .. }, RunEvent::End(_)]), "{events:?}");
}

#[tokio::test]
async fn an_attempt_that_was_lost_says_nothing_once_the_next_began_here() {
    let hub = Hub::default();
    let lost = hub.open(RunId::new(), 1);
    let next = hub.open(lost.run, 2);
    let mut watch = next.watch();

    next.publish(delta("new"));
    lost.publish(delta("old"));
    lost.end(badly());
    drop(lost);
    next.end(well());

    let seen = seen(&mut watch).await;
    assert_eq!((seen.text.as_str(), seen.events.len()), ("new", 1));
}

#[tokio::test]
async fn what_was_said_and_not_kept_is_withdrawn() {
    let hub = Hub::default();
    let run = RunId::new();
    let (mut watch, mirror) = hub.watch(run);
    mirror.unwrap().finish(1, meta(), "", badly());

    assert!(watch.resume(RunCursor { run, attempt: 1, bytes: 40, events: 0 }, true).unwrap());

    let events = ready(&mut watch).await;
    assert!(matches!(events[1], RunEvent::Reset { attempt: 1 }), "{events:?}");
    assert!(matches!(events[2], RunEvent::Error(_)));
}

proptest! {
    /// However a reader is cut off and comes back, here or on a server that only knows the
    /// end, it has the same in the end; and it sees nothing twice.
    #[test]
    fn a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice(
        pieces in prop::collection::vec("[aé🎉]{0,40}", 0..20),
        cuts in prop::collection::vec(0_usize..25, 0..6),
        fails in any::<bool>(),
    ) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let run = RunId::new();
            let (hub, elsewhere) = (Hub::default(), Hub::default());
            let publisher = hub.open(run, 1);
            publisher.publish(meta());
            pieces.iter().for_each(|piece| publisher.publish(delta(piece)));
            let end = || if fails { badly() } else { well() };
            publisher.end(end());
            let text = pieces.concat();
            let watch_elsewhere = || {
                let (watch, mirror) = elsewhere.watch(run);
                mirror.unwrap().finish(1, meta(), &text, end());
                watch
            };
            let whole = seen(&mut publisher.watch()).await;

            let mut read = Seen::default();
            let mut watch = publisher.watch();
            for (number, cut) in cuts.iter().enumerate() {
                for _ in 0..*cut {
                    let Some(event) = watch.next().await else { break };
                    read.see(&event);
                }
                let cursor = watch.cursor();
                watch = if number % 2 == 0 { watch_elsewhere() } else { publisher.watch() };
                let more = watch.resume(cursor.to_string().parse().unwrap(), false).unwrap();
                prop_assert_eq!(more, read != whole);
            }
            while let Some(event) = watch.next().await {
                read.see(&event);
            }
            prop_assert_eq!(read, whole);
            Ok(())
        })?;
    }
}
