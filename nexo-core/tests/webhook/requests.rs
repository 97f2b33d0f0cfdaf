//! What agents get.

use std::sync::Arc;

use nexo_core::{
    FailureKind, ManualClock, PreviousSecret, Purpose, ReplayId, Secret, Timestamp,
    dispatch::webhook::HeaderNames,
    signature::{Verifier, sign},
};

use crate::{
    agent::{Act, Received, TestAgent},
    fixture::{NOW, dispatcher, now, outcome, turn},
};

const PAYLOAD: &str = r#"{"version":"1.0","event":"message_received","app":{"id":"5b0c1a52-7a5f-4a0e-9f0d-0d6a3f1c2b11","name":"Bakery desk"},"thread":{"id":"9d1f6a0e-2c34-4b7e-8c55-6f2f0f8a7d22","customer_id":"cust-42"},"message":{"id":"c7e2b9d4-1f63-4c9a-b1d0-3a5e8f9c4e33","seq":2,"role":"user","content":"Is the rye bread vegan?","content_json":{}},"history_tail":[{"role":"assistant","content":"Welcome! Ask me anything.","content_json":{"source":"system"}},{"role":"user","content":"Is the rye bread vegan?","content_json":{}}],"timestamp":"2026-01-01T00:00:00.000000+00:00"}"#;

async fn replying() -> TestAgent {
    TestAgent::answering("application/json", r#"{"reply":"Yes"}"#).await
}

fn only(agent: &TestAgent) -> Received {
    let mut received = agent.received();
    assert_eq!(received.len(), 1);
    received.remove(0)
}

fn verifier(secret: &str) -> Verifier {
    Verifier::new([secret]).with_clock(Arc::new(ManualClock::new(now())))
}

/// Whether both signatures are right, each for itself.
fn verify(received: &Received, secret: &str) -> bool {
    let plain = received.headers().filter(|(name, _)| !name.starts_with("webhook-"));
    verifier(secret).verify(received.headers(), &received.body).is_ok()
        && verifier(secret).verify(plain, &received.body).is_ok()
}

#[tokio::test]
async fn the_request_is_the_published_one_to_the_byte_and_so_is_its_signature() {
    let agent = replying().await;
    let turn = turn(&agent.url());
    let run = turn.run.id.to_string();

    let outcome = outcome(&dispatcher(), turn).await;

    let received = only(&agent);
    assert_eq!(String::from_utf8(received.body.clone()).unwrap(), PAYLOAD);
    assert!(received.head.starts_with("POST /hook HTTP/1.1\r\n"));
    let delivery = outcome.delivery();
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", concat!("nexo/", env!("CARGO_PKG_VERSION"))),
        ("accept", "application/json, text/event-stream"),
        ("accept-encoding", "identity"),
        ("content-length", "556"),
        ("x-app-id", "5b0c1a52-7a5f-4a0e-9f0d-0d6a3f1c2b11"),
        ("x-thread-id", "9d1f6a0e-2c34-4b7e-8c55-6f2f0f8a7d22"),
        ("x-timestamp", "1767225600"),
        ("x-signature", "sha256=4287f7d34cfb8c933f2f5f45264d6b329157244de986c3a9e06d5947a65ff070"),
        ("webhook-id", run.as_str()),
        ("webhook-timestamp", "1767225600"),
        ("x-delivery-id", &delivery.id.to_string()),
        ("x-attempt", "1"),
    ] {
        assert_eq!(received.header(name), Some(value), "{name}");
    }
    assert!(verify(&received, "nexo-vector-key"));
    assert!(!received.head.contains("nexo-vector-key"));
}

#[tokio::test]
async fn the_record_has_what_was_sent_and_what_came_back() {
    let agent = replying().await;

    let outcome = outcome(&dispatcher(), turn(&agent.url())).await;

    let (received, delivery) = (only(&agent), outcome.delivery());
    assert_eq!(delivery.request_body, received.body);
    for (name, value) in &delivery.request_headers {
        assert_eq!(received.header(name), Some(value.as_str()));
    }
    assert_eq!(delivery.url, agent.url());
    assert_eq!(delivery.peer, Some(agent.address));
    assert_eq!(delivery.status, Some(200));
    assert_eq!(delivery.response_body, br#"{"reply":"Yes"}"#);
    assert_eq!(delivery.response_bytes, 15);
    assert!(delivery.response_headers.contains(&("content-length".into(), "15".into())));
    assert_eq!(delivery.started_at, now());
    assert!(delivery.first_byte_after.unwrap() <= delivery.ended_after);
}

#[tokio::test]
async fn text_in_any_script_is_signed_as_it_is_sent() {
    let agent = replying().await;
    let mut turn = turn(&agent.url());
    turn.message.content = Some("¿Qué tal, João? 🎉".to_owned());
    turn.message.content_json = r#"{"k": "\u00bf\u2028"}"#.parse().unwrap();
    turn.app.webhook_secret = Some("clé-ключ".into());

    outcome(&dispatcher(), turn).await;

    let received = only(&agent);
    let body = str::from_utf8(&received.body).unwrap();
    assert!(body.contains("\"content\":\"¿Qué tal, João? 🎉\""));
    assert!(body.contains("\"content_json\":{\"k\":\"¿\u{2028}\"}"));
    assert!(verify(&received, "clé-ключ"));
}

#[tokio::test]
async fn a_message_without_text_has_empty_text_and_a_thread_without_customer_null() {
    let agent = replying().await;
    let mut turn = turn(&agent.url());
    turn.message.content = None;
    turn.history[0].content = None;
    turn.thread.customer_id = None;

    outcome(&dispatcher(), turn).await;

    let body: serde_json::Value = serde_json::from_slice(&only(&agent).body).unwrap();
    assert_eq!(body["message"]["content"], "");
    assert_eq!(body["history_tail"][0]["content"], "");
    assert!(body["thread"]["customer_id"].is_null());
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed() {
    for secret in [None, Some(Secret::from(""))] {
        let agent = replying().await;
        let mut turn = turn(&agent.url());
        turn.app.webhook_secret = secret;

        outcome(&dispatcher(), turn).await;

        let received = only(&agent);
        assert!(received.header("webhook-id").is_some());
        for name in ["x-timestamp", "x-signature", "webhook-timestamp", "webhook-signature"] {
            assert_eq!(received.header(name), None, "{name}");
        }
    }
}

#[tokio::test]
async fn while_two_secrets_are_valid_receivers_with_either_can_verify() {
    let agent = replying().await;
    let mut turn = turn(&agent.url());
    turn.app.webhook_secret = Some("new".into());
    turn.app.previous_secret =
        Some(PreviousSecret { secret: "old".into(), expires_at: Timestamp::from_micros(i64::MAX) });

    outcome(&dispatcher(), turn).await;

    let received = only(&agent);
    assert!(verify(&received, "new"));
    assert!(verifier("old").verify(received.headers(), &received.body).is_ok());
    let plain = sign(b"new", NOW, &received.body);
    assert_eq!(received.header("x-signature"), Some(plain.as_str()));
}

#[tokio::test]
async fn secrets_of_any_text_are_usable() {
    for secret in ["whsec_", "whsec_!", "\r\nX-Evil: 1", "\0", "🎉", &"x".repeat(10_000)] {
        let agent = replying().await;
        let mut turn = turn(&agent.url());
        turn.app.webhook_secret = Some(secret.into());

        let outcome = outcome(&dispatcher(), turn).await;

        assert_eq!(outcome.text(), "Yes");
        let received = only(&agent);
        assert!(verify(&received, secret));
        assert_eq!(received.header("x-evil"), None);
    }
}

#[tokio::test]
async fn headers_have_the_names_that_were_configured() {
    let agent = replying().await;
    let names = HeaderNames {
        app_id: "my-app".parse().unwrap(),
        thread_id: "my-thread".parse().unwrap(),
        timestamp: "my-time".parse().unwrap(),
        signature: "my-signature".parse().unwrap(),
    };

    outcome(&dispatcher().with_header_names(names), turn(&agent.url())).await;

    let received = only(&agent);
    for name in ["my-app", "my-thread", "my-time", "my-signature"] {
        assert!(received.header(name).is_some(), "{name}");
    }
    assert_eq!(received.header("x-signature"), None);
}

#[tokio::test]
async fn another_agent_than_the_main_one_has_its_own_address_and_secret() {
    let agent = replying().await;
    let mut turn = turn("http://unused.example/");
    turn.agent.kind = "webhook".to_owned();
    turn.agent.config = turn.agent.config.with("url", agent.url());
    turn.agent.secret = Some("its own".into());

    outcome(&dispatcher(), turn).await;

    assert!(verify(&only(&agent), "its own"));
}

#[tokio::test]
async fn a_connection_is_used_again_and_the_record_still_knows_the_peer() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"reply\":\"Hi\"}".to_vec();
    let agent = TestAgent::acting(vec![Act::Write(answer.clone()), Act::Next, Act::Write(answer)]);
    let (agent, dispatcher) = (agent.await, dispatcher());

    for _ in 0..2 {
        let outcome = outcome(&dispatcher, turn(&agent.url())).await;
        assert_eq!(outcome.text(), "Hi");
        assert_eq!(outcome.delivery().peer, Some(agent.address));
    }

    assert_eq!((agent.connections(), agent.received().len()), (1, 2));
}

#[tokio::test]
async fn nothing_is_sent_before_the_stream_is_polled_or_without_an_address() {
    use nexo_core::Dispatcher;
    let agent = replying().await;

    drop(dispatcher().dispatch(std::sync::Arc::new(turn(&agent.url()))));
    let empty = outcome(&dispatcher(), turn("  ")).await;

    assert_eq!(empty.kind(), Some(FailureKind::WebhookUrlEmpty));
    assert!(empty.delivery.is_none());
    assert_eq!(agent.connections(), 0);
}

/// An agent that answers no question twice has to answer this one.
#[tokio::test]
async fn a_replay_says_the_same_under_an_id_of_its_own() {
    let agent = replying().await;
    let (mut turn, replay) = (turn(&agent.url()), ReplayId::new());
    turn.purpose = Purpose::Replay(replay);
    let run = turn.run.id;

    let outcome = outcome(&dispatcher(), turn).await;

    let received = only(&agent);
    assert_eq!(received.body, PAYLOAD.as_bytes());
    assert_eq!(received.header("webhook-id"), Some(replay.to_string().as_str()));
    assert_eq!(received.header("x-replay-of"), Some(run.to_string().as_str()));
    assert!(verify(&received, "nexo-vector-key"));
    let delivery = outcome.delivery();
    assert_eq!((delivery.run, delivery.replay, delivery.repeats), (run, Some(replay), None));
}

#[tokio::test]
async fn a_delivery_is_sent_again_byte_for_byte_and_signed_anew() {
    let agent = replying().await;
    let first = outcome(&dispatcher(), turn(&agent.url())).await;
    let mut sent = first.delivery().clone();
    // Whatever it is: nothing of it is read, nor made anew.
    sent.request_body = b"\x00\xff not { json ".to_vec();
    let mut turn = turn(&agent.url());
    turn.app.webhook_secret = Some("another".into());
    turn.purpose = Purpose::Resend(Arc::new(sent.clone()));
    let run = turn.run.id.to_string();

    let outcome = outcome(&dispatcher(), turn).await;

    let received = agent.received().remove(1);
    assert_eq!(received.body, sent.request_body);
    assert_eq!(received.header("webhook-id"), Some(run.as_str()));
    assert_eq!(received.header("x-replay-of"), None);
    assert!(verify(&received, "another"));
    let delivery = outcome.delivery();
    assert_eq!((delivery.repeats, delivery.replay), (Some(sent.id), None));
    assert_ne!(delivery.id, sent.id);
    assert_eq!(received.header("x-delivery-id"), Some(delivery.id.to_string().as_str()));
}
