//! Runs that are streamed: framing, order, and what becomes of them.

use std::time::Duration;

use nexo_core::NewApp;
use serde_json::json;

use super::{
    Setup,
    agents::{Act, Agent, delta, stream_head},
    client::Sizes,
    events::{event, forgetful, names, next, stream, text},
    world::App,
};
use crate::{Settings, Throttle};

pub(super) async fn a_stream_has_its_headers_and_comes_in_chunks(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("Is it vegan?").await;

    let stream = app.stream(&thread).open().await;

    assert_eq!(stream.status, 200);
    for (name, value) in [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("x-accel-buffering", "no"),
        ("transfer-encoding", "chunked"),
    ] {
        assert_eq!(stream.header(name), Some(value));
    }
    // To say it is the same as to say nothing, and a framework may decide that.
    assert!(matches!(stream.header("connection"), Some("keep-alive") | None));
    assert!(stream.header("x-run-id").is_some());
}

pub(super) async fn the_simulator_streams_in_deltas_of_twenty_characters(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let said = "Ist das Roggenbrot végan? 😀 \n\r\u{2028}Danke!";
    let thread = app.asked(said).await;

    let events = stream(app.stream(&thread)).await;

    assert_eq!(names(&events), ["meta", "delta", "done"]);
    assert_eq!(events[0].data, json!({"source": "simulator"}));
    assert_eq!(text(&events), format!("Echo: {said}"));
    let lengths: Vec<usize> = events
        .iter()
        .filter(|event| event.name == "delta")
        .map(|event| event.data["text"].as_str().unwrap().chars().count())
        .collect();
    let (last, full) = lengths.split_last().unwrap();
    assert!(full.iter().all(|length| *length == 20) && (1..=20).contains(last), "{lengths:?}");
}

pub(super) async fn a_streamed_reply_is_stored_before_it_is_done(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("Is it vegan?").await;

    let mut events = app.stream(&thread).open().await;
    let done = loop {
        let event = next(&mut events).await.unwrap();
        if event.name == "done" {
            break event.data;
        }
    };

    let stored = app.messages(&thread).await[2].clone();
    let expected = json!({"status": "completed", "message_id": stored["id"], "seq": 3});
    assert_eq!(done, expected);
    assert_eq!(stored["content"], "Echo: Is it vegan?");
    assert_eq!(stored["content_json"], json!({"source": "simulator"}));
    assert!(next(&mut events).await.is_none());
}

pub(super) async fn a_client_that_forgets_half_read_events_misses_nothing(setup: Setup) {
    let world = setup.start().await;
    let long: String = (0..3_000).map(|number| format!("{number} é ")).collect();
    let agent = Agent::replying(&long).await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;

    let mut stream = app.stream(&thread).open().await;
    let mut reads = Vec::new();
    while let Some(chunk) = stream.chunk().await {
        reads.push(chunk);
    }

    let seen = forgetful(&reads);
    assert_eq!(names(&seen), ["meta", "delta", "done"]);
    assert_eq!(text(&seen), long);
    for delta in seen.iter().filter(|event| event.name == "delta") {
        assert!(delta.data["text"].as_str().unwrap().len() <= 1024);
    }
    let done = &seen.last().unwrap().data;
    assert_eq!(done["status"], "completed");
    assert!(done["message_id"].is_string());
    assert_eq!(app.messages(&thread).await[2]["content"], long);
}

/// Half an event is forgotten there, so some are missed; but none is taken for another.
pub(super) async fn a_client_that_reads_any_number_of_bytes_is_not_misled(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let said = "Is the rye bread végan? 😀 ".repeat(20);
    let thread = app.asked(&said).await;
    for seed in 1..=20 {
        let mut stream = app.stream(&thread).open().await;
        stream.read_in(Sizes::seeded(seed));
        let mut chunks = Vec::new();
        while let Some(chunk) = stream.chunk().await {
            chunks.push(chunk);
        }

        let whole = forgetful(&chunks);
        let cut = forgetful(&Sizes::seeded(seed).cut(&chunks.concat()));

        assert_eq!(names(&whole), ["meta", "delta", "done"], "seed {seed}");
        assert_eq!(text(&whole), format!("Echo: {said}"), "seed {seed}");
        let mut rest = whole.iter();
        assert!(cut.iter().all(|seen| rest.any(|event| event == seen)), "seed {seed}: {cut:?}");
    }
}

pub(super) async fn a_stream_says_why_the_simulator_answers(setup: Setup) {
    let world = setup.start().await;
    let config = json!({"config_json": {"integration": {"mode": "webhook"}}});
    let app = App::create(&world.owner().await, config).await;
    let thread = app.asked("hello").await;

    let events = stream(app.stream(&thread)).await;

    let expected = json!({"source": "simulator", "reason": "webhook_not_configured"});
    assert_eq!(events[0].data, expected);
}

pub(super) async fn a_reply_that_came_at_once_is_streamed(setup: Setup) {
    let world = setup.start().await;
    for reply in ["Yes, flour, water, salt.", ""] {
        let agent = Agent::replying(reply).await;
        let app = App::with_webhook(&world, &agent.url()).await;
        let thread = app.asked("hello").await;

        let events = stream(app.stream(&thread)).await;

        assert_eq!(events[0].data, json!({"source": "webhook"}));
        assert_eq!(text(&events), reply);
        assert_eq!(events.last().unwrap().data["status"], "completed");
        assert_eq!(app.messages(&thread).await[2]["content"], reply);
    }
}

pub(super) async fn what_an_agent_streams_goes_on_at_once(setup: Setup) {
    let world = setup.start().await;
    let done = "event: done\ndata: {}\n\n";
    let agent = Agent::acting(vec![
        stream_head(),
        Act::Write(delta("Yes, ").into()),
        Act::Wait,
        Act::Write([delta("it "), delta("is.")].concat().into()),
        Act::Wait,
        Act::Write(done.into()),
    ])
    .await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;

    let mut events = app.stream(&thread).open().await;
    assert_eq!(next(&mut events).await.unwrap().data, json!({"source": "webhook"}));
    assert_eq!(next(&mut events).await.unwrap().data, json!({"text": "Yes, "}));
    agent.go_on();
    assert_eq!(next(&mut events).await.unwrap().data, json!({"text": "it "}));
    assert_eq!(next(&mut events).await.unwrap().data, json!({"text": "is."}));
    assert_eq!(app.messages(&thread).await.len(), 2);
    agent.go_on();

    let end = next(&mut events).await.unwrap();
    let stored = app.messages(&thread).await[2].clone();
    assert_eq!(end.data, json!({"status": "completed", "message_id": stored["id"], "seq": 3}));
    assert_eq!(stored["content"], "Yes, it is.");
    assert_eq!(stored["content_json"], json!({"source": "webhook"}));
}

pub(super) async fn an_agents_stream_is_read_however_it_is_written(setup: Setup) {
    let world = setup.start().await;
    let written = "\u{feff}: hello\r\n\r\nevent: delta\r\ndata: {\"text\":\r\ndata: \"Grüße \"}\r\n\r\n\
                   event:delta\rdata:{\"delta\":\"😀\"}\r\rid: 7\nretry: 10\nevent: thought\n\
                   data: not json\n\nevent: delta\ndata: {\"text\":\" 你好\",\"n\":1}\n\n\
                   event: done\ndata: {}\n\n";
    let bytes = written.as_bytes().iter().map(|byte| Act::Write(vec![*byte]));
    let agent = Agent::acting(std::iter::once(stream_head()).chain(bytes).collect()).await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;

    let events = stream(app.stream(&thread)).await;

    assert_eq!(text(&events), "Grüße 😀 你好");
    assert_eq!(events.last().unwrap().data["status"], "completed");
}

pub(super) async fn a_failed_stream_ends_with_error_and_done(setup: Setup) {
    let world = setup.start().await;
    let json = "application/json";
    for (kind, body, key) in [
        (json, "SECRET-BODY", "WEBHOOK_INVALID_JSON"),
        (json, "{}", "WEBHOOK_MISSING_REPLY"),
        ("text/html", "<p>SECRET-BODY", "WEBHOOK_BAD_CONTENT_TYPE"),
        ("text/event-stream", "event: done\n", "ERROR_NO_REPLY"),
        ("text/event-stream", "event: delta\ndata: {\"text\":\n\n", "WEBHOOK_INVALID_STREAM"),
    ] {
        let agent = Agent::answering(kind, body).await;
        let app = App::with_webhook(&world, &agent.url()).await;
        let thread = app.asked("hello").await;

        let events = stream(app.stream(&thread)).await;

        assert_eq!(names(&events), ["meta", "error", "done"], "{body}");
        assert_eq!(events[1].data["message"], key, "{body}");
        assert_eq!(events[1].data["code"], key);
        assert!(events[1].data["detail"].is_string());
        assert!(!events[1].data.to_string().contains("SECRET"));
        assert_eq!(events[2].data, json!({"status": "error"}));
        assert_eq!(app.messages(&thread).await.len(), 2);
    }
}

pub(super) async fn a_failed_stream_says_what_was_kept(setup: Setup) {
    let world = setup.start().await;
    let failing = [delta("Half a"), "event: error\ndata: {}\n\n".into(), delta("x")].concat();
    let failing = Agent::streaming(&failing).await;
    let app = App::with_webhook(&world, &failing.url()).await;
    let thread = app.asked("hello").await;

    let events = stream(app.stream(&thread)).await;

    assert_eq!(names(&events), ["meta", "delta", "error", "done"]);
    let stored = app.messages(&thread).await[2].clone();
    let expected = json!({"status": "error", "message_id": stored["id"], "seq": 3});
    assert_eq!(events[3].data, expected);
    assert_eq!(stored["content"], "Half a");
}

pub(super) async fn a_stream_that_just_stops_is_completed_as_truncated(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::streaming(&delta("Half a")).await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;

    let events = stream(app.stream(&thread)).await;

    assert_eq!(names(&events), ["meta", "delta", "done"]);
    assert_eq!(events[2].data["status"], "completed");
    assert_eq!(app.messages(&thread).await[2]["content_json"]["truncated"], true);
}

pub(super) async fn a_reply_is_stored_when_its_reader_is_gone(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::acting(vec![
        stream_head(),
        Act::Write(delta("Yes, ").into()),
        Act::Wait,
        Act::Write([delta("it is."), "event: done\ndata: {}\n\n".into()].concat().into()),
    ])
    .await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;
    let mut events = app.stream(&thread).open().await;
    next(&mut events).await.unwrap();
    next(&mut events).await.unwrap();

    drop(events);
    agent.go_on();

    let stored = app.reply(&thread).await;
    assert_eq!(stored["content"], "Yes, it is.");
    assert_eq!(stored["content_json"], json!({"source": "webhook"}));
}

pub(super) async fn a_second_reader_sees_the_run_from_its_start(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::acting(vec![
        stream_head(),
        Act::Write(delta("Yes, ").into()),
        Act::Wait,
        Act::Write([delta("it is."), "event: done\ndata: {}\n\n".into()].concat().into()),
    ])
    .await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;
    let mut first = app.stream(&thread).open().await;
    next(&mut first).await.unwrap();
    next(&mut first).await.unwrap();

    let mut second = app.stream(&thread).open().await;
    assert_eq!(second.header("x-run-id"), first.header("x-run-id"));
    assert_eq!(next(&mut second).await.unwrap().data, json!({"source": "webhook"}));
    assert_eq!(next(&mut second).await.unwrap().data, json!({"text": "Yes, "}));
    agent.go_on();

    for stream in [&mut first, &mut second] {
        assert_eq!(next(stream).await.unwrap().data, json!({"text": "it is."}));
        assert_eq!(next(stream).await.unwrap().data["status"], "completed");
    }
    assert_eq!(agent.received().len(), 1);
    assert_eq!(app.messages(&thread).await.len(), 3);
}

pub(super) async fn silence_is_broken_by_comments(setup: Setup) {
    let settings = Settings { heartbeat: Duration::from_millis(20), ..Settings::default() };
    let world = setup.start_with(settings, Throttle::off()).await;
    let agent = Agent::acting(vec![Act::Wait]).await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;

    let mut stream = app.stream(&thread).open().await;
    assert_eq!(next(&mut stream).await.unwrap().name, "meta");

    for _ in 0..2 {
        let comment = stream.chunk().await.unwrap();
        assert!(comment.starts_with(b":"), "{comment:?}");
        assert_eq!(event(&comment), None);
    }
    agent.go_on();
    assert_eq!(next(&mut stream).await.unwrap().name, "error");
    assert_eq!(next(&mut stream).await.unwrap().name, "done");
}

pub(super) async fn what_is_wrong_beforehand_is_told_by_status(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;
    let app = App::create(&owner, json!({})).await;
    let other = App::create(&owner, json!({})).await;
    let thread = app.asked("hello").await;
    let get = async |path: String| owner.get(&path).await;
    let unknown = nexo_core::ThreadId::new();

    world
        .nobody()
        .get(&app.path(&format!("/threads/{thread}/run/stream")))
        .await
        .fails(401, "Unauthorized");
    get(app.path("/threads/x/run/stream"))
        .await
        .violates(&[("uuid_parsing", &["path", "thread_id"])]);
    get("/apps/y/threads/x/run/stream".into()).await.violates(&[
        ("uuid_parsing", &["path", "app_id"]),
        ("uuid_parsing", &["path", "thread_id"]),
    ]);
    get(app.path(&format!("/threads/{unknown}/run/stream")))
        .await
        .fails(404, "ERROR_THREAD_NOT_FOUND");
    get(other.path(&format!("/threads/{thread}/run/stream")))
        .await
        .fails(404, "ERROR_THREAD_NOT_FOUND");
    let nowhere = format!("/apps/{}/threads/{thread}/run/stream", nexo_core::AppId::new());
    get(nowhere).await.fails(404, "ERROR_APP_NOT_FOUND");
}

pub(super) async fn a_refused_address_ends_a_stream_with_error_and_done(setup: Setup) {
    let world = setup.start().await;
    let (user, owner) = world.sign_up().await;
    let config = r#"{"integration":{"mode":"webhook"},"webhook":7}"#.parse().unwrap();
    let webhook_url = Some("http://10.0.0.1/".to_owned());
    let old = NewApp { webhook_url, config, ..NewApp::new(user.id.into(), "old") };
    let old = world.store.create_app(old).await.unwrap();
    let app = App { owner, id: old.id.to_string() };
    let thread = app.asked("hello").await;

    let events = stream(app.stream(&thread)).await;

    assert_eq!(names(&events), ["meta", "error", "done"]);
    assert_eq!(events[1].data["message"], "WEBHOOK_URL_BLOCKED");
    assert!(!events[1].data.to_string().contains("10.0.0.1"));
    assert_eq!(events[2].data, json!({"status": "error"}));
}

pub(super) async fn a_thread_that_is_deleted_under_way_ends_its_stream(setup: Setup) {
    let world = setup.start().await;
    let done = [delta("too late"), "event: done\ndata: {}\n\n".into()].concat();
    let acts =
        vec![stream_head(), Act::Write(delta("Yes, ").into()), Act::Wait, Act::Write(done.into())];
    let agent = Agent::acting(acts).await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;
    let mut events = app.stream(&thread).open().await;
    assert_eq!(next(&mut events).await.unwrap().name, "meta");
    assert_eq!(next(&mut events).await.unwrap().name, "delta");

    app.owner.delete(&format!("/threads/{thread}")).await.ok();
    agent.go_on();

    let mut rest = Vec::new();
    while let Some(event) = next(&mut events).await {
        rest.push(event);
    }
    rest.retain(|event| event.name != "delta");
    assert_eq!(names(&rest), ["error", "done"]);
    assert_eq!(rest[1].data, json!({"status": "error"}));
}
