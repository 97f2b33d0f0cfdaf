//! Readers on other servers than the one that carries the run.

use std::{sync::Arc, time::Duration};

use nexo_core::{
    AgentEvent, Error, FollowRun, Heard, Hint, Hints, LocalHub, Nexo, RunCursor, RunEvent, RunId,
    RunWatch, StreamHub, Topic,
};

use crate::stage::{Stage, delta, end};

/// A hub that all servers of a test share.
#[derive(Clone, Debug, Default)]
struct SharedHub(LocalHub);

impl StreamHub for SharedHub {
    fn tell(&self, hint: Hint) {
        self.0.tell(hint);
    }

    fn listen(&self) -> Hints {
        self.0.listen()
    }

    fn reaches_others(&self) -> bool {
        true
    }
}

impl Stage {
    async fn watched_at(&self, server: &Nexo, run: RunId) -> RunWatch {
        server.engine().watch(&self.scope, run).await.unwrap()
    }

    async fn resumed_at(&self, server: &Nexo, cursor: RunCursor) -> RunWatch {
        server.engine().resume(&self.scope, self.app, cursor).await.unwrap().unwrap()
    }
}

async fn next(watch: &mut RunWatch) -> RunEvent {
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, watch.next()).await.unwrap().expect("there is more")
}

async fn text(watch: &mut RunWatch) -> String {
    match next(watch).await {
        RunEvent::Delta(text) => text.to_string(),
        other => panic!("{other:?} is no text"),
    }
}

#[tokio::test(start_paused = true)]
async fn readers_elsewhere_see_the_text_as_it_comes() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("hello").await;
    let run = stage.start().await.run();
    let elsewhere = stage.another_server();
    let mut watch = stage.watched_at(&elsewhere, run).await;
    assert!(watch.is_quiet());

    for piece in ["Grüß ", "Gott", ", Welt"] {
        say.unbounded_send(delta(piece)).unwrap();
        if piece == "Grüß " {
            let meta = next(&mut watch).await;
            assert!(matches!(meta, RunEvent::Meta { source, .. } if &*source == "webhook"));
        }
        assert_eq!(text(&mut watch).await, piece);
    }
    let cursor = watch.cursor();
    drop(watch);
    let third = stage.another_server();
    let mut resumed = stage.resumed_at(&third, cursor).await;
    say.unbounded_send(delta("!")).unwrap();

    assert!(matches!(next(&mut resumed).await, RunEvent::Meta { .. }));
    assert_eq!(text(&mut resumed).await, "!");
    drop(say);
    let RunEvent::End(end) = next(&mut resumed).await else { panic!("no end") };
    assert_eq!(end.message.as_ref().unwrap().content.as_deref(), Some("Grüß Gott, Welt!"));
}

/// What is told by hints is looked at; the rest only twice a second.
#[tokio::test(start_paused = true)]
async fn hints_tell_that_there_is_more() {
    let stage = Stage::new().await;
    let hub = SharedHub::default();
    let server = || {
        let builder = Nexo::builder().store(Arc::clone(stage.nexo.store()));
        builder.hub(Arc::new(hub.clone())).dispatcher("webhook", stage.agent.clone()).build()
    };
    let (here, elsewhere) = (server(), server());
    let say = stage.agent.answer();
    stage.say("hello").await;
    let watch = here.engine().start(&stage.scope, stage.app, stage.thread).await.unwrap();
    let mut far = stage.watched_at(&elsewhere, watch.run()).await;
    let mut hints = hub.listen();

    say.unbounded_send(delta("Yes.")).unwrap();

    let Some(Heard::Hint(hint)) = hints.next().await else { panic!("no hint") };
    let expected = Hint { app: stage.app, thread: stage.thread, topic: Topic::Text(watch.run()) };
    assert_eq!(hint, expected);
    next(&mut far).await;
    assert_eq!(text(&mut far).await, "Yes.");
    drop(say);
    assert!(end(far).await.message.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_short_run_stores_nothing_but_its_reply() {
    let stage = Stage::new().await;
    stage.agent.answer_with(vec![delta("Yes, "), delta("it is.")]);
    stage.say("hello").await;

    end(stage.start().await).await;
    stage.pass(2).await;

    let pruned = stage.nexo.store().prune_segments(Duration::ZERO, 10).await.unwrap();
    assert_eq!(pruned, 0);
}

#[tokio::test(start_paused = true)]
async fn what_comes_soon_after_another_is_stored_together() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("hello").await;
    let run = stage.start().await.run();

    for piece in ["a", "b\0", "c"] {
        say.unbounded_send(delta(piece)).unwrap();
    }
    stage.pass(1).await;
    say.unbounded_send(delta("d")).unwrap();
    stage.pass(1).await;

    let known = FollowRun { run, attempt: 1, bytes: 0 };
    let followed = stage.nexo.store().follow_runs(&[known], 1_000).await.unwrap();
    let texts: Vec<&str> = followed[0].segments.iter().map(|it| it.said.text.as_str()).collect();
    assert_eq!(texts, ["ab\u{fffd}c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_lost_is_shown_until_the_next_one_begins() {
    let stage = Stage::new().await;
    let other = stage.another_server();
    let say = stage.agent.answer();
    stage.say("hello").await;
    let run = stage.start().await.run();
    let reader = stage.another_server();
    let mut watch = stage.watched_at(&reader, run).await;
    say.unbounded_send(delta("this far")).unwrap();
    next(&mut watch).await;
    assert_eq!(text(&mut watch).await, "this far");
    let cursor = watch.cursor();

    let again = stage.agent.answer();
    stage.nexo.engine().shutdown(Duration::ZERO).await;
    let third = stage.another_server();
    let mut late = stage.watched_at(&third, run).await;
    next(&mut late).await;
    assert_eq!(text(&mut late).await, "this far", "it is all there is, so far");
    other.engine().sign_on().await.unwrap();
    again.unbounded_send(delta("the whole")).unwrap();

    for watch in [&mut watch, &mut late] {
        assert!(matches!(next(watch).await, RunEvent::Reset { attempt: 2 }));
        assert_eq!(text(watch).await, "the whole");
    }
    let mut resumed = stage.resumed_at(&reader, cursor).await;
    assert!(matches!(next(&mut resumed).await, RunEvent::Meta { .. }));
    assert!(matches!(next(&mut resumed).await, RunEvent::Reset { attempt: 2 }));
    drop(again);
    assert!(end(resumed).await.message.is_some());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_queued_run_can_go_on_with_it() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("one").await;
    stage.start().await;
    stage.pass(1).await;
    let queued = stage.ask("two", nexo_core::RunOptions::default()).await.unwrap();
    let cursor = queued.cursor();
    assert!(queued.is_quiet());
    assert_eq!(cursor.to_string(), format!("{}.0.0.0", queued.run()));
    drop(queued);
    stage.agent.answer_with(vec![delta("second")]);
    drop(say);
    stage.pass(3).await;

    let elsewhere = stage.another_server();
    let mut watch = stage.resumed_at(&elsewhere, cursor).await;

    assert!(matches!(next(&mut watch).await, RunEvent::Meta { .. }));
    assert_eq!(text(&mut watch).await, "second");
    assert_eq!(stage.messages().await.len(), 3, "the first run said nothing");
}

#[tokio::test(start_paused = true)]
async fn no_server_takes_a_cursor_that_no_run_can_have_led_to() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("hello").await;
    let run = stage.start().await.run();
    say.unbounded_send(delta("é")).unwrap();
    stage.pass(1).await;
    let elsewhere = stage.another_server();
    let mut watch = stage.watched_at(&elsewhere, run).await;
    next(&mut watch).await;
    text(&mut watch).await;

    for server in [&stage.nexo, &elsewhere] {
        for (attempt, bytes, events) in
            [(0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 2, 1), (1, 1, 0), (1, 262_145, 0), (2, 0, 0)]
        {
            let cursor = RunCursor { run, attempt, bytes, events };
            let refused = server.engine().resume(&stage.scope, stage.app, cursor).await;
            assert!(matches!(refused, Err(Error::InvalidCursor)), "{cursor}");
        }
    }
    let ahead = RunCursor { run, attempt: 1, bytes: 3, events: 0 };
    let here = stage.nexo.engine().resume(&stage.scope, stage.app, ahead).await;
    assert!(matches!(here, Err(Error::InvalidCursor)), "this server knows that nobody said it");
    // Elsewhere it may be right, and turns out not to be.
    let mut watch = stage.resumed_at(&elsewhere, ahead).await;
    say.unbounded_send(Ok(AgentEvent::Truncated)).unwrap();
    drop(say);
    assert!(matches!(next(&mut watch).await, RunEvent::Meta { .. }));
    assert!(matches!(next(&mut watch).await, RunEvent::Reset { .. }));
    assert_eq!(text(&mut watch).await, "é");
}
