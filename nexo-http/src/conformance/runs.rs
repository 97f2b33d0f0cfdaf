//! Runs that are waited for: the simulator's answers, and what an agent is sent and says.

use std::time::{Duration, Instant};

use nexo_core::NewApp;
use serde_json::{Value, json};

use super::{
    Setup,
    agents::{Act, Agent, delta, nobody, response, stream_head},
    signature::hmac_sha256,
    world::{App, World, text},
};

/// An app whose configuration is this.
async fn app_with(world: &World, config: Value) -> App {
    App::create(&world.owner().await, json!({"config_json": config})).await
}

pub(super) async fn the_simulator_echoes_and_its_answer_is_stored(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("Is it vegan?").await;
    let path = app.path(&format!("/threads/{thread}/run"));

    let answer = app.owner.call("POST", &path).send().await;

    let run = answer.ok();
    let message = &run["assistant_message"];
    let expected = json!({"status": "completed", "error": null, "assistant_message": {
        "id": message["id"], "thread_id": thread, "seq": 3, "role": "assistant",
        "content": "Echo: Is it vegan?", "content_json": {"source": "simulator"},
        "created_at": message["created_at"]}});
    assert_eq!(run, expected);
    assert!(answer.header("x-run-id").is_some());
    assert_eq!(app.messages(&thread).await[2], *message);
}

pub(super) async fn nobody_has_said_anything_yet(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.thread(json!({})).await;
    let path = app.path(&format!("/threads/{thread}/run"));

    let run = app.owner.call("POST", &path).send().await;
    let stream = app.owner.get(&format!("{path}/stream")).await;

    run.fails(400, "ERROR_NO_USER_MESSAGES");
    stream.fails(400, "ERROR_NO_USER_MESSAGES");
}

pub(super) async fn an_answered_message_is_answered_again(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("one").await;
    app.run(&thread).await;

    let again = app.run(&thread).await;
    app.say(&thread, "two").await;
    let newest = app.run(&thread).await;

    assert_eq!(
        (&again["assistant_message"]["seq"], &again["assistant_message"]["content"]),
        (&json!(4), &json!("Echo: one"))
    );
    assert_eq!(newest["assistant_message"]["content"], "Echo: two");
}

pub(super) async fn the_support_scenario_follows_from_the_length(setup: Setup) {
    let world = setup.start().await;
    let config = json!({"simulator": {"scenario": "ecommerce_support"}});
    let app = app_with(&world, config).await;
    let thread = app.thread(json!({})).await;
    let mut replies = Vec::new();
    for length in 0..10 {
        app.say(&thread, &"é".repeat(length)).await;
        replies.push(text(&app.run(&thread).await["assistant_message"]["content"]));
    }

    assert_eq!(replies[..5], replies[5..]);
    let mut distinct = replies;
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 5);
}

pub(super) async fn the_simulator_does_as_it_is_told(setup: Setup) {
    let world = setup.start().await;
    let config = json!({"simulator": {"disclaimer": true, "scenario": "unheard-of"}});
    let app = app_with(&world, config).await;
    let thread = app.thread(json!({})).await;
    let path = app.path(&format!("/threads/{thread}/messages"));

    app.owner.post(&path, json!({"content": null})).await.ok();
    let to_nothing = text(&app.run(&thread).await["assistant_message"]["content"]);
    app.say(&thread, "").await;
    let to_empty = text(&app.run(&thread).await["assistant_message"]["content"]);
    app.say(&thread, "hello").await;
    let to_text = text(&app.run(&thread).await["assistant_message"]["content"]);

    assert_eq!(to_text, "[Simulated] Echo: hello");
    assert_eq!(to_nothing, to_empty);
    assert!(to_empty.starts_with("[Simulated] ") && !to_empty.contains("Echo"), "{to_empty}");
}

pub(super) async fn the_simulator_can_be_slow_and_can_fail(setup: Setup) {
    let world = setup.start().await;
    let app = app_with(&world, json!({"simulator": {"latency_ms": 150}})).await;
    let thread = app.asked("hello").await;

    let started = Instant::now();
    app.run(&thread).await;
    assert!(started.elapsed() >= Duration::from_millis(150));

    let config = json!({"config_json": {"simulator": {"scenario": "error"}}});
    app.owner.patch(&app.path(""), config).await.ok();
    let failed = app.run(&thread).await;
    assert_eq!(failed["status"], "error");
    assert_eq!(failed["assistant_message"], Value::Null);
    assert_eq!(app.messages(&thread).await.len(), 3);
}

pub(super) async fn a_webhook_without_an_address_is_simulated(setup: Setup) {
    let world = setup.start().await;
    for mode in ["webhook", "webhook_sync", "webhook_async", "hybrid"] {
        let app = app_with(&world, json!({"integration": {"mode": mode}})).await;
        let thread = app.asked("hello").await;

        let run = app.run(&thread).await;

        let expected = json!({"source": "simulator", "reason": "webhook_not_configured"});
        assert_eq!(run["assistant_message"]["content_json"], expected, "{mode}");
        assert_eq!(run["assistant_message"]["content"], "Echo: hello");
    }
}

pub(super) async fn an_agent_is_sent_exactly_the_payload(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::replying("Yes.").await;
    let body = json!({"name": "Bäckerei \"Korn\"", "webhook_url": agent.url(),
        "config_json": {"integration": {"mode": "webhook"}, "greeting": "¡Hola! 😀"}});
    let app = App::create(&world.owner().await, body).await;
    let thread = app.thread(json!({"customer_id": "cust-42"})).await;
    let path = app.path(&format!("/threads/{thread}/messages"));
    let said = r#"{ "content": "Grüße, señor 😀 你好\n", "content_json": {"z": 1.0, "a": { "b": [1.5, "é, ü"] } } }"#;
    let message = app.owner.call("POST", &path).body("application/json", said).send().await.ok();

    let run = app.run(&thread).await;

    let received = agent.received().remove(0);
    let sent = String::from_utf8(received.body.clone()).unwrap();
    let timestamp = text(&received.json()["timestamp"]);
    let said = r#""role":"user","content":"Grüße, señor 😀 你好\n","content_json":{"z":1.0,"a":{"b":[1.5,"é, ü"]}}"#;
    let expected = format!(
        r#"{{"version":"1.0","event":"message_received","app":{{"id":"{}","name":"Bäckerei \"Korn\""}},"thread":{{"id":"{thread}","customer_id":"cust-42"}},"message":{{"id":"{}","seq":2,{said}}},"history_tail":[{{"role":"assistant","content":"¡Hola! 😀","content_json":{{"source":"system"}}}},{{{said}}}],"timestamp":"{timestamp}"}}"#,
        app.id,
        text(&message["id"]),
    );
    assert_eq!(sent, expected);
    let (date, zone) = timestamp.split_at(26);
    assert!(
        zone == "+00:00" && date.as_bytes()[10] == b'T' && date.as_bytes()[19] == b'.',
        "{timestamp}"
    );
    assert!(received.head.starts_with("POST /hook HTTP/1.1"), "{}", received.head);
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert_eq!(received.header("x-app-id"), Some(&*app.id));
    assert_eq!(received.header("x-thread-id"), Some(&*thread));
    assert!(received.header("user-agent").is_some_and(|it| it.starts_with("nexo/")));
    assert_eq!(received.header("x-timestamp"), None);
    assert_eq!(received.header("x-signature"), None);
    assert_eq!(run["assistant_message"]["content"], "Yes.");
    assert_eq!(run["assistant_message"]["content_json"], json!({"source": "webhook"}));
}

pub(super) async fn a_request_to_an_agent_is_signed_with_the_secret(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::replying("Yes.").await;
    let secret = "clé-ключ";
    let body = json!({"webhook_url": agent.url(), "webhook_secret": secret,
        "config_json": {"integration": {"mode": "webhook"}}});
    let app = App::create(&world.owner().await, body).await;
    let thread = app.asked("Grüße 😀").await;

    app.run(&thread).await;
    let test = json!({"webhook_url": agent.url(), "sample_message": "你好"});
    app.owner.post(&app.path("/webhook/test"), test).await.ok();

    let received = agent.received();
    assert_eq!(received.len(), 2);
    for request in received {
        let timestamp = request.header("x-timestamp").unwrap();
        let seconds: u64 = timestamp.parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert!(now.as_secs().abs_diff(seconds) < 300, "{timestamp}");
        let signed = [timestamp.as_bytes(), b".", &request.body].concat();
        let expected = format!("sha256={}", hmac_sha256(secret.as_bytes(), &signed));
        assert_eq!(request.header("x-signature"), Some(&*expected));
        let all = [request.head.as_bytes(), &request.body].concat();
        assert!(!String::from_utf8(all).unwrap().contains("ключ"));
    }
}

pub(super) async fn an_agent_is_told_the_newest_ten_messages(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::replying("Yes.").await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.thread(json!({})).await;
    let path = app.path(&format!("/threads/{thread}/messages"));
    for number in 2..=12 {
        app.say(&thread, &number.to_string()).await;
    }
    app.owner.post(&path, json!({"content": null})).await.ok();
    app.owner.post(&format!("{path}/assistant"), json!({"content": "later"})).await.ok();

    app.run(&thread).await;

    let payload = agent.received()[0].json();
    assert_eq!(payload["message"]["seq"], 13);
    assert_eq!(payload["message"]["content"], "");
    let history = payload["history_tail"].as_array().unwrap();
    let contents: Vec<String> = history.iter().map(|it| text(&it["content"])).collect();
    assert_eq!(contents, ["5", "6", "7", "8", "9", "10", "11", "12", "", "later"]);
    assert_eq!(history[9]["content_json"], json!({"source": "dashboard_agent"}));
}

/// Runs a thread whose agent is at this address, and gives its app, thread and result.
async fn run_at(world: &World, url: &str) -> (App, String, Value) {
    let app = App::with_webhook(world, url).await;
    let timeout = json!({"integration": {"mode": "webhook"}, "webhook": {"timeout_ms": 5000}});
    app.owner.patch(&app.path(""), json!({"config_json": timeout})).await.ok();
    let thread = app.asked("hello").await;
    let run = app.run(&thread).await;
    (app, thread, run)
}

/// Asserts that a run failed, and that nothing but its key is told or kept.
async fn assert_failed(app: &App, thread: &str, run: &Value, key: &str, case: &str) {
    let expected = json!({"status": "error", "assistant_message": null, "error": key});
    assert_eq!(*run, expected, "{case}");
    assert_eq!(app.messages(thread).await.len(), 2, "{case}: something was stored");
}

pub(super) async fn what_an_agent_answers_wrongly_is_told_by_its_key(setup: Setup) {
    let world = setup.start().await;
    let json = "application/json";
    let moved = b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n".to_vec();
    let empty = b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
    let good = r#"{"reply":"SECRET-BODY"}"#;
    for (answer, key) in [
        (response("201 Created", json, good), "WEBHOOK_BAD_STATUS"),
        (empty, "WEBHOOK_BAD_STATUS"),
        (moved, "WEBHOOK_BAD_STATUS"),
        (response("404 Not Found", "text/html", "SECRET-BODY"), "WEBHOOK_BAD_STATUS"),
        (response("500 Oops", json, good), "WEBHOOK_BAD_STATUS"),
        (response("200 OK", json, "SECRET-BODY"), "WEBHOOK_INVALID_JSON"),
        (response("200 OK", json, ""), "WEBHOOK_INVALID_JSON"),
        (response("200 OK", json, r#"[{"reply":"x"}]"#), "WEBHOOK_INVALID_JSON"),
        (response("200 OK", json, r#""text""#), "WEBHOOK_INVALID_JSON"),
        (response("200 OK", json, "null"), "WEBHOOK_INVALID_JSON"),
        (response("200 OK", json, "{}"), "WEBHOOK_MISSING_REPLY"),
        (response("200 OK", json, r#"{"reply":null}"#), "WEBHOOK_MISSING_REPLY"),
        (response("200 OK", json, r#"{"reply":{}}"#), "WEBHOOK_MISSING_REPLY"),
        (response("200 OK", json, r#"{"reply":["a"]}"#), "WEBHOOK_MISSING_REPLY"),
        (response("200 OK", json, r#"{"reply":true}"#), "WEBHOOK_MISSING_REPLY"),
        (response("200 OK", "text/html", "<p>SECRET-BODY</p>"), "WEBHOOK_BAD_CONTENT_TYPE"),
        (response("200 OK", "text/event-stream", ": nothing\n\n"), "ERROR_NO_REPLY"),
        (
            response("200 OK", "text/event-stream", "event: delta\ndata: {\"text\":7}\n\n"),
            "WEBHOOK_INVALID_STREAM",
        ),
        (
            response(
                "200 OK",
                "text/event-stream",
                "event: error\ndata: {\"message\":\"SECRET\"}\n\n",
            ),
            "WEBHOOK_AGENT_ERROR",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"reply\":".to_vec(),
            "WEBHOOK_REQUEST_FAILED",
        ),
        (b"not even HTTP\r\n\r\n".to_vec(), "WEBHOOK_REQUEST_FAILED"),
    ] {
        let case = String::from_utf8_lossy(&answer).into_owned();
        let agent = Agent::acting(vec![Act::Write(answer)]).await;
        let (app, thread, run) = run_at(&world, &agent.url()).await;
        assert_failed(&app, &thread, &run, key, &case).await;
        assert_eq!(agent.received().len(), 1, "{case}: not called once");
    }
}

pub(super) async fn an_agent_that_is_not_there_is_told_by_its_key(setup: Setup) {
    let world = setup.start().await;

    let (app, thread, run) = run_at(&world, &nobody().await).await;

    assert_failed(&app, &thread, &run, "WEBHOOK_REQUEST_FAILED", "nobody listens").await;
}

pub(super) async fn a_slow_agent_is_cut_off(setup: Setup) {
    let world = setup.start().await;
    let head =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999999\r\n\r\n";
    let pause = Duration::from_millis(10);
    for acts in [
        vec![Act::Hang],
        vec![Act::Write(head.to_vec()), Act::Repeat(b" ".to_vec(), pause)],
        vec![stream_head(), Act::Repeat(b": alive\n\n".to_vec(), pause)],
    ] {
        let case = format!("{acts:?}");
        let agent = Agent::acting(acts).await;
        let app = App::with_webhook(&world, &agent.url()).await;
        let config = json!({"integration": {"mode": "webhook"}, "webhook": {"timeout_ms": 200}});
        app.owner.patch(&app.path(""), json!({"config_json": config})).await.ok();
        let thread = app.asked("hello").await;

        let started = Instant::now();
        let run = app.run(&thread).await;

        assert!(started.elapsed() >= Duration::from_millis(200), "{case}");
        assert_failed(&app, &thread, &run, "WEBHOOK_TIMEOUT", &case).await;
    }
}

pub(super) async fn a_stored_address_is_checked_again_when_it_is_called(setup: Setup) {
    let world = setup.start().await;
    for (url, key) in [
        ("http://10.0.0.1/", "WEBHOOK_URL_BLOCKED"),
        ("http://169.254.169.254/", "WEBHOOK_URL_BLOCKED"),
        ("ftp://agent.example.com/", "WEBHOOK_URL_BAD_SCHEME"),
        ("http://", "WEBHOOK_URL_NO_HOST"),
    ] {
        let (user, owner) = world.sign_up().await;
        let config = r#"{"integration":{"mode":"webhook"}}"#.parse().unwrap();
        let webhook_url = Some(url.to_owned());
        let old = NewApp { webhook_url, config, ..NewApp::new(user.id.into(), "old") };
        let old = world.store.create_app(old).await.unwrap();
        let app = App { owner, id: old.id.to_string() };
        let thread = app.asked("hello").await;

        let run = app.run(&thread).await;

        assert_failed(&app, &thread, &run, key, url).await;
    }
}

pub(super) async fn a_reply_is_text_or_a_number_or_a_stream(setup: Setup) {
    let world = setup.start().await;
    let json = "application/json";
    let streamed = [delta("Yes, "), delta("it is."), "event: done\ndata: {}\n\n".into()].concat();
    for (kind, body, expected) in [
        (json, r#"{"reply":"Grüße 😀\n"}"#, "Grüße 😀\n"),
        (json, r#"{"reply":"","metadata":{"confidence":0.9}}"#, ""),
        (json, r#"{"reply":42}"#, "42"),
        ("text/plain", r#"{"reply":"as text"}"#, "as text"),
        ("text/event-stream", &streamed, "Yes, it is."),
        ("text/event-stream; charset=utf-8", &streamed, "Yes, it is."),
    ] {
        let agent = Agent::answering(kind, body).await;
        let (_, _, run) = run_at(&world, &agent.url()).await;
        assert_eq!(run["status"], "completed", "{body}");
        assert_eq!(run["assistant_message"]["content"], expected);
        assert_eq!(run["assistant_message"]["content_json"], json!({"source": "webhook"}));
    }
}

pub(super) async fn a_stream_that_breaks_off_is_kept_as_far_as_it_came(setup: Setup) {
    let world = setup.start().await;
    let broken = Agent::streaming(&delta("Half a")).await;
    let failed = [delta("Half a"), "event: error\ndata: {\"message\":\"x\"}\n\n".into()].concat();
    let failed = Agent::streaming(&failed).await;

    let (_, _, incomplete) = run_at(&world, &broken.url()).await;
    let (app, thread, error) = run_at(&world, &failed.url()).await;

    assert_eq!(incomplete["status"], "completed");
    assert_eq!(incomplete["assistant_message"]["content"], "Half a");
    assert_eq!(incomplete["assistant_message"]["content_json"]["truncated"], true);
    assert_eq!(error["status"], "error");
    assert_eq!(error["error"], "WEBHOOK_AGENT_ERROR");
    assert_eq!(error["assistant_message"]["content"], "Half a");
    assert_eq!(error["assistant_message"]["content_json"]["truncated"], true);
    assert_eq!(app.messages(&thread).await.len(), 3);
}

pub(super) async fn two_runs_at_once_are_one(setup: Setup) {
    let world = setup.start().await;
    let answer = response("200 OK", "application/json", r#"{"reply":"once"}"#);
    let agent = Agent::acting(vec![Act::Wait, Act::Write(answer)]).await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;

    let path = app.path(&format!("/threads/{thread}/run"));
    let run = tokio::spawn(app.owner.call("POST", &path).open());
    agent.called().await;
    let mut stream = app.stream(&thread).open().await;
    assert_eq!(super::events::next(&mut stream).await.unwrap().name, "meta");
    agent.go_on();
    let run = run.await.unwrap();
    let last = async {
        let mut last = None;
        while let Some(event) = super::events::next(&mut stream).await {
            last = Some(event);
        }
        last.unwrap()
    };
    assert_eq!(last.await.data["status"], "completed");

    assert_eq!(run.header("x-run-id"), stream.header("x-run-id"));
    assert_eq!(app.messages(&thread).await.len(), 3);
    assert_eq!(agent.received().len(), 1);
}

pub(super) async fn an_agent_that_says_too_much_is_cut_off(setup: Setup) {
    let world = setup.start().await;
    let json = "application/json";
    let long = "x".repeat(256 * 1024 + 1);
    let event = delta(&"x".repeat(64 * 1024));
    let body = format!(r#"{{"reply":"x","padding":"{}"}}"#, "x".repeat(1024 * 1024));
    for answer in [
        response("200 OK", json, json!({"reply": long}).to_string()),
        response("200 OK", json, body),
        response("200 OK", "text/event-stream", event),
    ] {
        let agent = Agent::acting(vec![Act::Write(answer)]).await;
        let (app, thread, run) = run_at(&world, &agent.url()).await;
        assert_failed(&app, &thread, &run, "WEBHOOK_TOO_LARGE", "too large").await;
    }
}

pub(super) async fn a_run_goes_on_when_whoever_asked_is_gone(setup: Setup) {
    let world = setup.start().await;
    let answer = response("200 OK", "application/json", r#"{"reply":"for nobody"}"#);
    let agent = Agent::acting(vec![Act::Wait, Act::Write(answer)]).await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;
    let path = app.path(&format!("/threads/{thread}/run"));
    let asking = tokio::spawn(app.owner.call("POST", &path).open());
    agent.called().await;

    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    agent.go_on();

    assert_eq!(app.reply(&thread).await["content"], "for nobody");
}
