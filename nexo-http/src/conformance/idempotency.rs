//! Requests that are sent again: with an idempotency key they have one effect.

use nexo_core::RunFilter;
use serde_json::{Value, json};

use super::{
    Setup,
    agents::{Act, Agent, response},
    client::{Answer, Call, Caller},
    events::{stream, text},
    world::{App, PASSWORD, World},
};

const REPLAYED: &str = "idempotency-replayed";

/// A body that is sent with this key.
fn keyed(caller: &Caller, path: &str, key: &str, body: &Value) -> Call {
    caller.call("POST", path).header("idempotency-key", key).json(body)
}

/// An answer that repeats an earlier one.
#[track_caller]
fn repeats(answer: &Answer, first: &Answer) {
    assert_eq!(first.header(REPLAYED), None, "{first}");
    assert_eq!(answer.header(REPLAYED), Some("true"), "{answer}");
    assert_eq!(answer.header("x-run-id"), first.header("x-run-id"));
    assert_eq!(answer.ok(), first.ok());
}

async fn new_app(world: &World) -> App {
    App::create(&world.owner().await, json!({})).await
}

async fn run_count(world: &World, app: &App) -> usize {
    let id = app.id.parse().unwrap();
    let (all, any) = (nexo_core::Scope::Everything, RunFilter::default());
    world.store.list_runs(&all, id, &any, None, 200).await.unwrap().items.len()
}

pub(super) async fn a_thread_or_message_with_a_key_is_made_once(setup: Setup) {
    let world = setup.start().await;
    let app = new_app(&world).await;
    let thread = app.thread(json!({})).await;
    let messages = app.path(&format!("/threads/{thread}/messages"));

    for (path, key, body) in [
        (app.path("/threads"), "a", json!({"title": "Rye", "customer_id": "carl"})),
        (messages.clone(), "b", json!({"content": "Is it vegan?"})),
        (format!("{messages}/assistant"), "c", json!({"content": "It is."})),
    ] {
        let first = keyed(&app.owner, &path, key, &body).send().await;
        let again = keyed(&app.owner, &path, key, &body).send().await;
        let other = keyed(&app.owner, &path, &format!("{key} 2"), &body).send().await;

        repeats(&again, &first);
        assert_eq!(other.header(REPLAYED), None);
        assert_ne!(other.ok(), first.ok());
    }

    let threads = app.owner.get(&app.path("/threads")).await.ok();
    assert_eq!(threads["items"].as_array().unwrap().len(), 3);
    assert_eq!(app.messages(&thread).await.len(), 5);
}

pub(super) async fn a_run_with_a_key_is_repeated_and_never_made_again(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::replying("Yes, it is végan.").await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("Is it vegan?").await;
    let run = app.path(&format!("/threads/{thread}/run"));
    let call = |key: &str| app.owner.call("POST", &run).header("idempotency-key", key);
    let streamed = || app.stream(&thread).header("idempotency-key", "streamed");

    let first = call("k").send().await;
    let again = call("k").send().await;
    let whole = stream(streamed()).await;
    let repeated = streamed().open().await;

    repeats(&again, &first);
    assert_eq!(repeated.header(REPLAYED), Some("true"));
    assert_eq!(text(&stream(streamed()).await), text(&whole));
    assert_eq!(agent.received().len(), 2);
    assert_eq!(app.messages(&thread).await.len(), 4);
}

pub(super) async fn a_key_of_another_request_is_refused(setup: Setup) {
    let world = setup.start().await;
    let app = new_app(&world).await;
    let thread = app.thread(json!({})).await;
    let path = app.path(&format!("/threads/{thread}/messages"));
    let hello = json!({"content": "hello"});
    keyed(&app.owner, &path, "k", &hello).send().await.ok();

    for (path, body) in [
        (path.clone(), json!({"content": "hello!"})),
        (format!("{path}/assistant"), hello.clone()),
        (app.path("/threads"), json!({})),
        (app.path(&format!("/threads/{thread}/run")), json!({})),
        (app.path(&format!("/threads/{thread}/runs")), hello),
    ] {
        let answer = keyed(&app.owner, &path, "k", &body).send().await;
        answer.fails(422, "ERROR_IDEMPOTENCY_KEY_REUSED");
    }

    assert_eq!(app.messages(&thread).await.len(), 2);
}

pub(super) async fn a_key_that_is_none_is_refused(setup: Setup) {
    let world = setup.start().await;
    let app = new_app(&world).await;
    let thread = app.asked("hello").await;
    let long = "x".repeat(256);

    for path in ["/threads", "/threads/{}/messages", "/threads/{}/run", "/threads/{}/runs"] {
        let path = app.path(&path.replace("{}", &thread));
        for (key, kind) in [
            ("", "string_too_short"),
            (&*long, "string_too_long"),
            ("tab\there", "value_error"),
            ("é", "value_error"),
        ] {
            let answer = keyed(&app.owner, &path, key, &json!({"content": "x"})).send().await;
            answer.violates(&[(kind, &["header", "idempotency-key"])]);
        }
        let twice = keyed(&app.owner, &path, "one", &json!({"content": "x"}));
        let answer = twice.header("idempotency-key", "another").send().await;
        answer.violates(&[("value_error", &["header", "idempotency-key"])]);
        let longest = format!("{path:~<255}");
        keyed(&app.owner, &path, &longest, &json!({"content": "x"})).send().await.ok();
    }
    let nowhere = "/apps/00000000-0000-0000-0000-000000000000/threads";
    let answer = keyed(&app.owner, nowhere, "", &json!({})).send().await;
    answer.fails(404, "ERROR_APP_NOT_FOUND");
}

pub(super) async fn a_request_that_failed_may_be_tried_again(setup: Setup) {
    let world = setup.start().await;
    let app = new_app(&world).await;
    let thread = app.thread(json!({})).await;
    let run = app.path(&format!("/threads/{thread}/run"));
    let call = || app.owner.call("POST", &run).header("idempotency-key", "k");

    call().send().await.fails(400, "ERROR_NO_USER_MESSAGES");
    app.say(&thread, "hello").await;
    let answer = call().send().await;

    assert_eq!(answer.header(REPLAYED), None);
    assert_eq!(answer.ok()["status"], "completed");
}

/// Neither an owner nor a partner learns by a key what another app's key made.
pub(super) async fn keys_are_an_apps_own(setup: Setup) {
    let world = setup.start().await;
    let secret = json!({"webhook_secret": "s3cret"});
    let (one, other) = (App::create(&world.owner().await, secret).await, new_app(&world).await);
    let (path, body) = (one.path("/threads"), json!({"title": "PRIVATE"}));
    let first = keyed(&one.owner, &path, "k", &body).send().await;

    let partner = keyed(&world.partner(&one.id, "s3cret"), &path, "k", &body).send().await;
    let stranger = keyed(&other.owner, &path, "k", &body).send().await;
    let wrong = keyed(&world.partner(&one.id, "guessed"), &path, "k", &body).send().await;
    let elsewhere = keyed(&other.owner, &other.path("/threads"), "k", &body).send().await;

    repeats(&partner, &first);
    stranger.fails(404, "ERROR_APP_NOT_FOUND");
    wrong.fails(401, "ERROR_PARTNER_API_APP_OR_SECRET_INVALID");
    assert_eq!(elsewhere.header(REPLAYED), None);
    assert_ne!(elsewhere.ok()["thread"]["id"], first.ok()["thread"]["id"]);
}

pub(super) async fn what_a_key_made_and_is_deleted_is_not_found(setup: Setup) {
    let world = setup.start().await;
    let app = new_app(&world).await;
    let (path, body) = (app.path("/threads"), json!({}));
    let first = keyed(&app.owner, &path, "k", &body).send().await.ok();
    let thread = first["thread"]["id"].as_str().unwrap();
    let said = app.path(&format!("/threads/{thread}/messages"));
    keyed(&app.owner, &said, "said", &body).send().await.ok();

    app.owner.delete(&format!("/threads/{thread}")).await.ok();

    let again = keyed(&app.owner, &path, "k", &body).send().await;
    again.fails(404, "ERROR_THREAD_NOT_FOUND");
    let again = keyed(&app.owner, &said, "said", &body).send().await;
    again.fails(404, "ERROR_THREAD_NOT_FOUND");
}

/// Whichever of two servers each request comes to.
pub(super) async fn a_hundred_requests_with_one_key_have_one_effect(setup: Setup) {
    let agent = Agent::replying("Yes, it is végan.").await;
    let (world, second) = (setup.clone().start().await, setup.start().await);
    let app = App::with_webhook(&world, &agent.url()).await;
    let elsewhere = second.sign_in("user0@example.com", PASSWORD).await;
    let thread = app.thread(json!({})).await;
    let body = json!({"content": "Is it vegan?"});

    for rest in ["messages", "runs"] {
        let path = app.path(&format!("/threads/{thread}/{rest}"));
        let calls = (0..100).map(|number| {
            let caller = if number % 2 == 0 { &app.owner } else { &elsewhere };
            keyed(caller, &path, rest, &body).send()
        });
        let answers = futures::future::join_all(calls).await;

        let made = answers.iter().filter(|answer| answer.header(REPLAYED).is_none());
        assert_eq!(made.count(), 1, "{rest}");
        assert!(answers.iter().all(|answer| answer.ok() == answers[0].ok()), "{rest}");
    }

    assert_eq!(app.messages(&thread).await.len(), 4);
    assert_eq!((agent.received().len(), run_count(&world, &app).await), (1, 1));
}

pub(super) async fn one_call_says_something_and_has_it_answered(setup: Setup) {
    let world = setup.start().await;
    let app = new_app(&world).await;
    let thread = app.thread(json!({})).await;
    let path = app.path(&format!("/threads/{thread}/runs"));
    let body = json!({"content": "Is it vegan?", "content_json": {"b": 1, "a": 2}});

    let answer = app.owner.post(&path, body.clone()).await;
    let mut streamed = body;
    streamed["stream"] = json!(true);
    let opened = app.owner.call("POST", &path).json(&streamed);
    let head = opened.clone().open().await;
    let events = stream(opened).await;

    let (shown, messages) = (answer.ok(), app.messages(&thread).await);
    assert_eq!(answer.header("x-run-id"), shown["run_id"].as_str());
    assert_eq!((&shown["status"], &shown["error"]), (&json!("completed"), &Value::Null));
    assert_eq!((&shown["message"], &shown["assistant_message"]), (&messages[1], &messages[2]));
    assert_eq!(messages[1]["content_json"].to_string(), r#"{"a":2,"b":1}"#);
    assert_eq!(messages[1]["role"], "user");
    assert_eq!(head.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert!(head.header("x-run-id").is_some());
    assert_eq!(text(&events), "Echo: Is it vegan?");
}

pub(super) async fn a_question_with_a_key_is_asked_once(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::replying("Yes, it is végan.").await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.thread(json!({})).await;
    let path = app.path(&format!("/threads/{thread}/runs"));
    let whole = || keyed(&app.owner, &path, "whole", &json!({"content": "one"}));
    let streamed =
        || keyed(&app.owner, &path, "streamed", &json!({"content": "two", "stream": true}));

    let first = whole().send().await;
    let again = whole().send().await;
    let texts = [text(&stream(streamed()).await), text(&stream(streamed()).await)];

    repeats(&again, &first);
    assert_eq!(texts, ["Yes, it is végan.", "Yes, it is végan."]);
    assert_eq!(streamed().open().await.header(REPLAYED), Some("true"));
    assert_eq!(agent.received().len(), 2);
    assert_eq!(app.messages(&thread).await.len(), 5);
}

pub(super) async fn where_an_answer_is_refused_nothing_is_said(setup: Setup) {
    let world = setup.start().await;
    let later = response("202 Accepted", "application/json", "{}");
    let agent = Agent::acting(vec![Act::Write(later)]).await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.thread(json!({})).await;
    let path = app.path(&format!("/threads/{thread}/runs"));
    let busy = json!({"content": "one", "stream": true});
    let opened = app.owner.call("POST", &path).json(&busy).open().await;
    let run = opened.header("x-run-id").unwrap().to_owned();

    for stream in [true, false] {
        let body = json!({"content": "two", "stream": stream, "overlap": "reject"});
        let refused = keyed(&app.owner, &path, "k", &body).send().await;
        refused.fails(409, "ERROR_RUN_ACTIVE");
    }

    assert_eq!(app.messages(&thread).await.len(), 2);
    let cancel = app.path(&format!("/runs/{run}/cancel"));
    app.owner.call("POST", &cancel).send().await.ok();
}

pub(super) async fn what_is_wrong_with_a_question_is_told(setup: Setup) {
    let world = setup.start().await;
    let secret = json!({"webhook_secret": "s3cret"});
    let app = App::create(&world.owner().await, secret).await;
    let thread = app.thread(json!({})).await;
    let path = app.path(&format!("/threads/{thread}/runs"));

    for (field, value, kind) in [
        ("content", json!(1), "string_type"),
        ("content_json", json!([]), "dict_type"),
        ("stream", json!("perhaps"), "bool_parsing"),
        ("overlap", json!("nonsense"), "literal_error"),
        ("debounce_ms", json!(60_001), "less_than_equal"),
        ("debounce_ms", json!(-1), "greater_than_equal"),
        ("debounce_ms", json!(1.5), "int_parsing"),
    ] {
        let answer = app.owner.post(&path, json!({(field): value})).await;
        answer.violates(&[(kind, &["body", field])]);
    }
    let elsewhere = app.path("/threads/00000000-0000-0000-0000-000000000000/runs");
    app.owner.post(&elsewhere, json!({})).await.fails(404, "ERROR_THREAD_NOT_FOUND");
    let partner = world.partner(&app.id, "s3cret");
    partner.post(&path, json!({"content": "x"})).await.fails(401, "Unauthorized");
    let config = json!({"config_json": {"partner": {"scopes": ["runs:write"]}}});
    app.owner.patch(&app.path(""), config).await.ok();
    partner.post(&path, json!({"content": "x", "debounce_ms": 1})).await.ok();
    assert_eq!(app.messages(&thread).await.len(), 3);
}
