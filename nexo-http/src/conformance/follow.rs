//! Runs that are followed on other servers than their own, and from wherever a stream was cut.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    Setup,
    agents::{Act, Agent, delta, stream_head},
    client::{Caller, Stream},
    events::{next, text},
    world::{App, PASSWORD, World},
};

/// An agent that says something, and goes on when it is told to.
async fn hesitant() -> Agent {
    let acts = vec![stream_head(), Act::Write(delta("Yes, it ").into()), Act::Wait];
    let end = [delta("is végan."), "event: done\ndata: {}\n\n".into()].concat();
    Agent::acting([acts, vec![Act::Write(end.into())]].concat()).await
}

fn run_of(stream: &Stream) -> String {
    stream.header("x-run-id").unwrap().to_owned()
}

/// The same app by way of another server on the same store.
async fn at(world: &World, app: &App) -> App {
    let owner = world.sign_in("user0@example.com", PASSWORD).await;
    App { owner, id: app.id.clone() }
}

pub(super) async fn a_stream_on_another_server_shows_the_text_as_it_comes(setup: Setup) {
    let (here, there) = (setup.clone().start().await, setup.start().await);
    let agent = hesitant().await;
    let app = App::with_webhook(&here, &agent.url()).await;
    let far = at(&there, &app).await;
    let thread = app.asked("hello").await;
    let mut near = app.stream(&thread).open().await;
    assert_eq!(next(&mut near).await.unwrap().name, "meta");
    let said = next(&mut near).await.unwrap();

    let mut joined = far.stream(&thread).open().await;

    assert_eq!(run_of(&joined), run_of(&near));
    assert_eq!(next(&mut joined).await.unwrap().data, json!({"source": "webhook"}));
    assert_eq!(next(&mut joined).await.unwrap(), said, "before the run has ended");
    let events = far.path(&format!("/runs/{}/events?after={}", run_of(&near), said.id.unwrap()));
    let mut resumed = far.owner.call("GET", &events).open().await;
    agent.go_on();
    assert_eq!(next(&mut resumed).await.unwrap().name, "meta");
    for stream in [&mut near, &mut joined, &mut resumed] {
        let mut rest = Vec::new();
        while let Some(event) = next(stream).await {
            rest.push(event);
        }
        assert_eq!(text(&rest), "is végan.");
        assert_eq!(rest.last().unwrap().data["status"], "completed");
    }
    assert_eq!(agent.received().len(), 1);
}

pub(super) async fn who_waits_for_a_queued_run_is_told_how_to_go_on(setup: Setup) {
    let world = setup.start().await;
    let agent = hesitant().await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("one").await;
    let mut first = app.stream(&thread).open().await;
    next(&mut first).await.unwrap();
    app.say(&thread, "two").await;

    let mut second = app.stream(&thread).open().await;

    let run = run_of(&second);
    let id = format!("{run}.0.0.0");
    assert_eq!(second.chunk().await.unwrap(), format!("id: {id}\n\n").as_bytes());
    drop(second);
    agent.go_on();
    agent.go_on();
    // The greeting, two questions, two answers.
    app.message(&thread, 5).await;
    let path = app.path(&format!("/threads/{thread}/run/stream"));
    let again = app.owner.call("GET", &path).header("last-event-id", &id).open().await;
    assert_eq!(run_of(&again), run);
    let state = Read::all(again).await;
    assert_eq!((state.text.as_str(), state.events.len()), ("Yes, it is végan.", 1));
    assert_eq!(agent.received().len(), 2, "nobody made another run");
}

/// What a client makes of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
struct Read {
    id: Option<String>,
    meta: Value,
    text: String,
    events: Vec<(String, Value)>,
}

impl Read {
    async fn all(mut stream: Stream) -> Self {
        let mut read = Self::default();
        read.bytes(&whole(&mut stream).await);
        read
    }

    /// Reads as browsers do: a block that is not whole at the end does not count.
    fn bytes(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let mut blocks: Vec<&str> = text.split("\n\n").collect();
        blocks.pop();
        blocks.into_iter().for_each(|block| self.block(block));
    }

    fn block(&mut self, block: &str) {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        if let Some(id) = field("id: ") {
            self.id = Some(id.to_owned());
        }
        let Some(data) = field("data: ") else { return };
        let data: Value = serde_json::from_str(data).unwrap();
        match field("event: ").unwrap() {
            "meta" => self.meta = data,
            "delta" => self.text += data["text"].as_str().unwrap(),
            "reset" => (self.text, self.events) = (String::new(), Vec::new()),
            event => self.events.push((event.to_owned(), data)),
        }
    }
}

/// All bytes of a stream, as they come.
async fn whole(stream: &mut Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.chunk().await {
        bytes.extend(chunk);
    }
    bytes
}

/// What comes after an id; after none, everything.
async fn after(caller: &Caller, path: &str, id: Option<&str>) -> Vec<u8> {
    let call = caller.call("GET", path);
    let call = if let Some(id) = id { call.header("last-event-id", id) } else { call };
    let mut stream = call.open().await;
    if stream.status == 204 { Vec::new() } else { whole(&mut stream).await }
}

pub(super) async fn a_stream_that_is_cut_anywhere_is_read_to_the_same_end(setup: Setup) {
    let (here, there) = (setup.clone().start().await, setup.start().await);
    let deltas: String = ["Grüß ", "", "🎉", "id: 7\n\ndata: x"].map(delta).concat();
    let good = Agent::streaming(&[&deltas, "event: done\ndata: {}\n\n"].concat()).await;
    let bad = Agent::streaming(&[&deltas, "event: error\ndata: {}\n\n"].concat()).await;
    let app = App::with_webhook(&here, &good.url()).await;
    let far = at(&there, &app).await;
    for agent in [&good, &bad] {
        app.owner.patch(&app.path(""), json!({"webhook_url": agent.url()})).await.ok();
        let thread = app.asked("hello").await;
        let mut stream = app.stream(&thread).open().await;
        let path = app.path(&format!("/runs/{}/events", run_of(&stream)));
        let bytes = whole(&mut stream).await;
        let mut all = Read::default();
        all.bytes(&bytes);
        assert_eq!(all.text, "Grüß 🎉id: 7\n\ndata: x");

        // What comes after an id depends on nothing else.
        let mut rests = HashMap::new();
        for cut in 0..=bytes.len() {
            let mut read = Read::default();
            read.bytes(&bytes[..cut]);
            if !rests.contains_key(&read.id) {
                let callers = [&app.owner, &far.owner];
                let caller = callers[rests.len() % 2];
                let rest = after(caller, &path, read.id.as_deref()).await;
                rests.insert(read.id.clone(), rest);
            }
            let rest = &rests[&read.id];
            read.bytes(rest);
            assert_eq!(read, all, "cut after {cut} bytes");
        }
        assert!(rests.len() > 4);
    }
    assert_eq!((good.received().len(), bad.received().len()), (1, 1));
}
