//! Agents that send too much. What is read is counted, so memory does not grow with it.

use std::time::Duration;

use nexo_core::{FailureKind, MAX_KEPT_RESPONSE_BYTES, dispatch::webhook::Limits};

use crate::{
    agent::{Act, TestAgent, stream_head},
    fixture::{Outcome, dispatcher, outcome, turn, turn_within},
};

const MEBIBYTE: u64 = 1024 * 1024;

/// What lies in buffers when the limit is passed; far less than what the agents would send.
const SLACK: u64 = MEBIBYTE;

fn endless(bytes: Vec<u8>) -> Act {
    Act::Repeat(bytes, Duration::ZERO)
}

fn json_head(length: &str) -> Act {
    Act::Write(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{length}\r\n").into())
}

async fn too_large(acts: Vec<Act>, limits: Limits, max: u64) -> Outcome {
    let agent = TestAgent::acting(acts).await;
    // No clock may be faster than the limit, however busy the machine is.
    let turn = turn_within(&agent.url(), 60_000);
    let outcome = outcome(&dispatcher().with_limits(limits), turn).await;
    assert_eq!(outcome.kind(), Some(FailureKind::WebhookTooLarge), "{:?}", outcome.failure);
    let delivery = outcome.delivery();
    assert!(delivery.response_bytes <= max + SLACK, "{} bytes were read", delivery.response_bytes);
    assert!(delivery.response_body.len() <= MAX_KEPT_RESPONSE_BYTES);
    outcome
}

#[tokio::test]
async fn an_endless_json_answer_is_cut() {
    let acts = vec![json_head(""), endless(vec![b' '; 64 * 1024])];
    too_large(acts, Limits::default(), MEBIBYTE).await;
}

#[tokio::test]
async fn an_answer_that_says_how_large_it_will_be_is_not_even_read() {
    let acts = vec![json_head("content-length: 419430400\r\n"), endless(vec![b' '; 64 * 1024])];

    let outcome = too_large(acts, Limits::default(), 0).await;

    assert_eq!(outcome.delivery().response_bytes, 0);
}

#[tokio::test]
async fn an_answer_as_large_as_it_may_be_is_read() {
    let body = format!(r#"{{"pad":"{}","reply":"Hi"}}"#, " ".repeat(1024 * 1024 - 23));
    assert_eq!(body.len() as u64, MEBIBYTE);
    let agent = TestAgent::answering("application/json", &body).await;

    let outcome = outcome(&dispatcher(), turn(&agent.url())).await;

    assert_eq!(outcome.text(), "Hi");
    assert_eq!(outcome.delivery().response_bytes, MEBIBYTE);
    assert_eq!(outcome.delivery().response_body.len(), MAX_KEPT_RESPONSE_BYTES);
}

#[tokio::test]
async fn an_endless_event_is_cut() {
    let acts = vec![stream_head(), endless(vec![b'a'; 16 * 1024])];
    too_large(acts, Limits::default(), 64 * 1024).await;

    let acts = vec![stream_head(), endless(b"data: and so on\n".repeat(1000))];
    too_large(acts, Limits::default(), 64 * 1024).await;
}

#[tokio::test]
async fn an_endless_reply_is_cut_where_it_is_too_long() {
    let delta = b"event: delta\ndata: {\"text\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n\n";
    let acts = vec![stream_head(), endless(delta.repeat(100))];

    let outcome = too_large(acts, Limits::default(), MEBIBYTE).await;

    assert_eq!(outcome.text().len(), 256 * 1024);
}

#[tokio::test]
async fn a_stream_of_nothing_but_noise_is_cut() {
    let limits = Limits { stream_bytes: 2 * 1024 * 1024, ..Limits::default() };
    for noise in ["event: noise\n\n", ": noise\n"] {
        let acts = vec![stream_head(), endless(noise.repeat(1000).into())];
        too_large(acts, limits, 2 * MEBIBYTE).await;
    }
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let head = format!("HTTP/1.1 200 OK\r\nx-pad: {}\r\n\r\n", "a".repeat(16 * 1024));

    let outcome = too_large(vec![Act::Write(head.into())], Limits::default(), 0).await;

    assert!(outcome.delivery().response_headers.is_empty());
}

#[tokio::test]
async fn an_endless_head_ends_the_request() {
    let head = Act::Write(b"HTTP/1.1 200 OK\r\nx-pad: ".to_vec());
    let agent = TestAgent::acting(vec![head, endless(vec![b'a'; 64 * 1024])]).await;

    let outcome = outcome(&dispatcher(), turn(&agent.url())).await;

    assert_eq!(outcome.kind(), Some(FailureKind::WebhookRequestFailed));
}

#[tokio::test]
async fn a_failing_agent_is_read_no_further_than_the_record_needs() {
    let head = Act::Write(b"HTTP/1.1 500 Oops\r\n\r\n".to_vec());
    let agent = TestAgent::acting(vec![head, endless(vec![b'a'; 64 * 1024])]).await;

    let outcome = outcome(&dispatcher(), turn(&agent.url())).await;

    assert_eq!(outcome.kind(), Some(FailureKind::WebhookBadStatus));
    assert!(outcome.delivery().response_bytes <= SLACK);
    assert!(outcome.delivery().response_body.len() >= 2_000);
}
