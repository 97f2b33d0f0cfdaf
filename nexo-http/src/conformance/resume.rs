//! Runs beyond the request that asked for them: read on after a break, shown, stopped, and
//! answered later.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Setup,
    agents::{Act, Agent, delta, response, stream_head},
    client::{Caller, Stream},
    events::{Event, names, next, text},
    world::{App, World},
};
use crate::{Settings, Throttle};

/// An agent that says something, and goes on when it is told to.
async fn hesitant() -> Agent {
    let end = [delta("is végan."), "event: done\ndata: {}\n\n".into()].concat();
    let acts = vec![stream_head(), Act::Write(delta("Yes, it ").into()), Act::Wait];
    Agent::acting([acts, vec![Act::Write(end.into())]].concat()).await
}

/// All that comes until the stream ends.
async fn rest(mut stream: Stream) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = next(&mut stream).await {
        events.push(event);
    }
    events
}

fn run_of(stream: &Stream) -> String {
    stream.header("x-run-id").unwrap().to_owned()
}

/// The paths under which a reader can go on with a run.
fn paths(app: &App, thread: &str, run: &str) -> [String; 2] {
    [app.path(&format!("/threads/{thread}/run/stream")), app.path(&format!("/runs/{run}/events"))]
}

/// Goes on after an event, as a browser does and as a query does.
async fn resumed(caller: &Caller, path: &str, id: &str) -> [Stream; 2] {
    let header = caller.call("GET", path).header("last-event-id", id).open().await;
    let query = caller.call("GET", &format!("{path}?after={id}")).open().await;
    [header, query]
}

pub(super) async fn a_reader_goes_on_after_any_event(setup: Setup) {
    let world = setup.start().await;
    let long: String = (0..400).map(|number| format!("{number} é ")).collect();
    let agent = Agent::replying(&long).await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;
    let opened = app.stream(&thread).open().await;
    let run = run_of(&opened);
    let whole = rest(opened).await;
    assert!(whole.len() > 4);

    for (seen, event) in whole.iter().enumerate() {
        let id = event.id.as_ref().unwrap();
        for path in paths(&app, &thread, &run) {
            for stream in resumed(&app.owner, &path, id).await {
                if event.name == "done" {
                    assert_eq!(stream.status, 204, "there is nothing more");
                    continue;
                }
                assert_eq!((stream.status, run_of(&stream)), (200, run.clone()));
                let after = rest(stream).await;
                assert_eq!(after[0].name, "meta", "once for each connection");
                assert_eq!(after[1..], whole[seen + 1..]);
            }
        }
    }
    assert_eq!(agent.received().len(), 1, "nobody made another run");
}

/// A browser that comes back asks for the same address, and says in a header what it has seen.
pub(super) async fn a_header_is_newer_than_the_query(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::replying(&"long ".repeat(500)).await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;
    let opened = app.stream(&thread).open().await;
    let run = run_of(&opened);
    let whole = rest(opened).await;
    let [first, second] = [1, 2].map(|seen| whole[seen].id.clone().unwrap());

    for path in paths(&app, &thread, &run) {
        let path = format!("{path}?after={first}");
        let again = app.owner.call("GET", &path).header("last-event-id", &second).open().await;
        assert_eq!(rest(again).await[1..], whole[3..]);
        let anew = app.owner.call("GET", &path).header("last-event-id", "").open().await;
        assert_eq!(rest(anew).await[1..], whole[2..]);
    }
}

pub(super) async fn a_reader_goes_on_while_the_run_is_under_way(setup: Setup) {
    let world = setup.start().await;
    let agent = hesitant().await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;
    let mut first = app.stream(&thread).open().await;
    let run = run_of(&first);
    next(&mut first).await.unwrap();
    let seen = next(&mut first).await.unwrap();
    drop(first);

    let mut readers = Vec::new();
    for path in paths(&app, &thread, &run) {
        readers.extend(resumed(&app.owner, &path, seen.id.as_ref().unwrap()).await);
    }
    agent.go_on();

    for reader in readers {
        let after = rest(reader).await;
        assert_eq!(names(&after), ["meta", "delta", "done"]);
        assert_eq!(text(&after), "is végan.");
    }
    assert_eq!(app.reply(&thread).await["content"], "Yes, it is végan.");
}

pub(super) async fn only_who_can_go_on_is_told_when(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("hello").await;
    let mut opened = app.stream(&thread).open().await;
    let first = opened.chunk().await.unwrap();
    assert!(first.starts_with(b"event: meta\n"));
    let id = super::events::event(&first).unwrap().id.unwrap();

    let path = &paths(&app, &thread, &run_of(&opened))[1];
    for mut stream in resumed(&app.owner, path, &id).await {
        assert!(stream.chunk().await.unwrap().starts_with(b"retry: "));
    }
}

pub(super) async fn a_cursor_that_nobody_was_given_is_refused(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::replying("é").await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;
    let opened = app.stream(&thread).open().await;
    let run = run_of(&opened);
    rest(opened).await;
    let foreign = App::create(&world.owner().await, json!({})).await;
    let elsewhere = foreign.asked("hello").await;
    let opened = foreign.stream(&elsewhere).open().await;
    let stranger = run_of(&opened);
    rest(opened).await;

    for cursor in [
        "x".into(),
        "7".into(),
        run.clone(),
        format!("{run}.1.0"),
        format!("{run}.1.1.0"),
        format!("{run}.1.3.0"),
        format!("{run}.1.2.2"),
        format!("{run}.1.0.1"),
        format!("{run}.2.0.0"),
        format!("{run}.-1.0.0"),
        format!("{run}.1.99999999999.0"),
        format!("{run}.1.0.0.0"),
        format!("{stranger}.1.0.0"),
        format!("{}.1.0.0", nexo_core::RunId::new()),
    ] {
        for path in paths(&app, &thread, &run) {
            let header = app.owner.call("GET", &path).header("last-event-id", &cursor);
            header.send().await.fails(400, "ERROR_INVALID_CURSOR");
            let query = app.owner.get(&format!("{path}?after={cursor}")).await;
            query.fails(400, "ERROR_INVALID_CURSOR");
        }
    }
    let odd =
        app.owner.call("GET", &paths(&app, &thread, &run)[0]).header("last-event-id", b"\xe9");
    odd.send().await.fails(400, "ERROR_INVALID_CURSOR");
    assert_eq!(agent.received().len(), 1);
}

pub(super) async fn a_run_is_watched_and_shown_on_its_own_path(setup: Setup) {
    let world = setup.start().await;
    let agent = hesitant().await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;
    let opened = app.stream(&thread).open().await;
    let run = run_of(&opened);
    let path = app.path(&format!("/runs/{run}"));
    let shown = app.owner.get(&path).await.ok();
    assert_eq!((&shown["state"], &shown["attempt"]), (&json!("running"), &json!(1)));
    let watched = app.owner.call("GET", &format!("{path}/events")).open().await;

    agent.go_on();

    assert_eq!(rest(opened).await, rest(watched).await);
    let shown = app.owner.get(&path).await.ok();
    let reply = app.messages(&thread).await[2]["id"].clone();
    assert_eq!((&shown["state"], &shown["reply_id"]), (&json!("completed"), &reply));
    assert_eq!((&shown["id"], &shown["thread_id"]), (&json!(run), &json!(thread)));
    assert_eq!((&shown["error"], &shown["message_seq"]), (&Value::Null, &json!(2)));
    let again = app.owner.call("GET", &format!("{path}/events")).open().await;
    assert_eq!(text(&rest(again).await), "Yes, it is végan.");
    let unknown = app.path(&format!("/runs/{}", nexo_core::RunId::new()));
    app.owner.get(&unknown).await.fails(404, "ERROR_RUN_NOT_FOUND");
    app.owner.get(&format!("{unknown}/events")).await.fails(404, "ERROR_RUN_NOT_FOUND");
}

pub(super) async fn runs_are_listed_by_app_and_by_thread(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let (one, two) = (app.asked("hello").await, app.asked("hello").await);
    for thread in [&one, &two, &one] {
        app.run(thread).await;
    }
    let list = |path: String| {
        let app = &app;
        async move {
            let page = app.owner.get(&app.path(&path)).await.ok();
            let items = page["items"].as_array().unwrap().clone();
            let threads = items.iter().map(|run| run["thread_id"].as_str().unwrap().to_owned());
            (threads.collect::<Vec<_>>(), page["next_cursor"].clone())
        }
    };

    assert_eq!(list("/runs".into()).await.0, [one.clone(), two.clone(), one.clone()]);
    assert_eq!(list(format!("/threads/{two}/runs")).await, (vec![two.clone()], Value::Null));
    let (first, cursor) = list("/runs?limit=2".into()).await;
    assert_eq!(first, [one.clone(), two.clone()]);
    let rest = list(format!("/runs?limit=2&cursor={}", cursor.as_str().unwrap())).await;
    assert_eq!(rest, (vec![one.clone()], Value::Null));
    assert_eq!(list("/runs?state=failed,completed".into()).await.0.len(), 3);
    assert!(list("/runs?state=failed,nonsense".into()).await.0.is_empty());
    let forged = app.owner.get(&app.path("/runs?cursor=x")).await;
    forged.fails(400, "ERROR_INVALID_CURSOR");
}

pub(super) async fn a_run_that_is_stopped_keeps_what_was_said(setup: Setup) {
    let world = setup.start().await;
    for by_thread in [true, false] {
        let agent = hesitant().await;
        let app = App::with_webhook(&world, &agent.url()).await;
        let thread = app.asked("hello").await;
        let mut opened = app.stream(&thread).open().await;
        let run = run_of(&opened);
        next(&mut opened).await.unwrap();
        next(&mut opened).await.unwrap();
        let path = format!("/runs/{run}/cancel");

        let stopped = if by_thread {
            app.owner.delete(&app.path(&format!("/threads/{thread}/run"))).await
        } else {
            app.owner.call("POST", &app.path(&path)).send().await
        };

        assert_eq!((&stopped.ok()["id"], &stopped.ok()["stopping"]), (&json!(run), &json!(true)));
        let after = rest(opened).await;
        assert_eq!(names(&after), ["done"]);
        assert_eq!(after[0].data["status"], "completed");
        let kept = app.messages(&thread).await[2].clone();
        assert_eq!(kept["content"], "Yes, it ");
        assert_eq!(kept["content_json"]["finish"], "cancelled");
        let shown = app.owner.get(&app.path(&format!("/runs/{run}"))).await.ok();
        assert_eq!((&shown["state"], &shown["stopping"]), (&json!("cancelled"), &json!(false)));
        let again = app.owner.call("POST", &app.path(&path)).send().await;
        again.fails(409, "ERROR_RUN_ENDED");
        let none = app.owner.delete(&app.path(&format!("/threads/{thread}/run"))).await;
        none.fails(404, "ERROR_RUN_NOT_FOUND");
    }
}

pub(super) async fn a_busy_thread_does_as_it_is_asked(setup: Setup) {
    let world = setup.start().await;
    for (overlap, status, first) in [
        ("queue", 200, vec!["Yes, it is végan."]),
        ("interrupt", 200, vec!["Yes, it "]),
        ("merge", 200, vec![]),
        ("reject", 409, vec!["Yes, it is végan."]),
    ] {
        let agent = hesitant().await;
        let app = App::with_webhook(&world, &agent.url()).await;
        let thread = app.asked("one").await;
        let mut opened = app.stream(&thread).open().await;
        next(&mut opened).await.unwrap();
        next(&mut opened).await.unwrap();
        app.say(&thread, "two").await;
        let path = app.path(&format!("/threads/{thread}/run/stream?overlap={overlap}"));

        let second = app.owner.call("POST", &path).open().await;
        assert_eq!(second.status, status, "{overlap}");
        if matches!(overlap, "queue" | "reject") {
            agent.go_on();
        }
        // What is stopped ends by itself; its agent may still wait for the word to go on.
        rest(opened).await;
        agent.go_on();
        agent.go_on();
        if status == 200 {
            assert_eq!(text(&rest(second).await), "Yes, it is végan.", "{overlap}");
        }

        let replies = app.messages(&thread).await.into_iter().skip(1);
        let replies = replies.filter(|message| message["role"] == "assistant");
        let texts: Vec<Value> = replies.map(|reply| reply["content"].clone()).collect();
        let mut expected: Vec<Value> = first.into_iter().map(Value::from).collect();
        expected.extend((status == 200).then(|| json!("Yes, it is végan.")));
        assert_eq!(texts, expected, "{overlap}");
    }
}

pub(super) async fn what_is_wrong_with_a_wish_is_told(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("hello").await;
    for path in ["run", "run/stream"] {
        let method = if path == "run" { "POST" } else { "GET" };
        for (query, kind, field) in [
            ("overlap=nonsense", "literal_error", "overlap"),
            ("debounce_ms=-1", "greater_than_equal", "debounce_ms"),
            ("debounce_ms=60001", "less_than_equal", "debounce_ms"),
            ("debounce_ms=x", "int_parsing", "debounce_ms"),
        ] {
            let path = app.path(&format!("/threads/{thread}/{path}?{query}"));
            let answer = app.owner.call(method, &path).send().await;
            answer.violates(&[(kind, &["query", field])]);
        }
    }
    let config = json!({"config_json": {"runs": {"overlap": "nonsense", "debounce_ms": 60_001}}});
    app.owner.patch(&app.path(""), config).await.violates(&[
        ("literal_error", &["body", "config_json", "runs", "overlap"]),
        ("less_than_equal", &["body", "config_json", "runs", "debounce_ms"]),
    ]);
}

pub(super) async fn a_burst_is_answered_once(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::replying("to both").await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("one").await;
    let path = app.path(&format!("/threads/{thread}/run/stream?debounce_ms=300"));
    let first = app.owner.call("GET", &path).open().await;
    app.say(&thread, "two").await;

    let second = app.owner.call("GET", &path).open().await;

    assert_eq!(run_of(&first), run_of(&second));
    assert_eq!(text(&rest(first).await), "to both");
    assert_eq!(text(&rest(second).await), "to both");
    assert_eq!(agent.received().len(), 1);
    assert_eq!(agent.received()[0].json()["message"]["content"], "two");
}

/// An app whose agent answers later, which nobody waits for long.
async fn answering_later(setup: Setup) -> (World, Agent, App) {
    let settings = Settings { run_wait: Duration::from_millis(200), ..Settings::default() };
    let world = setup.start_with(settings, Throttle::off()).await;
    let later = response("202 Accepted", "application/json", "{}");
    let agent = Agent::acting(vec![Act::Write(later)]).await;
    let app = App::with_webhook(&world, &agent.url()).await;
    (world, agent, app)
}

pub(super) async fn an_agent_may_answer_later(setup: Setup) {
    let (_world, agent, app) = answering_later(setup).await;
    let thread = app.asked("hello").await;

    let waiting = app.run(&thread).await;
    let expected = json!({"status": "error", "assistant_message": null, "error": "RUN_WAITING"});
    assert_eq!(waiting, expected);
    let stream = app.stream(&thread).open().await;
    let path = app.path(&format!("/runs/{}", run_of(&stream)));
    assert_eq!(app.owner.get(&path).await.ok()["state"], "waiting");
    let nothing = app.owner.post(&format!("{path}/reply"), json!({"reply": null})).await;
    nothing.violates(&[("string_type", &["body", "reply"])]);
    let reply = app.owner.post(&format!("{path}/reply"), json!({"reply": 42})).await.ok();

    assert_eq!((&reply["content"], &reply["seq"]), (&json!("42"), &json!(3)));
    let events = rest(stream).await;
    assert_eq!(text(&events), "42");
    assert_eq!(events.last().unwrap().data["message_id"], reply["id"]);
    let twice = app.owner.post(&format!("{path}/reply"), json!({"reply": "again"})).await;
    twice.fails(409, "ERROR_RUN_ENDED");
    assert_eq!(agent.received().len(), 1);
}

pub(super) async fn who_watches_a_run_shows_now_and_then_that_they_may(setup: Setup) {
    let settings = Settings { feed_lifetime: Duration::from_millis(50), ..Settings::default() };
    let world = setup.start_with(settings, Throttle::off()).await;
    let agent = hesitant().await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;
    let asked = app.stream(&thread).open().await;
    let path = app.path(&format!("/runs/{}/events", run_of(&asked)));

    let mut watch = app.owner.call("GET", &path).open().await;
    let mut last = Vec::new();
    while let Some(chunk) = watch.chunk().await {
        last = chunk;
    }
    agent.go_on();

    assert_eq!(last, b"retry: 200\n\n");
    assert_eq!(text(&rest(asked).await), "Yes, it is végan.", "who asked is told everything");
}

/// Nobody knows when its turn comes.
pub(super) async fn a_run_behind_a_late_answer_is_not_waited_for_either(setup: Setup) {
    let (_world, agent, app) = answering_later(setup).await;
    let thread = app.asked("one").await;
    assert_eq!(app.run(&thread).await["error"], "RUN_WAITING");

    let path = app.path(&format!("/threads/{thread}/runs"));
    let behind = app.owner.post(&path, json!({"content": "two"})).await.ok();

    assert_eq!((&behind["status"], &behind["error"]), (&json!("error"), &json!("RUN_WAITING")));
    let path = app.path(&format!("/runs/{}", behind["run_id"].as_str().unwrap()));
    assert_eq!(app.owner.get(&path).await.ok()["state"], "queued");
    assert_eq!(agent.received().len(), 1);
}

/// While their agents speak, large requests keep nobody else from sending theirs.
pub(super) async fn a_body_takes_up_no_room_while_its_agent_speaks(setup: Setup) {
    const KIB: usize = 1_024;
    let settings =
        Settings { max_body_bytes: 64 * KIB, max_bodies_bytes: 64 * KIB, ..Settings::default() };
    let world = setup.start_with(settings, Throttle::off()).await;
    let agent = hesitant().await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let (one, other) = (app.thread(json!({})).await, app.thread(json!({})).await);
    let large = json!({"content": "x".repeat(40 * KIB)});
    let path = app.path(&format!("/threads/{one}/runs"));
    let slow = app.owner.call("POST", &path).json(&large);
    let slow = tokio::spawn(async move { slow.send().await });
    agent.called().await;

    let path = app.path(&format!("/threads/{other}/messages"));
    app.owner.post(&path, large).await.ok();

    agent.go_on();
    assert_eq!(slow.await.unwrap().status, 200);
}

pub(super) async fn a_run_that_does_not_wait_takes_no_answer(setup: Setup) {
    let world = setup.start().await;
    let agent = hesitant().await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;
    let opened = app.stream(&thread).open().await;
    let path = app.path(&format!("/runs/{}/reply", run_of(&opened)));

    app.owner.post(&path, json!({"reply": "x"})).await.fails(409, "ERROR_RUN_NOT_WAITING");

    agent.go_on();
    rest(opened).await;
}

/// As with other scopes, an app decides what its partners may.
pub(super) async fn partners_see_and_stop_runs_if_they_may(setup: Setup) {
    let world = setup.start().await;
    let secret = json!({"webhook_secret": "s3cret"});
    let app = App::create(&world.owner().await, secret).await;
    let thread = app.asked("hello").await;
    app.run(&thread).await;
    let partner = world.partner(&app.id, "s3cret");
    partner.get(&app.path("/runs")).await.fails(401, "Unauthorized");

    let config = json!({"config_json": {"partner": {"scopes": ["runs:read"]}}});
    app.owner.patch(&app.path(""), config).await.ok();

    let page = partner.get(&app.path("/runs")).await.ok();
    let run = page["items"][0]["id"].as_str().unwrap().to_owned();
    partner.get(&app.path(&format!("/runs/{run}"))).await.ok();
    let cancel = partner.call("POST", &app.path(&format!("/runs/{run}/cancel"))).send().await;
    cancel.fails(401, "Unauthorized");
}
