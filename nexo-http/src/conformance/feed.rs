//! What changes in a thread or an app, as those see it who watch.

use std::{collections::HashSet, time::Duration};

use nexo_core::{AppId, NewMessage, Role, Scope, ThreadId};
use serde_json::{Value, json};

use super::{
    Setup,
    client::{Call, Stream},
    events::{Event, event, next},
    world::{App, World, text},
};
use crate::{Settings, Throttle};

/// The title of a thread when a case is done with it.
const END: &str = "The end";

fn path(app: &App, thread: &str) -> String {
    app.path(&format!("/threads/{thread}/events"))
}

/// Watches a thread from now on.
async fn watch(app: &App, thread: &str) -> Stream {
    let mut stream = opened(app.owner.call("GET", &path(app, thread))).await;
    let ready = next(&mut stream).await.unwrap();
    assert_eq!((ready.name.as_str(), &ready.data["cursor"]), ("ready", &json!(ready.id.unwrap())));
    stream
}

async fn opened(call: Call) -> Stream {
    let stream = call.open().await;
    assert_eq!(stream.status, 200);
    stream
}

/// Goes on after a cursor: as a browser does, as a query does, and as a browser does that was
/// sent off with an older one.
async fn resumed(app: &App, thread: &str, cursor: &str) -> [Stream; 3] {
    let call = |query: &str| app.owner.call("GET", &format!("{}{query}", path(app, thread)));
    [
        opened(call("").header("last-event-id", cursor)).await,
        opened(call(&format!("?after={cursor}"))).await,
        opened(call("?after=v0").header("last-event-id", cursor)).await,
    ]
}

/// Gives the thread the title by which a reader knows that nothing more comes.
async fn end(app: &App, thread: &str) {
    app.owner.patch(&format!("/threads/{thread}"), json!({"title": END})).await.ok();
}

/// All that comes up to the end of a case.
async fn rest(stream: &mut Stream) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let event = next(stream).await.expect("the stream ended");
        let last = event.name == "thread" && event.data["title"] == END;
        events.push(event);
        if last {
            return events;
        }
    }
}

fn of_kind(events: &[Event], name: &str) -> Vec<Value> {
    let those = events.iter().filter(|event| event.name == name);
    those.map(|event| event.data.clone()).collect()
}

fn assert_versions_rise(events: &[Event]) {
    let version = |event: &Event| {
        let id = event.id.as_ref().unwrap().strip_prefix('v').unwrap();
        id.parse::<i64>().unwrap()
    };
    assert!(events.is_sorted_by(|one, next| version(one) < version(next)), "{events:?}");
}

pub(super) async fn who_watches_a_thread_sees_what_changes(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("before").await;
    let mut readers = [watch(&app, &thread).await, watch(&app, &thread).await];

    let said = app.say(&thread, "hello").await;
    app.run(&thread).await;
    let aside = app.path(&format!("/threads/{thread}/messages/assistant"));
    let aside = app.owner.post(&aside, json!({"content": "And this."})).await.ok();
    end(&app, &thread).await;

    let messages = app.messages(&thread).await;
    let runs = app.owner.get(&app.path("/runs")).await.ok();
    let shown = app.owner.get(&format!("/threads/{thread}")).await.ok();
    for reader in &mut readers {
        let events = rest(reader).await;
        assert_versions_rise(&events);
        let told = of_kind(&events, "message");
        assert_eq!(told, messages[2..], "each once, in order, as they are listed");
        assert_eq!((&told[0], &told[2]), (&said, &aside));
        assert_eq!(of_kind(&events, "run").last(), Some(&runs["items"][0]));
        assert_eq!(of_kind(&events, "thread"), std::slice::from_ref(&shown));
    }
}

/// A thread in which all sorts of things have happened.
async fn eventful(app: &App) -> String {
    let thread = app.thread(json!({"title": "Rye", "customer_id": "carl"})).await;
    for content in ["hello", "é", "and this?"] {
        app.say(&thread, content).await;
        app.run(&thread).await;
    }
    end(app, &thread).await;
    thread
}

pub(super) async fn who_watches_a_thread_goes_on_after_any_event(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = eventful(&app).await;
    let mut whole =
        opened(app.owner.call("GET", &format!("{}?after=v0", path(&app, &thread)))).await;
    let whole = rest(&mut whole).await;
    assert_versions_rise(&whole);
    assert_eq!(of_kind(&whole, "message"), app.messages(&thread).await);
    assert_eq!(of_kind(&whole, "run").len(), 3);

    for (seen, event) in whole.iter().enumerate() {
        for mut stream in resumed(&app, &thread, event.id.as_ref().unwrap()).await {
            if seen + 1 < whole.len() {
                assert_eq!(rest(&mut stream).await, whole[seen + 1..]);
            }
        }
    }
}

/// A client that has listed messages need not know of versions.
pub(super) async fn the_seq_of_a_message_is_a_cursor(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = eventful(&app).await;
    let messages = app.messages(&thread).await;
    assert_eq!(messages.len(), 7);

    for seq in 0..=messages.len() {
        for mut stream in resumed(&app, &thread, &seq.to_string()).await {
            let events = rest(&mut stream).await;
            assert_versions_rise(&events);
            assert_eq!(of_kind(&events, "message"), messages[seq..], "{seq}");
        }
    }
}

pub(super) async fn a_cursor_of_a_thread_that_nobody_was_given_is_refused(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("hello").await;
    let unknown = ThreadId::new().to_string();
    for cursor in [
        "x",
        "v",
        "v-1",
        "v4",
        "v9223372036854775807",
        "v9223372036854775808",
        "3",
        "-1",
        "01",
        "v1.0",
        "v1v1",
        "1e3",
        "%20",
    ] {
        let query = |thread: &str| format!("{}?after={cursor}", path(&app, thread));
        let header = app.owner.call("GET", &path(&app, &thread)).header("last-event-id", cursor);
        header.send().await.fails(400, "ERROR_INVALID_CURSOR");
        app.owner.get(&query(&thread)).await.fails(400, "ERROR_INVALID_CURSOR");
        app.owner.get(&query(&unknown)).await.fails(404, "ERROR_THREAD_NOT_FOUND");
    }
    let odd = app.owner.call("GET", &path(&app, &thread)).header("last-event-id", b"\xe9");
    odd.send().await.fails(400, "ERROR_INVALID_CURSOR");
    let other = App::create(&app.owner, json!({})).await;
    other.owner.get(&path(&other, &thread)).await.fails(404, "ERROR_THREAD_NOT_FOUND");
    let nowhere = format!("/apps/{}/events", AppId::new());
    app.owner.get(&nowhere).await.fails(404, "ERROR_APP_NOT_FOUND");
}

pub(super) async fn only_who_goes_on_in_a_thread_is_told_when(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("hello").await;

    let mut first = opened(app.owner.call("GET", &path(&app, &thread))).await;
    assert_eq!(first.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let ready = event(&first.chunk().await.unwrap()).unwrap();
    for mut stream in resumed(&app, &thread, ready.id.as_ref().unwrap()).await {
        assert!(stream.chunk().await.unwrap().starts_with(b"retry: "));
        app.say(&thread, "more").await;
        assert_eq!(next(&mut stream).await.unwrap().data["content"], "more");
    }
}

pub(super) async fn silence_in_a_thread_is_broken_by_comments(setup: Setup) {
    let settings = Settings { heartbeat: Duration::from_millis(50), ..Settings::default() };
    let world = setup.start_with(settings, Throttle::off()).await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("hello").await;
    let mut in_app = opened(app.owner.call("GET", &app.path("/events"))).await;
    assert_eq!(next(&mut in_app).await.unwrap().name, "ready");

    for mut stream in [watch(&app, &thread).await, in_app] {
        for _ in 0..3 {
            assert!(stream.chunk().await.unwrap().starts_with(b":"));
        }
        app.say(&thread, "hello").await;
        let told = next(&mut stream).await.unwrap();
        assert!(["message", "changed"].contains(&told.name.as_str()), "{told:?}");
    }
}

/// Rights that were taken away would hold for as long as a stream otherwise.
pub(super) async fn who_watches_shows_now_and_then_that_they_may(setup: Setup) {
    let settings = Settings { feed_lifetime: Duration::from_millis(50), ..Settings::default() };
    let world = setup.start_with(settings, Throttle::off()).await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("hello").await;

    for path in [path(&app, &thread), app.path("/events")] {
        let mut stream = opened(app.owner.call("GET", &path)).await;
        let mut last = Vec::new();
        while let Some(chunk) = stream.chunk().await {
            last = chunk;
        }
        assert_eq!(last, b"retry: 200\n\n", "{path}");
    }
}

pub(super) async fn a_slow_reader_of_a_thread_misses_nothing(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.thread(json!({})).await;
    let mut slow = watch(&app, &thread).await;
    let long = "é".repeat(20_000);
    for number in 0..150 {
        app.say(&thread, &format!("{number} {long}")).await;
    }
    let mut quick =
        opened(app.owner.call("GET", &format!("{}?after=1", path(&app, &thread)))).await;
    end(&app, &thread).await;

    for stream in [&mut quick, &mut slow] {
        let seqs: Vec<Value> = of_kind(&rest(stream).await, "message")
            .into_iter()
            .map(|message| message["seq"].clone())
            .collect();
        assert_eq!(seqs, (2..=151).map(Value::from).collect::<Vec<_>>());
    }
}

pub(super) async fn a_deleted_thread_ends_those_who_watch_it(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let (one, two) = (app.asked("hello").await, app.asked("hello").await);
    let (mut first, mut second) = (watch(&app, &one).await, watch(&app, &two).await);

    app.owner.delete(&format!("/threads/{one}")).await.ok();
    app.owner.delete(&app.path("")).await.ok();

    for (stream, thread) in [(&mut first, &one), (&mut second, &two)] {
        let last = next(stream).await.unwrap();
        assert_eq!((last.name.as_str(), &last.data["thread_id"]), ("deleted", &json!(thread)));
        assert_eq!(next(stream).await, None);
    }
    app.owner.get(&path(&app, &one)).await.fails(404, "ERROR_APP_NOT_FOUND");
}

/// Says something in a thread without telling anybody.
async fn say_silently(world: &World, app: &App, thread: &str) {
    let (app, thread) = (app.id.parse().unwrap(), thread.parse().unwrap());
    let message = NewMessage::new(Role::User, "psst");
    world.store.append_message(&Scope::Everything, app, thread, message).await.unwrap();
}

/// As another server does, if no hint of it comes here.
pub(super) async fn what_nobody_tells_of_is_seen_all_the_same(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("hello").await;
    let mut in_thread = watch(&app, &thread).await;
    let mut in_app = watch_app(&app).await;

    say_silently(&world, &app, &thread).await;

    assert_eq!(next(&mut in_thread).await.unwrap().data["content"], "psst");
    let expected = json!({"thread_id": thread, "topic": "thread"});
    assert_eq!(next(&mut in_app).await.unwrap().data, expected);
}

/// Watches an app.
async fn watch_app(app: &App) -> Stream {
    let mut stream = opened(app.owner.call("GET", &app.path("/events"))).await;
    let ready = next(&mut stream).await.unwrap();
    assert_eq!((ready.name.as_str(), &ready.data), ("ready", &json!({"app_id": app.id})));
    assert_eq!(ready.id, None);
    stream
}

/// The hints that come until the app is deleted.
async fn hints(mut stream: Stream) -> Vec<Value> {
    let mut hints = Vec::new();
    loop {
        let event = next(&mut stream).await.expect("the stream broke off");
        match event.name.as_str() {
            "changed" => hints.push(event.data),
            "deleted" => break,
            name => panic!("{name}"),
        }
    }
    assert_eq!(next(&mut stream).await, None);
    hints
}

pub(super) async fn who_watches_an_app_is_told_where_to_look(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let foreign = App::create(&world.owner().await, json!({})).await;
    let gone = app.thread(json!({})).await;
    let readers = [watch_app(&app).await, watch_app(&app).await];

    foreign.asked("hello").await;
    let thread = app.asked("hello").await;
    app.run(&thread).await;
    app.owner.delete(&format!("/threads/{gone}")).await.ok();
    let runs = app.owner.get(&app.path("/runs")).await.ok();
    let mut stream = watch_app(&app).await;
    end(&app, &thread).await;
    // Who begins to watch may be told what was under way to others.
    let wanted = json!({"thread_id": thread, "topic": "thread"});
    while next(&mut stream).await.unwrap().data != wanted {}
    app.owner.delete(&app.path("")).await.ok();

    let expected: HashSet<String> = [
        json!({"thread_id": thread, "topic": "thread"}),
        json!({"thread_id": thread, "topic": "message"}),
        json!({"thread_id": thread, "topic": "run", "run_id": runs["items"][0]["id"]}),
        json!({"thread_id": gone, "topic": "thread"}),
    ]
    .map(|hint| hint.to_string())
    .into();
    for reader in readers {
        let told: HashSet<String> = hints(reader).await.iter().map(ToString::to_string).collect();
        assert_eq!(told, expected);
    }
}

/// As with the lists of runs, an app decides what its partners may.
pub(super) async fn partners_watch_runs_if_they_may_see_them(setup: Setup) {
    let world = setup.start().await;
    for (scopes, sees_runs) in [(json!([]), false), (json!(["runs:read"]), true)] {
        let config = json!({"partner": {"scopes": scopes}});
        let body = json!({"webhook_secret": "s3cret", "config_json": config});
        let app = App::create(&world.owner().await, body).await;
        let thread = app.thread(json!({})).await;
        let owner = app.owner.clone();
        let partner = App { owner: world.partner(&app.id, "s3cret"), id: app.id.clone() };
        let (mut in_thread, in_app) = (watch(&partner, &thread).await, watch_app(&partner).await);
        let elsewhere = App::create(&owner, json!({})).await;
        let refused = partner.owner.get(&elsewhere.path("/events")).await;
        refused.fails(401, "ERROR_PARTNER_API_APP_ID_MISMATCH");

        app.say(&thread, "hello").await;
        app.run(&thread).await;
        end(&app, &thread).await;

        let events = rest(&mut in_thread).await;
        assert_eq!(of_kind(&events, "message").len(), 2);
        assert_eq!(!of_kind(&events, "run").is_empty(), sees_runs);
        owner.delete(&app.path("")).await.ok();
        let topics: HashSet<String> =
            hints(in_app).await.iter().map(|hint| text(&hint["topic"])).collect();
        assert_eq!(topics.contains("run"), sees_runs);
        assert!(topics.contains("message") && topics.contains("thread"));
    }
}
