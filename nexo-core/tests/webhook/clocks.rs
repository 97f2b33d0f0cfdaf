//! Agents that take their time. Timeouts are short, and no assertion is about how short a
//! wait really was, only that it ended long before the test's own patience.

use std::time::{Duration, Instant};

use futures::StreamExt;
use nexo_core::{
    Dispatcher, FailureKind,
    dispatch::webhook::{Limits, Resolve},
};

use crate::{
    agent::{Act, TestAgent, stream_head},
    fixture::{Outcome, dispatcher, outcome, turn, turn_within},
};

const PATIENCE: Duration = Duration::from_secs(20);

const DELTA: &[u8] = b"event: delta\ndata: {\"text\":\"a\"}\n\n";

async fn patiently(outcome: impl Future<Output = Outcome>) -> Outcome {
    tokio::time::timeout(PATIENCE, outcome).await.expect("a clock ends the call")
}

async fn timed_out(acts: Vec<Act>) -> Outcome {
    let agent = TestAgent::acting(acts).await;
    let started = Instant::now();
    let outcome = patiently(outcome(&dispatcher(), turn_within(&agent.url(), 1_000))).await;
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(outcome.kind(), Some(FailureKind::WebhookTimeout));
    assert_eq!(outcome.delivery().peer, Some(agent.address));
    outcome
}

#[tokio::test]
async fn an_agent_that_says_nothing_times_out() {
    assert_eq!(timed_out(vec![Act::Hang]).await.delivery().status, None);
}

#[tokio::test]
async fn an_agent_that_stops_within_its_head_times_out() {
    timed_out(vec![Act::Write(b"HTTP/1.1 200 OK\r\nx: ".to_vec()), Act::Hang]).await;
}

#[tokio::test]
async fn a_json_answer_has_to_be_whole_in_time_however_it_drips() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
    let drip = Act::Repeat(b" ".to_vec(), Duration::from_millis(10));

    let outcome = timed_out(vec![Act::Write(head), drip]).await;

    assert_eq!(outcome.delivery().status, Some(200));
    assert!(outcome.delivery().response_bytes > 0);
}

#[tokio::test]
async fn a_stream_that_falls_silent_times_out_and_what_came_is_not_lost() {
    let outcome = timed_out(vec![stream_head(), Act::Write(DELTA.to_vec()), Act::Hang]).await;

    assert_eq!(outcome.text(), "a");
}

#[tokio::test]
async fn comments_and_halves_of_events_keep_no_stream_alive() {
    for drip in [": still here\n\n", "\n", "data: x\n"] {
        let drip = Act::Repeat(drip.as_bytes().to_vec(), Duration::from_millis(10));
        timed_out(vec![stream_head(), drip]).await;
    }
}

#[tokio::test]
async fn a_stream_may_last_longer_than_the_timeout_while_events_come() {
    let mut acts = vec![stream_head()];
    for _ in 0..6 {
        acts.extend([Act::Write(DELTA.to_vec()), Act::Pause(Duration::from_millis(200))]);
    }
    acts.push(Act::Write(b"event: done\ndata: {}\n\n".to_vec()));
    let agent = TestAgent::acting(acts).await;
    let started = Instant::now();

    let outcome = patiently(outcome(&dispatcher(), turn_within(&agent.url(), 1_000))).await;

    assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
    assert_eq!(outcome.text(), "aaaaaa");
    assert!(started.elapsed() >= Duration::from_millis(1_200));
}

#[tokio::test]
async fn no_stream_lasts_for_ever() {
    let drip = Act::Repeat(DELTA.to_vec(), Duration::from_millis(10));
    let agent = TestAgent::acting(vec![stream_head(), drip]).await;
    let limits = Limits { stream: Duration::from_millis(300), ..Limits::default() };

    let outcome = patiently(outcome(&dispatcher().with_limits(limits), turn(&agent.url()))).await;

    assert_eq!(outcome.kind(), Some(FailureKind::WebhookTimeout));
    assert!(outcome.text().starts_with('a'));
}

#[tokio::test]
async fn clocks_that_are_set_to_never_ring_never() {
    let agent = TestAgent::acting(vec![stream_head(), Act::Write(DELTA.to_vec())]).await;
    let limits = Limits { stream: Duration::MAX, dns: Duration::MAX, ..Limits::default() };
    let mut turn = turn(&agent.url().replace("127.0.0.1", "localhost"));
    turn.config.timeout = Duration::MAX;

    let outcome = patiently(outcome(&dispatcher().with_limits(limits), turn)).await;

    assert_eq!(outcome.text(), "a");
}

#[tokio::test]
async fn a_slow_reader_is_not_the_agents_fault() {
    let agent = TestAgent::acting(vec![
        stream_head(),
        Act::Write(DELTA.repeat(3)),
        Act::Pause(Duration::from_millis(900)),
        Act::Write([DELTA, b"event: done\n\n"].concat()),
    ])
    .await;
    let dispatcher = dispatcher();
    let mut stream = dispatcher.dispatch(std::sync::Arc::new(turn_within(&agent.url(), 600)));

    let mut failed = false;
    while let Some(item) = stream.next().await {
        failed |= item.is_err();
        tokio::time::sleep(Duration::from_millis(250)).await;
    }

    assert!(!failed);
}

/// A look-up that never ends.
#[derive(Debug)]
struct DeafResolver;

#[async_trait::async_trait]
impl Resolve for DeafResolver {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<std::net::IpAddr>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_look_up_has_a_clock_of_its_own() {
    let limits = Limits { dns: Duration::from_millis(100), ..Limits::default() };
    let dispatcher = dispatcher().with_resolver(DeafResolver).with_limits(limits);

    let outcome = patiently(outcome(&dispatcher, turn_within("http://a.example/", 60_000))).await;

    assert_eq!(outcome.kind(), Some(FailureKind::WebhookTimeout));
    assert!(outcome.failure.unwrap().detail.contains("DNS"));
}

#[tokio::test]
async fn dropping_the_stream_ends_the_connection() {
    let agent = TestAgent::acting(vec![stream_head(), Act::Write(DELTA.to_vec()), Act::Hang]).await;
    let dispatcher = dispatcher();
    let mut stream = dispatcher.dispatch(std::sync::Arc::new(turn_within(&agent.url(), 60_000)));
    stream.next().await.unwrap().unwrap();

    drop(stream);

    let gone = async {
        while agent.gone() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the agent sees that nobody listens");
}
