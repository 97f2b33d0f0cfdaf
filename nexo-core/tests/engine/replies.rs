//! What an agent says, and what is made of it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use nexo_core::{
    AgentEvent, AppChanges, Error, Failure, FailureKind, Nexo, Role, RunEvent, RunState,
};

use crate::stage::{Stage, broken, delta, end};

#[tokio::test]
async fn a_reply_is_stored_before_its_end_is_told() {
    let stage = Stage::new().await;
    stage.agent.answer_with(vec![delta("Yes, "), delta("it is.")]);
    stage.say("Is it vegan?").await;

    let end = end(stage.start().await).await;

    let message = end.message.clone().unwrap();
    assert_eq!(end.state, RunState::Completed);
    assert_eq!(message.seq, 2);
    assert_eq!(stage.messages().await[1], (Role::Assistant, "Yes, it is.".into()));
    assert_eq!(message.content_json.as_str(), r#"{"source":"webhook"}"#);
}

#[tokio::test]
async fn a_run_that_nobody_watches_goes_on() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("hello").await;

    drop(stage.start().await);
    say.unbounded_send(delta("still here")).unwrap();
    let watch = stage.start().await;
    drop(say);

    assert_eq!(end(watch).await.state, RunState::Completed);
    assert_eq!(stage.messages().await.len(), 2);
    assert_eq!(stage.agent.turns.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_second_request_for_the_same_message_joins_and_sees_everything() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("hello").await;

    let mut first = stage.start().await;
    say.unbounded_send(delta("one ")).unwrap();
    assert!(matches!(first.next().await, Some(RunEvent::Meta { .. })));
    assert!(matches!(first.next().await, Some(RunEvent::Delta(text)) if &*text == "one "));
    let mut second = stage.start().await;
    say.unbounded_send(delta("two")).unwrap();
    drop(say);

    assert_eq!(first.run(), second.run());
    assert!(matches!(second.next().await, Some(RunEvent::Meta { .. })));
    assert!(matches!(second.next().await, Some(RunEvent::Delta(text)) if &*text == "one "));
    assert!(matches!(second.next().await, Some(RunEvent::Delta(text)) if &*text == "two"));
    assert_eq!(end(second).await.message, end(first).await.message);
    assert_eq!(stage.agent.turns.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_newer_message_waits_for_the_run_before_it_and_gets_its_own() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("first").await;
    let first = stage.start().await;
    stage.say("second").await;
    stage.agent.answer_with(vec![delta("to the second")]);

    let waiting = async { end(stage.start().await).await };
    let finishing = async {
        say.unbounded_send(delta("to the first")).unwrap();
        drop(say);
        end(first).await
    };
    let (second, first) = tokio::join!(waiting, finishing);

    assert_eq!(first.message.as_ref().unwrap().seq, 3);
    assert_eq!(second.message.as_ref().unwrap().content.as_deref(), Some("to the second"));
    assert_eq!(stage.messages().await.len(), 4);
}

#[tokio::test]
async fn many_requests_at_once_make_one_run() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("hello").await;

    let starts = futures::future::join_all((0..50).map(|_| stage.start())).await;
    say.unbounded_send(delta("once")).unwrap();
    drop(say);
    let ends = futures::future::join_all(starts.into_iter().map(end)).await;

    assert!(ends.iter().all(|end| end.message == ends[0].message));
    assert_eq!(stage.messages().await.len(), 2);
}

#[tokio::test]
async fn a_failure_before_the_first_word_stores_nothing() {
    let stage = Stage::new().await;
    stage.agent.answer_with(vec![broken()]);
    stage.say("hello").await;

    let end = end(stage.start().await).await;

    assert_eq!(end.state, RunState::Failed);
    assert_eq!(end.failure.as_ref().unwrap().kind, FailureKind::WebhookRequestFailed);
    assert_eq!(stage.messages().await.len(), 1);
}

#[tokio::test]
async fn a_failure_after_some_words_keeps_them_and_says_so() {
    let stage = Stage::new().await;
    stage.agent.answer_with(vec![delta("half a"), broken()]);
    stage.say("hello").await;

    let end = end(stage.start().await).await;

    let message = end.message.clone().unwrap();
    assert_eq!(end.state, RunState::Failed);
    assert_eq!(message.content.as_deref(), Some("half a"));
    assert_eq!(message.content_json.get("truncated"), Some(true.into()));
}

#[tokio::test]
async fn an_answer_that_breaks_off_by_itself_is_kept_as_truncated() {
    let stage = Stage::new().await;
    stage.agent.answer_with(vec![delta("half a"), Ok(AgentEvent::Truncated)]);
    stage.say("hello").await;

    let end = end(stage.start().await).await;

    assert_eq!(end.state, RunState::Completed);
    let content_json = &end.message.as_ref().unwrap().content_json;
    assert_eq!(content_json.get("truncated"), Some(true.into()));
}

#[tokio::test]
async fn an_agent_that_says_nothing_at_all_has_failed() {
    let stage = Stage::new().await;
    stage.agent.answer_with(vec![]);
    stage.say("hello").await;

    let end = end(stage.start().await).await;

    assert_eq!(end.failure.as_ref().unwrap().kind.key(), "ERROR_NO_REPLY");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_did_not_get_the_turn_is_asked_again_as_often_as_the_app_wants() {
    let stage = Stage::new().await;
    let unreachable =
        || Err(Failure::new(FailureKind::WebhookRequestFailed, "could not connect").passing());
    stage.configure(r#"{"integration":{"mode":"webhook"},"runs":{"retries":2}}"#).await;
    stage.say("hello").await;

    for _ in 0..2 {
        stage.agent.answer_with(vec![unreachable()]);
    }
    stage.agent.answer_with(vec![delta("there")]);
    let reached = end(stage.start().await).await;
    for _ in 0..3 {
        stage.agent.answer_with(vec![unreachable()]);
    }
    let given_up = end(stage.start().await).await;

    assert_eq!(reached.message.as_ref().unwrap().content.as_deref(), Some("there"));
    assert_eq!(given_up.state, RunState::Failed);
    assert_eq!(stage.agent.turns.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn nothing_is_tried_again_unless_the_app_wants_it_and_nothing_was_said() {
    let stage = Stage::new().await;
    let passing = || Err(Failure::new(FailureKind::WebhookBadStatus, "503").passing());
    stage.say("hello").await;

    stage.agent.answer_with(vec![passing()]);
    end(stage.start().await).await;
    stage.configure(r#"{"integration":{"mode":"webhook"},"runs":{"retries":3}}"#).await;
    stage.agent.answer_with(vec![delta("a"), passing()]);
    end(stage.start().await).await;
    stage.agent.answer_with(vec![broken()]);
    end(stage.start().await).await;

    assert_eq!(stage.agent.turns.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_empty_reply_is_a_reply() {
    let stage = Stage::new().await;
    let reply = AgentEvent::Reply { text: String::new(), metadata: None };
    stage.agent.answer_with(vec![Ok(reply)]);
    stage.say("hello").await;

    let end = end(stage.start().await).await;

    assert_eq!(end.message.as_ref().unwrap().content.as_deref(), Some(""));
}

#[tokio::test]
async fn a_dispatcher_that_panics_fails_its_run_only() {
    let stage = Stage::new().await;
    stage.say("hello").await;

    let failed = end(stage.start().await).await;
    stage.agent.answer_with(vec![delta("fine")]);
    let next = end(stage.start().await).await;

    assert_eq!(failed.failure.as_ref().unwrap().kind, FailureKind::Internal);
    assert_eq!(next.state, RunState::Completed);
}

#[tokio::test]
async fn a_long_delta_reaches_watchers_in_small_whole_characters() {
    let stage = Stage::new().await;
    let text = "é".repeat(2_000);
    stage.agent.answer_with(vec![delta(&text)]);
    stage.say("hello").await;

    let mut watch = stage.start().await;
    let mut deltas = Vec::new();
    while let Some(event) = watch.next().await {
        if let RunEvent::Delta(delta) = event {
            deltas.push(delta.to_string());
        }
    }

    assert!(deltas.len() > 3 && deltas.iter().all(|delta| delta.len() <= 1024));
    assert_eq!(deltas.concat(), text);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_outlives_its_deadline_expires() {
    let stage = Stage::new().await;
    let _say = stage.agent.answer();
    stage.say("hello").await;

    let mut watch = stage.start().await;
    let end = loop {
        if let Some(RunEvent::End(end)) = watch.next().await {
            break end;
        }
    };

    assert_eq!(end.state, RunState::Expired);
    assert_eq!(end.failure.as_ref().unwrap().kind.key(), "RUN_EXPIRED");
}

#[tokio::test]
async fn an_app_in_webhook_mode_without_an_address_is_answered_by_the_simulator() {
    let stage = Stage::new().await;
    let clear = AppChanges { webhook_url: Some(None), ..Default::default() };
    stage.nexo.store().update_app(&stage.scope, stage.app, clear).await.unwrap();
    stage.say("hello").await;

    let end = end(stage.start().await).await;

    let message = end.message.clone().unwrap();
    assert_eq!(message.content.as_deref(), Some("Echo: hello"));
    assert_eq!(message.content_json.get("reason"), Some("webhook_not_configured".into()));
    assert_eq!(message.content_json.get("source"), Some("simulator".into()));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_runs_finish_and_takes_no_new_ones() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("hello").await;
    let watch = stage.start().await;

    let shutdown = stage.nexo.engine().shutdown(Duration::from_secs(25));
    let rest = async {
        tokio::task::yield_now().await;
        let refused = stage.nexo.engine().start(&stage.scope, stage.app, stage.thread).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))));
        say.unbounded_send(delta("done in time")).unwrap();
        drop(say);
        end(watch).await
    };
    let ((), end) = tokio::join!(shutdown, rest);

    assert_eq!(end.state, RunState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shuts_down_keeps_its_runs_until_they_end() {
    let stage = Stage::new().await;
    stage.nexo.engine().sign_on().await.unwrap();
    let other = Nexo::builder().store(Arc::clone(stage.nexo.store())).build();
    other.engine().sign_on().await.unwrap();
    let say = stage.agent.answer();
    stage.say("hello").await;
    let watch = stage.start().await;

    let shutdown = stage.nexo.engine().shutdown(Duration::from_secs(60));
    let rest = async {
        // Longer than a server may be silent.
        for _ in 0..30 {
            stage.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        say.unbounded_send(delta("done in time")).unwrap();
        drop(say);
        end(watch).await
    };
    let ((), end) = tokio::join!(shutdown, rest);

    assert_eq!(end.state, RunState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_while_its_run_is_made_leaves_no_dead_thread_behind() {
    let stage = Stage::new().await;
    stage.say("hello").await;

    for polls in 0..20 {
        stage.agent.answer_with(vec![delta("said")]);
        let start = stage.nexo.engine().start(&stage.scope, stage.app, stage.thread);
        let mut start = std::pin::pin!(start);
        for _ in 0..polls {
            if futures::poll!(&mut start).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }

    stage.agent.answer_with(vec![delta("answered")]);
    assert_eq!(end(stage.start().await).await.state, RunState::Completed);
}

#[tokio::test]
async fn a_reply_without_an_end_is_cut_where_it_gets_too_long() {
    let stage = Stage::new().await;
    stage.agent.answer_with(vec![delta(&"x".repeat(200 * 1024)), delta(&"y".repeat(100 * 1024))]);
    stage.say("hello").await;

    let end = end(stage.start().await).await;

    assert_eq!(end.failure.as_ref().unwrap().kind, FailureKind::WebhookTooLarge);
    assert_eq!(end.message.as_ref().unwrap().content.as_ref().unwrap().len(), 200 * 1024);
}

#[tokio::test]
async fn a_thread_that_is_deleted_under_a_run_ends_the_run() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("hello").await;
    let watch = stage.start().await;

    stage.nexo.store().delete_thread(&stage.scope, stage.thread).await.unwrap();
    say.unbounded_send(delta("too late")).unwrap();
    drop(say);

    let end = end(watch).await;
    assert_eq!(end.state, RunState::Cancelled);
    assert_eq!(end.failure.as_ref().unwrap().kind.key(), "RUN_CANCELLED");
}

#[tokio::test]
async fn a_thread_without_a_user_message_is_refused() {
    let stage = Stage::new().await;

    let refused = stage.nexo.engine().start(&stage.scope, stage.app, stage.thread).await;

    assert!(matches!(refused, Err(Error::NoUserMessages(_))));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_out_is_left_alone_for_a_while() {
    let stage = Stage::new().await;
    stage.say("anybody?").await;
    for _ in 0..20 {
        let failure = Failure::new(FailureKind::WebhookTimeout, "no answer");
        stage.agent.answer_with(vec![Err(failure)]);
        assert_eq!(end(stage.start().await).await.state, RunState::Failed);
    }

    let refused = end(stage.start().await).await;
    assert_eq!(refused.failure.clone().unwrap().kind, FailureKind::AgentUnavailable);
    assert_eq!(stage.agent.turns.load(Ordering::SeqCst), 20, "it was not asked");

    tokio::time::advance(Duration::from_secs(15)).await;
    stage.agent.answer_with(vec![delta("I'm back.")]);
    assert_eq!(end(stage.start().await).await.state, RunState::Completed);
}
