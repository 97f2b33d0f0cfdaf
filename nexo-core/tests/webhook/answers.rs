//! Answers in one piece, and all the ways in which there is none.

use nexo_core::{AgentEvent, FailureKind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    agent::{Act, TestAgent, response},
    fixture::{ScriptedResolver, dispatcher, outcome, turn, turn_within},
};

#[tokio::test]
async fn a_json_answer_is_the_reply_with_its_metadata() {
    let body = r#"{"reply":"Yes, flour 🌾","metadata":{"confidence":0.9}}"#;
    let agent = TestAgent::answering("application/json; charset=utf-8", body).await;

    let outcome = outcome(&dispatcher(), turn(&agent.url())).await;

    assert!(outcome.failure.is_none());
    let [AgentEvent::Accepted, AgentEvent::Reply { text, metadata }] = &outcome.events[..] else {
        panic!("{:?}", outcome.events)
    };
    assert_eq!(text, "Yes, flour 🌾");
    assert_eq!(metadata.as_ref().unwrap().as_str(), r#"{"confidence":0.9}"#);
}

#[tokio::test]
async fn every_answer_is_either_a_reply_or_a_failure_of_its_kind() {
    use FailureKind::{
        WebhookBadContentType, WebhookInvalidJson, WebhookMissingReply, WebhookTooLarge,
    };
    let long = format!(r#"{{"reply":"{}"}}"#, "a".repeat(256 * 1024 + 1));
    for (content_type, body, expected) in [
        ("application/json", r#"{"reply":"Hi"}"#, Ok("Hi")),
        ("application/problem+json", r#"{"reply":"Hi"}"#, Ok("Hi")),
        ("text/plain", r#"{"reply":"Hi"}"#, Ok("Hi")),
        ("", r#"{"reply":"Hi"}"#, Ok("Hi")),
        ("application/json", r#"{"reply":""}"#, Ok("")),
        ("application/json", r#"{"reply":1.50}"#, Ok("1.50")),
        ("application/json", r#"{"reply":"Hi","metadata":7}"#, Ok("Hi")),
        ("application/json", "Hi", Err(WebhookInvalidJson)),
        ("application/json", "", Err(WebhookInvalidJson)),
        ("", "Hi", Err(WebhookInvalidJson)),
        ("application/json", r#"["Hi"]"#, Err(WebhookInvalidJson)),
        ("text/plain", r#""Hi""#, Err(WebhookInvalidJson)),
        ("text/html", "<h1>Hi</h1>", Err(WebhookBadContentType)),
        ("image/png", "\u{0}", Err(WebhookBadContentType)),
        ("application/json", "{}", Err(WebhookMissingReply)),
        ("application/json", r#"{"reply":null}"#, Err(WebhookMissingReply)),
        ("application/json", r#"{"reply":true}"#, Err(WebhookMissingReply)),
        ("application/json", r#"{"reply":{}}"#, Err(WebhookMissingReply)),
        ("application/json", r#"{"reply":["Hi"]}"#, Err(WebhookMissingReply)),
        ("application/json", &long, Err(WebhookTooLarge)),
    ] {
        let agent = TestAgent::answering(content_type, body).await;
        let outcome = outcome(&dispatcher(), turn(&agent.url())).await;

        let shown = &body[..body.len().min(40)];
        match expected {
            Ok(text) => {
                assert_eq!(outcome.text(), text, "{shown}");
                assert!(outcome.failure.is_none(), "{shown}");
            }
            Err(kind) => assert_eq!(outcome.kind(), Some(kind), "{shown}"),
        }
        assert_eq!(outcome.delivery().status, Some(200));
        assert_eq!(outcome.delivery().response_bytes, body.len() as u64);
    }
}

#[tokio::test]
async fn any_status_but_two_is_a_failure_with_the_body_on_record() {
    for status in
        ["201 Created", "204 No Content", "301 Moved", "400 Bad", "401 No", "500 Oops", "503 Later"]
    {
        let body = if status.starts_with("204") { "" } else { r#"{"reply":"Hi"}"# };
        let agent = TestAgent::writing(response(status, "application/json", body)).await;

        let outcome = outcome(&dispatcher(), turn(&agent.url())).await;

        assert_eq!(outcome.kind(), Some(FailureKind::WebhookBadStatus), "{status}");
        assert!(outcome.events.is_empty());
        assert_eq!(outcome.delivery().status.unwrap().to_string(), status[..3]);
        assert_eq!(outcome.delivery().response_body, body.as_bytes());
        let detail = outcome.failure.unwrap().detail;
        assert!(detail.contains(&status[..3]) && !detail.contains("Hi"), "{detail}");
    }
}

#[tokio::test]
async fn an_agent_that_accepts_the_turn_answers_later() {
    let agent = TestAgent::writing(response("202 Accepted", "text/plain", "ok")).await;

    let outcome = outcome(&dispatcher(), turn(&agent.url())).await;

    assert!(outcome.failure.is_none());
    assert!(matches!(outcome.events[..], [AgentEvent::Pending]));
    assert_eq!(outcome.delivery().status, Some(202));
}

#[tokio::test]
async fn a_failing_agent_that_never_ends_its_body_fails_by_its_status() {
    let head = b"HTTP/1.1 500 Oops\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
    let agent = TestAgent::acting(vec![Act::Write(head), Act::Hang]).await;

    let outcome = outcome(&dispatcher(), turn_within(&agent.url(), 500)).await;

    assert_eq!(outcome.kind(), Some(FailureKind::WebhookBadStatus));
    assert_eq!(outcome.delivery().response_body, b"half");
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_not_followed() {
    let canary = TestAgent::answering("application/json", r#"{"reply":"caught"}"#).await;
    for status in [301, 302, 303, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} Go\r\nlocation: {0}\r\nrefresh: 0; url={0}\r\ncontent-length: 0\r\n\r\n",
            canary.url()
        );
        let agent = TestAgent::writing(answer).await;

        let outcome = outcome(&dispatcher(), turn(&agent.url())).await;

        assert_eq!(outcome.kind(), Some(FailureKind::WebhookBadStatus));
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn a_compressed_answer_is_refused() {
    for encoding in ["gzip", "br", "zstd", "deflate", "identity, gzip", "GZIP"] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: {encoding}\r\ncontent-length: 4\r\n\r\n\x1f\x0b\x08\x00"
        );
        let agent = TestAgent::writing(answer).await;

        let outcome = outcome(&dispatcher(), turn(&agent.url())).await;

        assert_eq!(outcome.kind(), Some(FailureKind::WebhookBadEncoding), "{encoding}");
    }
    let agent = TestAgent::writing(
        "HTTP/1.1 200 OK\r\ncontent-encoding: Identity\r\ncontent-length: 14\r\n\r\n{\"reply\":\"Hi\"}",
    )
    .await;
    assert_eq!(outcome(&dispatcher(), turn(&agent.url())).await.text(), "Hi");
}

#[tokio::test]
async fn a_transfer_that_breaks_is_a_failed_request() {
    for answer in [
        "",
        "HTTP/1.1 20",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"reply\":",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\nevent\r\n",
    ] {
        let agent = TestAgent::writing(answer).await;

        let outcome = outcome(&dispatcher(), turn(&agent.url())).await;

        assert_eq!(outcome.kind(), Some(FailureKind::WebhookRequestFailed), "{answer}");
        assert_eq!(outcome.delivery().peer, Some(agent.address));
    }
}

#[tokio::test]
async fn a_closed_port_is_a_failed_request_that_reached_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);

    let outcome = outcome(&dispatcher(), turn(&url)).await;

    assert_eq!(outcome.kind(), Some(FailureKind::WebhookRequestFailed));
    assert_eq!((outcome.delivery().peer, outcome.delivery().status), (None, None));
    assert!(outcome.failure.unwrap().detail.contains("could not connect"));
}

#[tokio::test]
async fn an_agent_without_tls_under_https_is_a_failed_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad\r\n\r\n").await.unwrap();
        let _ = socket.read_u8().await;
    });

    let outcome = outcome(&dispatcher(), turn(&url)).await;

    assert_eq!(outcome.kind(), Some(FailureKind::WebhookRequestFailed));
    assert!(outcome.failure.unwrap().detail.contains("could not connect"));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_failed_request() {
    for resolver in
        [ScriptedResolver::new(&[]), ScriptedResolver::new(&[("nowhere.example", &[&[]])])]
    {
        let outcome =
            outcome(&dispatcher().with_resolver(resolver), turn("http://nowhere.example/")).await;

        assert_eq!(outcome.kind(), Some(FailureKind::WebhookRequestFailed));
        let failure = outcome.failure.as_ref().unwrap();
        assert!(failure.detail.contains("nowhere.example"));
        assert!(failure.is_passing, "it was not reached, and may be the next time");
        assert_eq!(outcome.delivery().peer, None);
    }
}

#[tokio::test]
async fn a_failure_says_nothing_of_what_the_agent_wrote_or_of_secrets() {
    for (status, body) in
        [("500 Oops", "canary"), ("200 OK", "canary"), ("200 OK", r#"{"canary":1}"#)]
    {
        let agent = TestAgent::writing(response(status, "application/json", body)).await;

        let failure = outcome(&dispatcher(), turn(&agent.url())).await.failure.unwrap();

        assert!(!failure.detail.contains("canary"), "{}", failure.detail);
        assert!(!failure.detail.contains("nexo-vector-key"), "{}", failure.detail);
    }
}
