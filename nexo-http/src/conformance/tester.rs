//! The webhook tester: every outcome it can have.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Setup,
    agents::{Act, Agent, delta, nobody, response},
    world::{App, World},
};

/// What the tester says about an address; its time is cut out.
async fn test(app: &App, url: &str) -> Value {
    let body = json!({"webhook_url": url});
    let mut result = app.owner.post(&app.path("/webhook/test"), body).await.ok();
    let latency = result.as_object_mut().unwrap().remove("latency_ms").unwrap();
    assert!(latency.is_u64(), "{latency}");
    result
}

async fn app(world: &World) -> App {
    App::create(&world.owner().await, json!({"name": "Bakery desk"})).await
}

pub(super) async fn the_tester_sends_the_sample_payload(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::replying("hi").await;
    let app = app(&world).await;
    let path = app.path("/webhook/test");
    for sample in [json!({}), json!({"sample_message": null}), json!({"sample_message": ""})] {
        let mut body = sample;
        body["webhook_url"] = json!(agent.url());
        app.owner.post(&path, body).await.ok();
    }
    let body = json!({"webhook_url": agent.url(), "sample_message": "你好"});
    app.owner.post(&path, body).await.ok();

    let received = agent.received();
    let contents: Vec<Value> =
        received.iter().map(|it| it.json()["message"]["content"].clone()).collect();
    assert_eq!(contents, ["Hello", "Hello", "Hello", "你好"]);
    let timestamp = received[0].json()["timestamp"].clone();
    let expected = format!(
        r#"{{"version":"1.0","event":"message_received","app":{{"id":"{}","name":"Bakery desk"}},"thread":{{"id":"00000000-0000-0000-0000-000000000000","customer_id":"test-customer"}},"message":{{"id":"00000000-0000-0000-0000-000000000001","seq":1,"role":"user","content":"Hello","content_json":{{}}}},"history_tail":[],"timestamp":{timestamp}}}"#,
        app.id
    );
    assert_eq!(String::from_utf8(received[0].body.clone()).unwrap(), expected);
    let nil = "00000000-0000-0000-0000-000000000000";
    assert_eq!(received[0].header("x-thread-id"), Some(nil));
    assert_eq!(received[0].header("x-app-id"), Some(&*app.id));
    assert_eq!(received[0].header("x-signature"), None);
    let threads = app.owner.get(&app.path("/threads")).await.ok();
    assert_eq!(threads["items"], json!([]));
}

pub(super) async fn the_tester_tells_every_outcome(setup: Setup) {
    let world = setup.start().await;
    let app = app(&world).await;
    let json = "application/json";
    let long = "é".repeat(2_500);
    let start = "é".repeat(2_000);
    let outcome = |ok, status: u16, error: Value, json: Value, text: Value| {
        json!({"ok": ok, "status_code": status, "error": error, "response_json": json,
            "response_text": text, "signature_sent": false})
    };
    let (bad, no_json) = (json!("WEBHOOK_TEST_BAD_STATUS"), json!("WEBHOOK_TEST_NOT_JSON"));
    let missing = json!("WEBHOOK_TEST_MISSING_REPLY");
    let streamed = [delta("Yes, "), delta("it is."), "event: done\ndata: {}\n\n".into()].concat();
    for (answer, expected) in [
        (
            response("200 OK", json, r#"{"reply":"hi","more":1}"#),
            outcome(true, 200, Value::Null, json!({"reply": "hi", "more": 1}), Value::Null),
        ),
        (
            response("200 OK", "text/event-stream", streamed),
            outcome(true, 200, Value::Null, json!({"reply": "Yes, it is."}), Value::Null),
        ),
        (
            response("201 Created", json, r#"{"reply":"hi"}"#),
            outcome(false, 201, bad.clone(), json!({"reply": "hi"}), json!(r#"{"reply":"hi"}"#)),
        ),
        (
            response("202 Accepted", json, "{}"),
            outcome(false, 202, bad.clone(), json!({}), json!("{}")),
        ),
        (
            response("302 Found", "text/plain", "over there"),
            outcome(false, 302, bad.clone(), Value::Null, json!("over there")),
        ),
        (
            b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            outcome(false, 204, bad.clone(), Value::Null, json!("")),
        ),
        (
            response("500 Oops", "text/plain", &long),
            outcome(false, 500, bad, Value::Null, json!(start)),
        ),
        (
            response("200 OK", json, &long),
            outcome(false, 200, no_json.clone(), Value::Null, json!(start)),
        ),
        (
            response("200 OK", "text/html", "<p>"),
            outcome(false, 200, no_json, Value::Null, json!("<p>")),
        ),
        (
            response("200 OK", json, r#"{"answer":1}"#),
            outcome(false, 200, missing.clone(), json!({"answer": 1}), Value::Null),
        ),
        (
            response("200 OK", json, r#"{"reply":null}"#),
            outcome(false, 200, missing.clone(), json!({"reply": null}), Value::Null),
        ),
        (
            response("200 OK", json, r#"{"reply":{}}"#),
            outcome(false, 200, missing.clone(), json!({"reply": {}}), Value::Null),
        ),
        (response("200 OK", json, "[1]"), outcome(false, 200, missing, json!([1]), Value::Null)),
    ] {
        let agent = Agent::acting(vec![Act::Write(answer)]).await;
        assert_eq!(test(&app, &agent.url()).await, expected);
    }
}

pub(super) async fn the_tester_tells_what_can_not_be_reached(setup: Setup) {
    let world = setup.start().await;
    let app = app(&world).await;
    let config = json!({"config_json": {"webhook": {"timeout_ms": 150}}});
    app.owner.patch(&app.path(""), config).await.ok();
    let failed = |error: &str| {
        json!({"ok": false, "status_code": null, "error": error, "response_json": null,
            "response_text": null, "signature_sent": false})
    };
    let hanging = Agent::acting(vec![Act::Hang]).await;
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n";
    let pause = Duration::from_millis(10);
    let dripping = vec![Act::Write(head.to_vec()), Act::Repeat(b" ".to_vec(), pause)];
    let dripping = Agent::acting(dripping).await;
    let broken = Agent::acting(vec![Act::Write(b"nonsense\r\n\r\n".to_vec())]).await;
    let connection = failed("WEBHOOK_TEST_CONNECTION_ERROR");

    assert_eq!(test(&app, &hanging.url()).await, failed("WEBHOOK_TEST_TIMEOUT"));
    assert_eq!(test(&app, &dripping.url()).await, failed("WEBHOOK_TEST_TIMEOUT"));
    assert_eq!(test(&app, &nobody().await).await, connection);
    assert_eq!(test(&app, &broken.url()).await, connection);
}

pub(super) async fn the_tester_calls_nothing_that_is_refused(setup: Setup) {
    let world = setup.start().await;
    let body = json!({"webhook_secret": "hunter2"});
    let app = App::create(&world.owner().await, body).await;
    for (url, word) in [
        ("http://10.0.0.1/", "blocked"),
        ("http://169.254.169.254/latest", "blocked"),
        ("http://[::ffff:10.0.0.1]/", "blocked"),
        ("ftp://agent.example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("", "empty"),
        ("  ", "empty"),
        ("http://", "no host"),
    ] {
        let body = json!({"webhook_url": url});
        let result = app.owner.post(&app.path("/webhook/test"), body).await.ok();
        let error = result["error"].as_str().unwrap();
        assert!(error.contains(word), "{url}: {error}");
        let expected = json!({"ok": false, "status_code": null, "latency_ms": 0, "error": error,
            "response_json": null, "response_text": null, "signature_sent": false});
        assert_eq!(result, expected);
    }
}

pub(super) async fn the_tester_says_whether_it_signed(setup: Setup) {
    let world = setup.start().await;
    let body = json!({"webhook_secret": "hunter2"});
    let app = App::create(&world.owner().await, body).await;
    let agent = Agent::replying("hi").await;

    let result = test(&app, &agent.url()).await;

    assert_eq!(result["signature_sent"], true);
    assert!(agent.received()[0].header("x-signature").is_some());
}

pub(super) async fn the_tester_needs_an_address_and_an_app(setup: Setup) {
    let world = setup.start().await;
    let app = app(&world).await;
    let path = app.path("/webhook/test");

    app.owner.post(&path, json!({})).await.violates(&[("missing", &["body", "webhook_url"])]);
    let wrong = json!({"webhook_url": null, "sample_message": 1});
    app.owner.post(&path, wrong).await.violates(&[
        ("string_type", &["body", "webhook_url"]),
        ("string_type", &["body", "sample_message"]),
    ]);
    let body = json!({"webhook_url": "http://127.0.0.1:9/"});
    world.nobody().post(&path, body.clone()).await.fails(401, "Unauthorized");
    let unknown = format!("/apps/{}/webhook/test", nexo_core::AppId::new());
    app.owner.post(&unknown, body).await.fails(404, "ERROR_APP_NOT_FOUND");
}
