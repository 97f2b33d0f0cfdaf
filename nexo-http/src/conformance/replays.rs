//! Replays: a turn is put to an agent again, dry or for real.

use serde_json::{Value, json};

use super::{
    Setup,
    agents::{Act, Agent, delta, response, stream_head},
    client::Answer,
    world::{App, World, text},
};

/// An app with a webhook, its thread in which one message was answered, and that run.
struct Replayed {
    app: App,
    thread: String,
    run: String,
}

impl Replayed {
    async fn new(world: &World, url: &str) -> Self {
        let app = App::with_webhook(world, url).await;
        let thread = app.asked("hello").await;
        let path = app.path(&format!("/threads/{thread}/run"));
        let run = app.owner.call("POST", &path).send().await;
        let run = run.header("x-run-id").unwrap().to_owned();
        Self { app, thread, run }
    }

    async fn replay(&self, body: Value) -> Answer {
        let path = self.app.path(&format!("/runs/{}/replay", self.run));
        self.app.owner.post(&path, body).await
    }

    async fn get(&self, path: &str) -> Value {
        self.app.owner.get(&self.app.path(path)).await.ok()
    }

    /// All that a customer or an operator sees of the thread.
    async fn snapshot(&self) -> Vec<Value> {
        let thread = format!("/threads/{}", self.thread);
        vec![
            json!(self.app.messages(&self.thread).await),
            self.app.owner.get(&thread).await.ok(),
            self.get("/runs").await,
            self.get("/threads").await,
            self.get("/subscribers").await,
        ]
    }
}

pub(super) async fn a_dry_replay_puts_the_same_turn_and_stores_only_its_record(setup: Setup) {
    let world = setup.start().await;
    let before = Agent::replying("then").await;
    let now = Agent::replying("now").await;
    let replayed = Replayed::new(&world, &before.url()).await;
    let app = &replayed.app;
    // What came later is not part of the turn; the configuration is that of now.
    app.say(&replayed.thread, "later").await;
    app.owner.patch(&app.path(""), json!({"webhook_url": now.url()})).await.ok();
    let all = replayed.snapshot().await;

    let answer = replayed.replay(json!({})).await;

    let made = answer.ok();
    let replay = &made["replay"];
    let expected = json!({"status": "completed", "assistant_message": null, "error": null,
        "replay_id": replay["id"], "replay": replay});
    assert_eq!(made, expected);
    assert_eq!(answer.header("x-run-id"), Some(replayed.run.as_str()));
    let expected = json!({"id": replay["id"], "app_id": app.id, "run_id": replayed.run,
        "agent_id": replay["agent_id"], "status": "completed", "content": "now",
        "content_json": {"source": "webhook"}, "error": null,
        "created_at": replay["created_at"], "first_delta_at": replay["first_delta_at"],
        "finished_at": replay["finished_at"]});
    assert_eq!(replay, &expected);
    let (first, second) = (&before.received()[0], &now.received()[0]);
    let (mut asked, mut again) = (first.json(), second.json());
    for payload in [&mut asked, &mut again] {
        payload["timestamp"].take();
    }
    assert_eq!(asked, again);
    assert_eq!(second.header("webhook-id").unwrap(), made["replay_id"]);
    assert_eq!(second.header("x-replay-of"), Some(replayed.run.as_str()));
    assert_eq!(first.header("x-replay-of"), None);
    assert_eq!(replayed.snapshot().await, all);
    // The record, and what was sent for it.
    let id = text(&replay["id"]);
    assert_eq!(replayed.get(&format!("/replays/{id}")).await, *replay);
    let page = replayed.get(&format!("/runs/{}/replays", replayed.run)).await;
    assert_eq!(page, json!({"items": [replay], "next_cursor": null}));
    let path = format!("/runs/{}/deliveries?replay_id={id}", replayed.run);
    let sent = replayed.get(&path).await;
    assert_eq!(sent["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&sent["items"][0]["replay_id"], &sent["items"][0]["url"]),
        (&json!(id), &json!(now.url()))
    );
}

pub(super) async fn a_dry_replay_tells_what_went_wrong(setup: Setup) {
    let world = setup.start().await;
    let ok = Agent::replying("ok").await;
    let replayed = Replayed::new(&world, &ok.url()).await;
    let status = |status| vec![Act::Write(response(status, "text/plain", ""))];
    for (acts, content, error) in [
        (status("500 Oops"), Value::Null, "WEBHOOK_BAD_STATUS"),
        (status("202 Accepted"), Value::Null, "RUN_WAITING"),
        (
            vec![
                stream_head(),
                Act::Write([delta("half"), "event: error\ndata: {}\n\n".into()].concat().into()),
            ],
            json!("half"),
            "WEBHOOK_AGENT_ERROR",
        ),
    ] {
        let agent = Agent::acting(acts).await;
        let url = json!({"webhook_url": agent.url()});
        replayed.app.owner.patch(&replayed.app.path(""), url).await.ok();

        let made = replayed.replay(json!({"dry_run": true})).await.ok();

        assert_eq!((&made["status"], &made["error"]), (&json!("error"), &json!(error)));
        assert_eq!(
            (&made["replay"]["content"], &made["replay"]["error"]),
            (&content, &json!(error))
        );
    }
    assert_eq!(replayed.get("/runs").await["items"].as_array().unwrap().len(), 1);
}

/// Neither waits for the other.
pub(super) async fn a_dry_replay_needs_no_free_thread_and_keeps_none_busy(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::acting(vec![
        Act::Wait,
        Act::Write(response("200 OK", "application/json", r#"{"reply":"ok"}"#)),
    ])
    .await;
    agent.go_on();
    let replayed = Replayed::new(&world, &agent.url()).await;
    let app = &replayed.app;

    // Two replays of a run that is over, while another one is under way.
    app.say(&replayed.thread, "and this?").await;
    let busy = app.stream(&replayed.thread).open().await;
    let replays = [replayed.replay(json!({})), replayed.replay(json!({}))];
    let letting = async {
        while agent.received().len() < 4 {
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            agent.go_on();
        }
    };
    let (replays, ()) = futures::join!(futures::future::join_all(replays), letting);

    for replay in replays {
        assert_eq!(replay.ok()["replay"]["content"], "ok");
    }
    drop(busy);
    app.reply(&replayed.thread).await;
    let runs = replayed.get("/runs").await;
    assert_eq!(runs["items"].as_array().unwrap().len(), 2);
}

pub(super) async fn a_run_is_replayed_before_it_has_ended(setup: Setup) {
    let world = setup.start().await;
    let later = response("202 Accepted", "application/json", "{}");
    let agent = Agent::acting(vec![Act::Write(later)]).await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.asked("hello").await;
    let opened = app.stream(&thread).open().await;
    let run = opened.header("x-run-id").unwrap().to_owned();
    let replayed = Replayed { app, thread, run };
    let path = format!("/runs/{}", replayed.run);
    let waiting = async {
        while replayed.get(&path).await["state"] != "waiting" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::client::PATIENCE, waiting).await.expect("it never waited");
    let before = replayed.get(&path).await;

    let other = Agent::replying("dry").await;
    let url = json!({"webhook_url": other.url()});
    replayed.app.owner.patch(&replayed.app.path(""), url).await.ok();
    let dry = replayed.replay(json!({})).await.ok();
    let real = replayed.replay(json!({"dry_run": false})).await;

    assert_eq!(dry["replay"]["content"], "dry");
    real.fails(409, "ERROR_RUN_ACTIVE");
    assert_eq!(replayed.get(&path).await, before);
    assert_eq!(replayed.app.messages(&replayed.thread).await.len(), 2);
}

pub(super) async fn a_message_is_answered_again_while_it_is_the_newest(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::replying("again").await;
    let replayed = Replayed::new(&world, &agent.url()).await;
    let app = &replayed.app;

    let answer = replayed.replay(json!({"dry_run": false})).await;

    let made = answer.ok();
    let messages = app.messages(&replayed.thread).await;
    let expected = json!({"status": "completed", "assistant_message": messages[3], "error": null,
        "replay_id": null, "replay": null});
    assert_eq!(made, expected);
    let run = answer.header("x-run-id").unwrap();
    assert_ne!(run, replayed.run);
    assert_eq!(replayed.get(&format!("/runs/{run}")).await["reply_id"], messages[3]["id"]);
    let page = replayed.get(&format!("/runs/{}/replays", replayed.run)).await;
    assert_eq!(page["items"], json!([]));
    // Also an assistant may have spoken since; a customer may not.
    replayed.replay(json!({"dry_run": false})).await.ok();
    app.say(&replayed.thread, "something else").await;
    replayed.replay(json!({"dry_run": false})).await.fails(409, "ERROR_MESSAGE_OUTDATED");
    assert_eq!(replayed.get("/runs").await["items"].as_array().unwrap().len(), 3);
}

pub(super) async fn what_is_wrong_with_a_replay_is_told(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::replying("ok").await;
    let replayed = Replayed::new(&world, &agent.url()).await;
    let app = &replayed.app;
    let stranger = nexo_core::AgentId::new();

    let unknown = replayed.replay(json!({"agent_id": stranger})).await;
    unknown.fails(404, "ERROR_AGENT_NOT_FOUND");
    let spoken = replayed.replay(json!({"agent_id": stranger, "dry_run": false})).await;
    spoken.violates(&[("value_error", &["body", "agent_id"])]);
    replayed.replay(json!({"agent_id": "x", "dry_run": "maybe"})).await.violates(&[
        ("uuid_parsing", &["body", "agent_id"]),
        ("bool_parsing", &["body", "dry_run"]),
    ]);
    let nothing = nexo_core::RunId::new();
    for body in [json!({}), json!({"dry_run": false})] {
        let path = app.path(&format!("/runs/{nothing}/replay"));
        app.owner.post(&path, body).await.fails(404, "ERROR_RUN_NOT_FOUND");
    }
    let of_none = app.owner.get(&app.path(&format!("/runs/{nothing}/replays"))).await;
    of_none.fails(404, "ERROR_RUN_NOT_FOUND");
    let none = app.owner.get(&app.path(&format!("/replays/{nothing}"))).await;
    none.fails(404, "ERROR_REPLAY_NOT_FOUND");
    let forged = app.path(&format!("/runs/{}/replays?cursor=x", replayed.run));
    app.owner.get(&forged).await.fails(400, "ERROR_INVALID_CURSOR");
    assert_eq!(agent.received().len(), 1);
}

/// A call without a body is a dry replay.
pub(super) async fn a_replay_needs_no_body(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("hello").await;
    app.run(&thread).await;
    let run = text(&app.owner.get(&app.path("/runs")).await.ok()["items"][0]["id"]);
    let path = app.path(&format!("/runs/{run}/replay"));

    let made = app.owner.call("POST", &path).send().await.ok();

    assert_eq!(made["replay"]["content"], "Echo: hello");
    assert_eq!(app.messages(&thread).await.len(), 3);
    let sent = app.owner.get(&app.path("/deliveries")).await.ok();
    assert_eq!(sent["items"], json!([]));
}
