//! Wishes for a thread that is busy, and runs that somebody stops.

use std::{sync::atomic::Ordering, time::Duration};

use nexo_core::{Error, FailureKind, Overlap, Role, RunEvent, RunOptions, RunState};

use crate::stage::{Stage, delta, end};

fn overlap(overlap: Overlap) -> RunOptions {
    RunOptions { overlap: Some(overlap), ..RunOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn messages_are_answered_one_after_the_other() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("one").await;
    let first = stage.start().await;
    let second = stage.ask("two", RunOptions::default()).await.unwrap();
    let third = stage.ask("three", RunOptions::default()).await.unwrap();
    stage.agent.answer_with(vec![delta("to two")]);
    stage.agent.answer_with(vec![delta("to three")]);

    say.unbounded_send(delta("to one")).unwrap();
    drop(say);

    for (watch, text) in [(first, "to one"), (second, "to two"), (third, "to three")] {
        assert_eq!(end(watch).await.message.as_ref().unwrap().content.as_deref(), Some(text));
    }
    assert_eq!(stage.messages().await.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_busy_thread_may_refuse() {
    let stage = Stage::new().await;
    let _say = stage.agent.answer();
    stage.say("one").await;
    let _first = stage.start().await;

    let refused = stage.ask("two", overlap(Overlap::Reject)).await;

    assert!(matches!(refused, Err(Error::RunActive(_))));
}

/// Each wish looks at all of them.
#[tokio::test(start_paused = true)]
async fn a_thread_has_only_so_many_runs_that_wait() {
    let stage = Stage::new().await;
    let _silent = stage.agent.answer();
    let mut watched = Vec::new();
    for number in 0..1_000 {
        watched.push(stage.ask(&number.to_string(), RunOptions::default()).await.unwrap());
    }

    let refused = stage.ask("one more", RunOptions::default()).await;
    let in_their_place = stage.ask("stop", overlap(Overlap::Interrupt)).await;

    assert!(matches!(refused, Err(Error::RunActive(thread)) if thread == stage.thread));
    assert!(in_their_place.is_ok());
    assert_eq!(stage.run(watched[999].run()).await.state, RunState::Superseded);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_answer_is_kept_as_far_as_it_came() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("one").await;
    let mut first = stage.start().await;
    say.unbounded_send(delta("well, ")).unwrap();
    while !matches!(first.next().await, Some(RunEvent::Delta(_))) {}
    stage.agent.answer_with(vec![delta("to two")]);

    let second = stage.ask("two", overlap(Overlap::Interrupt)).await.unwrap();

    let first = end(first).await;
    assert_eq!(first.state, RunState::Cancelled);
    assert!(first.is_success());
    let kept = first.message.as_ref().unwrap();
    assert_eq!(kept.content.as_deref(), Some("well, "));
    assert_eq!(
        kept.content_json.as_str(),
        r#"{"finish":"cancelled","source":"webhook","truncated":true}"#
    );
    assert_eq!(end(second).await.message.as_ref().unwrap().content.as_deref(), Some("to two"));
    assert!(say.is_closed(), "the first agent was let go");
}

#[tokio::test(start_paused = true)]
async fn a_merged_answer_is_the_only_one() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("one").await;
    let first = stage.start().await;
    say.unbounded_send(delta("never spoken")).unwrap();
    stage.agent.answer_with(vec![delta("to both")]);

    let second = stage.ask("two", overlap(Overlap::Merge)).await.unwrap();

    let first = end(first).await;
    assert_eq!(first.state, RunState::Superseded);
    assert_eq!(first.failure.as_ref().unwrap().kind, FailureKind::RunSuperseded);
    assert_eq!(end(second).await.state, RunState::Completed);
    let said = stage.messages().await;
    assert_eq!(said.len(), 3);
    assert_eq!(said[2], (Role::Assistant, "to both".into()));
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_answered_once_it_is_over() {
    let stage = Stage::new().await;
    stage.agent.answer_with(vec![delta("to all")]);
    let wait = RunOptions { debounce: Some(Duration::from_secs(2)), ..RunOptions::default() };

    let first = stage.ask("one", wait).await.unwrap();
    stage.pass(1).await;
    let second = stage.ask("two", wait).await.unwrap();
    stage.pass(1).await;
    assert_eq!(stage.agent.turns.load(Ordering::SeqCst), 0);
    stage.pass(3).await;

    assert_eq!(first.run(), second.run());
    assert_eq!(end(first).await.state, RunState::Completed);
    assert_eq!(stage.run(second.run()).await.message_seq, 2);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_keeps_what_was_said() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("one").await;
    let mut watch = stage.start().await;
    say.unbounded_send(delta("this far")).unwrap();
    while !matches!(watch.next().await, Some(RunEvent::Delta(_))) {}
    let elsewhere = stage.another_server();

    elsewhere.engine().cancel(&stage.scope, stage.app, watch.run()).await.unwrap();

    let run = watch.run();
    let end = end(watch).await;
    assert_eq!(end.state, RunState::Cancelled);
    assert_eq!(end.message.as_ref().unwrap().content.as_deref(), Some("this far"));
    let again = elsewhere.engine().cancel(&stage.scope, stage.app, run).await;
    assert!(matches!(again, Err(Error::RunEnded(_))));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_in_silence_says_so() {
    let stage = Stage::new().await;
    let _say = stage.agent.answer();
    stage.say("one").await;
    let watch = stage.start().await;

    stage.nexo.engine().cancel(&stage.scope, stage.app, watch.run()).await.unwrap();

    let end = end(watch).await;
    assert!(!end.is_success());
    assert_eq!(end.failure.as_ref().unwrap().kind, FailureKind::RunCancelled);
    assert_eq!(stage.messages().await.len(), 1);
}
