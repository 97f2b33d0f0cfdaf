//! Answers that come piece by piece.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use nexo_core::{AgentEvent, Dispatcher, FailureKind};

use crate::{
    agent::{Act, TestAgent, stream_head},
    fixture::{Outcome, dispatcher, outcome, turn},
};

async fn streaming(body: &str) -> Outcome {
    let agent = TestAgent::acting(vec![stream_head(), Act::Write(body.into())]).await;
    outcome(&dispatcher(), turn(&agent.url())).await
}

fn deltas(outcome: &Outcome) -> Vec<&str> {
    let deltas = outcome.events.iter().filter_map(|event| match event {
        AgentEvent::Delta(text) => Some(text.as_str()),
        _ => None,
    });
    deltas.collect()
}

#[tokio::test]
async fn a_stream_is_accepted_then_its_deltas_then_the_end() {
    let outcome = streaming(
        "event: delta\ndata: {\"text\": \"Yes, \"}\n\nevent: delta\ndata: {\"delta\": \"it is.\"}\n\nevent: done\ndata: {}\n\nevent: delta\ndata: {\"text\": \"too late\"}\n\n",
    )
    .await;

    assert!(outcome.failure.is_none());
    assert!(matches!(outcome.events[0], AgentEvent::Accepted));
    assert_eq!(deltas(&outcome), ["Yes, ", "it is."]);
    assert_eq!(outcome.events.len(), 3);
}

#[tokio::test]
async fn what_was_sent_is_told_when_nobody_wants_the_rest() {
    let said = "event: delta\ndata: {\"text\": \"Yes, \"}\n\n";
    let acts = vec![stream_head(), Act::Write(said.into()), Act::Pause(Duration::from_secs(3_600))];
    let agent = TestAgent::acting(acts).await;
    let turn = turn(&agent.url());
    let interest = turn.interest.clone();
    let mut events = dispatcher().dispatch(Arc::new(turn));

    while !matches!(events.next().await, Some(Ok(AgentEvent::Delta(_)))) {}
    interest.lose();

    let Some(Ok(AgentEvent::Delivery(delivery))) = events.next().await else { panic!("nothing") };
    assert_eq!(delivery.response_body, said.as_bytes());
    assert_eq!(delivery.error.as_deref(), Some("RUN_CANCELLED"));
    assert!(events.next().await.unwrap().is_err(), "the failure is last");
}

#[tokio::test]
async fn line_ends_comments_marks_and_unknown_events_do_not_matter() {
    for body in [
        "\u{feff}event: delta\r\ndata: {\"text\":\r\ndata: \"Hi\"}\r\n\r\nevent: done\r\n\r\n",
        "event: delta\rdata: {\"text\":\"Hi\"}\r\revent: done\rdata: {}\r\r",
        ": ping\n\nevent: thinking\ndata: ...\n\ndata: unnamed\n\nid: 1\nretry: 5\nevent:delta\ndata:{\"text\":\"Hi\"}\n\nevent: done\ndata: {}\n\n",
    ] {
        let outcome = streaming(body).await;

        assert!(outcome.failure.is_none(), "{body}");
        assert_eq!(outcome.text(), "Hi", "{body}");
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_at_any_byte_on_its_way_reads_the_same() {
    let body = "event: delta\r\ndata: {\"text\":\"¿é🎉\"}\r\n\r\nevent: done\ndata: {}\n\n";
    let dispatcher = dispatcher();
    for cut in 1..body.len() {
        let (left, right) = body.as_bytes().split_at(cut);
        let pause = Act::Pause(std::time::Duration::from_millis(2));
        let agent = TestAgent::acting(vec![
            stream_head(),
            Act::Write(left.to_vec()),
            pause,
            Act::Write(right.to_vec()),
        ])
        .await;

        let outcome = outcome(&dispatcher, turn(&agent.url())).await;

        assert!(outcome.failure.is_none(), "cut at {cut}");
        assert_eq!(outcome.text(), "¿é🎉", "cut at {cut}");
    }
}

#[tokio::test]
async fn a_long_delta_is_passed_on_in_small_pieces() {
    let text = "é🎉x".repeat(1_000);

    let outcome = streaming(&format!(
        "event: delta\ndata: {{\"text\":\"{text}\"}}\n\nevent: done\ndata: {{}}\n\n"
    ))
    .await;

    assert_eq!(outcome.text(), text);
    assert!(deltas(&outcome).iter().all(|delta| delta.len() <= 1024));
}

#[tokio::test]
async fn a_stream_that_is_done_without_text_is_an_empty_reply() {
    for body in
        ["event: done\ndata: {}\n\n", "event: delta\ndata: {\"text\":\"\"}\n\nevent: done\n\n"]
    {
        let outcome = streaming(body).await;

        assert!(outcome.failure.is_none());
        assert!(matches!(
            &outcome.events[..],
            [AgentEvent::Accepted, AgentEvent::Reply { text, metadata: None }] if text.is_empty()
        ));
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_done_is_truncated_or_no_reply() {
    let broken =
        streaming("event: delta\ndata: {\"text\":\"Hal\"}\n\nevent: delta\ndata: {\"te").await;
    assert!(broken.failure.is_none());
    assert_eq!(broken.text(), "Hal");
    assert!(matches!(broken.events.last(), Some(AgentEvent::Truncated)));

    for body in ["", ": ping\n\n", "event: noise\ndata: {}\n\n", "event: done\ndata: {}"] {
        assert_eq!(streaming(body).await.kind(), Some(FailureKind::NoReply), "{body}");
    }
}

#[tokio::test]
async fn an_error_of_the_agent_ends_the_stream_after_what_came_and_is_not_quoted() {
    let outcome = streaming(
        "event: delta\ndata: {\"text\":\"Hal\"}\n\nevent: error\ndata: {\"message\":\"canary\"}\n\nevent: done\ndata: {}\n\n",
    )
    .await;

    assert_eq!(outcome.text(), "Hal");
    assert_eq!(outcome.kind(), Some(FailureKind::WebhookAgentError));
    assert!(!outcome.failure.unwrap().detail.contains("canary"));
}

#[tokio::test]
async fn a_malformed_delta_is_an_error_and_nothing_is_made_of_it() {
    for delta in ["Hi", "{", "{}", "[\"Hi\"]", "{\"text\":7}", "{\"text\":\"\\u0000\"}"] {
        let outcome = streaming(&format!(
            "event: delta\ndata: {{\"text\":\"a\"}}\n\nevent: delta\ndata: {delta}\n\nevent: done\ndata: {{}}\n\n"
        ))
        .await;

        assert_eq!(outcome.text(), "a", "{delta}");
        assert_eq!(outcome.kind(), Some(FailureKind::WebhookInvalidStream), "{delta}");
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_is_an_error_and_never_repaired() {
    let body =
        b"event: delta\ndata: {\"text\":\"a\"}\n\nevent: delta\ndata: {\"text\":\"\xFF\"}\n\n";
    let agent = TestAgent::acting(vec![stream_head(), Act::Write(body.to_vec())]).await;

    let outcome = outcome(&dispatcher(), turn(&agent.url())).await;

    assert_eq!(outcome.text(), "a");
    assert_eq!(outcome.kind(), Some(FailureKind::WebhookInvalidStream));
}

#[tokio::test]
async fn what_looks_like_events_within_a_text_is_text() {
    let text = "\n\nevent: done\ndata: {}\n\n: x\r\u{2028}\u{feff}id: 1";
    let json = serde_json::json!({ "text": text }).to_string();

    let outcome = streaming(&format!("event: delta\ndata: {json}\n\nevent: done\n\n")).await;

    assert!(outcome.failure.is_none());
    assert_eq!(outcome.text(), text);
}

#[tokio::test]
async fn what_came_when_is_recorded_piece_by_piece() {
    let pieces = ["event: delta\ndata: {\"te", "xt\":\"Hi\"}\n\n", "event: done\n\n"];
    let mut acts = vec![stream_head()];
    for piece in pieces {
        let pause = Act::Pause(std::time::Duration::from_millis(20));
        acts.extend([pause, Act::Write(piece.into())]);
    }
    let agent = TestAgent::acting(acts).await;

    let outcome = outcome(&dispatcher(), turn(&agent.url())).await;

    let delivery = outcome.delivery();
    let frames: Vec<_> = delivery.frames.iter().collect();
    // The network may join pieces, but neither changes nor loses any.
    assert!(!frames.is_empty() && frames.len() <= pieces.len(), "{frames:?}");
    let mut end = 0;
    for frame in &frames {
        assert_eq!(frame.start, end);
        assert!(delivery.first_byte_after <= Some(frame.after));
        assert!(frame.after <= delivery.ended_after);
        end += frame.bytes;
    }
    assert_eq!(end, delivery.response_bytes);
    assert!(frames.is_sorted_by_key(|frame| frame.after));
}
