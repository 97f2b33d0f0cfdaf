//! Deliveries: what was sent to agents, shown and sent again.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Setup,
    agents::{Act, Agent, Received, delta, response, stream_head},
    signature::hmac_sha256,
    world::{App, World, text},
};

const SECRET: &str = "clé-ключ-1";

/// The text of a customer that a careless sender would damage.
const SAID: &str = "¿Qué tal, João? 🎉";

async fn shop(world: &World, url: &str) -> App {
    let config = json!({"integration": {"mode": "webhook"}});
    let body = json!({"webhook_url": url, "webhook_secret": SECRET, "config_json": config});
    App::create(&world.owner().await, body).await
}

/// The app's deliveries that a query finds, once there are so many.
async fn deliveries(app: &App, query: &str, count: usize) -> Vec<Value> {
    let path = app.path(&format!("/deliveries?{query}"));
    let listed = async {
        loop {
            let page = app.owner.get(&path).await.ok();
            match page["items"].as_array().unwrap() {
                items if items.len() == count => return items.clone(),
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let found = tokio::time::timeout(super::client::PATIENCE, listed).await;
    found.unwrap_or_else(|_| panic!("{count} deliveries never came for {query}"))
}

async fn whole(app: &App, delivery: &Value) -> Value {
    app.owner.get(&app.path(&format!("/deliveries/{}", text(&delivery["id"])))).await.ok()
}

fn bytes(base64: &Value) -> Vec<u8> {
    STANDARD.decode(base64.as_str().unwrap()).unwrap()
}

fn header<'a>(headers: &'a Value, name: &str) -> Option<&'a str> {
    let found = headers.as_array()?.iter().find(|it| it["name"] == name)?;
    found["value"].as_str()
}

/// Signed with the stored secret at the time that it says, over the bytes that came.
fn assert_signed(received: &Received) {
    let timestamp = received.header("x-timestamp").unwrap();
    let signed = [timestamp.as_bytes(), b".", &received.body].concat();
    let signature = hmac_sha256(SECRET.as_bytes(), &signed);
    assert_eq!(received.header("x-signature").unwrap(), format!("sha256={signature}"));
}

pub(super) async fn a_delivery_is_shown_byte_for_byte(setup: Setup) {
    let world = setup.start().await;
    let reply = json!({"reply": "Olá 🙂"}).to_string();
    let mut answer = response("200 OK", "application/json", &reply);
    let cookie = b"set-cookie: id=1\r\nx-more: 1\r\n";
    answer.splice(17..17, cookie.iter().copied());
    let agent = Agent::acting(vec![Act::Write(answer)]).await;
    let app = shop(&world, &agent.url()).await;
    let thread = app.asked(SAID).await;
    let ran = app.owner.call("POST", &app.path(&format!("/threads/{thread}/run"))).send().await;
    let run = ran.header("x-run-id").unwrap().to_owned();

    let listed = deliveries(&app, "", 1).await.remove(0);
    let shown = whole(&app, &listed).await;

    let received = &agent.received()[0];
    assert_eq!(bytes(&shown["request_base64"]), received.body);
    assert_eq!(shown["request_text"].as_str().unwrap().as_bytes(), received.body);
    assert!(text(&shown["request_text"]).contains(SAID));
    assert_eq!(bytes(&shown["response_base64"]), reply.as_bytes());
    assert_eq!(shown["response_text"], reply);
    let (sent, came) = (&shown["request_headers"], &shown["response_headers"]);
    assert_eq!(header(sent, "x-signature"), received.header("x-signature"));
    assert_eq!(header(sent, "webhook-id"), Some(run.as_str()));
    assert_eq!(header(came, "set-cookie"), Some("***"));
    assert_eq!(header(came, "x-more"), Some("1"));
    assert_eq!(shown["frames"].as_array().unwrap().len(), 1);
    assert_eq!(text(&shown["peer"]), agent.url()["http://".len()..].trim_end_matches("/hook"));
    for member in ["request_base64", "response_text", "request_headers", "frames", "peer"] {
        assert!(listed.get(member).is_none(), "a list shows {member}");
    }
    let members = listed.as_object().unwrap().iter();
    for (member, value) in members {
        assert_eq!(&shown[member], value, "{member}");
    }
    let expected = json!({"run_id": run, "app_id": app.id, "url": agent.url(), "attempt": 1,
        "status": 200, "error": null, "replay_id": null, "repeats_id": null,
        "request_bytes": received.body.len(), "response_bytes": reply.len()});
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&listed[member], value, "{member}");
    }
    let of_run = app.owner.get(&app.path(&format!("/runs/{run}/deliveries"))).await.ok();
    assert_eq!(of_run, json!({"items": [listed], "next_cursor": null}));
}

/// An inspector can play it as it was.
pub(super) async fn a_streams_pieces_are_kept_with_their_times(setup: Setup) {
    let world = setup.start().await;
    let pieces = [delta("Hello "), delta("world"), "event: done\ndata: {}\n\n".into()];
    let mut acts = vec![stream_head()];
    for piece in &pieces {
        acts.extend([Act::Wait, Act::Write(piece.clone().into())]);
    }
    let agent = Agent::acting(acts).await;
    let app = shop(&world, &agent.url()).await;
    let thread = app.asked("hello").await;
    let mut reading = app.stream(&thread).open().await;
    agent.called().await;
    reading.chunk().await;
    for _ in &pieces {
        agent.go_on();
        // Each is on its way to the reader before the next one is sent.
        reading.chunk().await;
    }

    let shown = whole(&app, &deliveries(&app, "", 1).await[0]).await;

    let stream = text(&shown["response_text"]);
    assert_eq!(stream, pieces.concat());
    let frames = shown["frames"].as_array().unwrap();
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let cut = |frame: &Value| {
        let start = number(&frame["start"]);
        stream[start..start + number(&frame["bytes"])].to_owned()
    };
    assert_eq!(frames.iter().map(cut).collect::<Vec<_>>(), pieces);
    let times: Vec<usize> = frames.iter().map(|frame| number(&frame["micros"])).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(number(&shown["first_byte_micros"]) <= times[0]);
    assert!(times[2] <= number(&shown["duration_micros"]));
}

pub(super) async fn deliveries_are_listed_in_pages_and_filtered(setup: Setup) {
    let world = setup.start().await;
    let good = Agent::replying("ok").await;
    let bad = Agent::acting(vec![Act::Write(response("503 Busy", "text/plain", "no"))]).await;
    let app = shop(&world, &good.url()).await;
    let thread = app.asked("one").await;
    for (count, agent) in [(1, &good), (2, &bad), (3, &good)] {
        app.owner.patch(&app.path(""), json!({"webhook_url": agent.url()})).await.ok();
        app.run(&thread).await;
        deliveries(&app, "", count).await;
    }
    let all = deliveries(&app, "", 3).await;
    let of = |at: usize, member: &str| text(&all[at][member]);

    let first = app.owner.get(&app.path("/deliveries?limit=2")).await.ok();
    let next = app.path(&format!("/deliveries?limit=2&cursor={}", text(&first["next_cursor"])));
    let second = app.owner.get(&next).await.ok();

    assert_eq!(first["items"], json!(all[..2]));
    assert_eq!(second, json!({"items": [all[2]], "next_cursor": null}));
    let agent = nexo_core::AgentId::new().to_string();
    let run = nexo_core::RunId::new().to_string();
    for (query, expected) in [
        ("failed=true".into(), vec![1]),
        ("failed=false".into(), vec![0, 1, 2]),
        ("status=503".into(), vec![1]),
        ("status=200&failed=true".into(), vec![]),
        (format!("run_id={}", of(2, "run_id")), vec![2]),
        (format!("run_id={run}"), vec![]),
        (format!("replay_id={run}"), vec![]),
        (format!("agent_id={}", of(0, "agent_id")), vec![0, 1, 2]),
        (format!("agent_id={agent}"), vec![]),
        (format!("since={}", of(1, "started_at")), vec![0, 1]),
        (format!("until={}", of(1, "started_at")), vec![2]),
    ] {
        let found = app.owner.get(&app.path(&format!("/deliveries?{query}"))).await.ok();
        let expected: Vec<_> = expected.into_iter().map(|at: usize| all[at].clone()).collect();
        assert_eq!(found["items"], json!(expected), "{query}");
    }
}

pub(super) async fn what_is_wrong_with_a_list_of_deliveries_is_told(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let get = async |query: &str| app.owner.get(&app.path(&format!("/deliveries?{query}"))).await;

    get("cursor=x").await.fails(400, "ERROR_INVALID_CURSOR");
    let wrong = "limit=0&run_id=x&agent_id=1&failed=maybe&status=99&since=yesterday&until=1";
    get(wrong).await.violates(&[
        ("greater_than_equal", &["query", "limit"]),
        ("uuid_parsing", &["query", "run_id"]),
        ("uuid_parsing", &["query", "agent_id"]),
        ("bool_parsing", &["query", "failed"]),
        ("greater_than_equal", &["query", "status"]),
        ("datetime_parsing", &["query", "since"]),
        ("datetime_parsing", &["query", "until"]),
    ]);
    let nothing = nexo_core::RunId::new();
    let of_none = app.owner.get(&app.path(&format!("/runs/{nothing}/deliveries"))).await;
    of_none.fails(404, "ERROR_RUN_NOT_FOUND");
    let none = app.owner.get(&app.path(&format!("/deliveries/{nothing}"))).await;
    none.fails(404, "ERROR_DELIVERY_NOT_FOUND");
}

pub(super) async fn a_delivery_is_sent_again_byte_for_byte_to_where_its_agent_is_now(setup: Setup) {
    let world = setup.start().await;
    let before = Agent::replying("first").await;
    let now = Agent::replying("never spoken").await;
    let app = shop(&world, &before.url()).await;
    let thread = app.asked(SAID).await;
    app.run(&thread).await;
    let sent = deliveries(&app, "", 1).await.remove(0);
    let run = app.owner.get(&app.path(&format!("/runs/{}", text(&sent["run_id"])))).await.ok();
    let messages = app.messages(&thread).await;
    app.owner.patch(&app.path(""), json!({"webhook_url": now.url()})).await.ok();

    let path = app.path(&format!("/deliveries/{}/resend", text(&sent["id"])));
    let again = app.owner.call("POST", &path).send().await.ok();

    let (first, second) = (&before.received()[0], &now.received()[0]);
    assert_eq!(second.body, first.body);
    assert_signed(second);
    assert_eq!(second.header("webhook-id"), first.header("webhook-id"));
    assert_eq!(second.header("x-attempt"), first.header("x-attempt"));
    assert_eq!(second.header("x-delivery-id").unwrap(), again["id"]);
    assert_ne!(again["id"], sent["id"]);
    assert_eq!(again["repeats_id"], sent["id"]);
    assert_eq!(again["response_text"], json!({"reply": "never spoken"}).to_string());
    assert_eq!(again["run_id"], sent["run_id"]);
    // It is kept, and touched nothing else.
    assert_eq!(whole(&app, &again).await, again);
    assert_eq!(deliveries(&app, "", 2).await[1], sent);
    assert_eq!(app.messages(&thread).await, messages);
    let path = app.path(&format!("/runs/{}", text(&sent["run_id"])));
    assert_eq!(app.owner.get(&path).await.ok(), run);
}

pub(super) async fn what_an_agent_says_to_a_repetition_is_shown_whatever_it_is(setup: Setup) {
    let world = setup.start().await;
    let good = Agent::replying("ok").await;
    let app = shop(&world, &good.url()).await;
    app.run(&app.asked("hello").await).await;
    let sent = deliveries(&app, "", 1).await.remove(0);
    let path = app.path(&format!("/deliveries/{}/resend", text(&sent["id"])));
    let mut repeated = text(&sent["id"]);
    for (status, error) in [
        ("202 Accepted", Value::Null),
        ("500 Oops", json!("WEBHOOK_BAD_STATUS")),
        ("302 Found", json!("WEBHOOK_BAD_STATUS")),
    ] {
        let agent = Agent::acting(vec![Act::Write(response(status, "text/plain", "x"))]).await;
        app.owner.patch(&app.path(""), json!({"webhook_url": agent.url()})).await.ok();

        // What was sent again can be sent again.
        let path = app.path(&format!("/deliveries/{repeated}/resend"));
        let again = app.owner.call("POST", &path).send().await.ok();

        assert_eq!(again["repeats_id"], repeated);
        assert_eq!((&again["error"], &again["response_text"]), (&error, &json!("x")));
        repeated = text(&again["id"]);
    }
    let gone = json!({"webhook_url": super::agents::nobody().await});
    app.owner.patch(&app.path(""), gone).await.ok();
    let again = app.owner.call("POST", &path).send().await.ok();
    assert_eq!(
        (&again["error"], &again["status"]),
        (&json!("WEBHOOK_REQUEST_FAILED"), &Value::Null)
    );
}

pub(super) async fn a_delivery_that_can_not_be_sent_again_is_told_why(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::replying("ok").await;
    let app = shop(&world, &agent.url()).await;
    let thread = app.asked("hello").await;
    app.run(&thread).await;
    let sent = deliveries(&app, "", 1).await.remove(0);
    let path = app.path(&format!("/deliveries/{}/resend", text(&sent["id"])));
    let resend = async || app.owner.call("POST", &path).send().await;

    app.owner.patch(&app.path(""), json!({"webhook_url": null})).await.ok();
    resend().await.fails(409, "WEBHOOK_URL_EMPTY");
    // As it was stored under other rules: what is allowed is decided when it is called.
    let blocked = nexo_core::AppChanges {
        webhook_url: Some(Some("http://10.0.0.1/hook".into())),
        ..nexo_core::AppChanges::default()
    };
    let everything = nexo_core::Scope::Everything;
    world.store.update_app(&everything, app.id.parse().unwrap(), blocked).await.unwrap();
    resend().await.fails(409, "WEBHOOK_URL_BLOCKED");
    assert_eq!(deliveries(&app, "", 1).await, [sent]);
    app.owner.delete(&format!("/threads/{thread}")).await.ok();
    resend().await.fails(404, "ERROR_DELIVERY_NOT_FOUND");
    assert_eq!(agent.received().len(), 1);
}

/// As with runs: seeing and doing are two rights.
pub(super) async fn partners_see_and_repeat_deliveries_if_they_may(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::replying("ok").await;
    let app = shop(&world, &agent.url()).await;
    app.run(&app.asked("hello").await).await;
    let sent = deliveries(&app, "", 1).await.remove(0);
    let partner = world.partner(&app.id, SECRET);
    let one = app.path(&format!("/deliveries/{}", text(&sent["id"])));
    let (resend, of_run) = (format!("{one}/resend"), format!("/runs/{}", text(&sent["run_id"])));
    let reads = [app.path("/deliveries"), one, app.path(&format!("{of_run}/deliveries"))];
    let mode = json!({"mode": "webhook"});
    for (scope, may_read, may_write) in
        [("threads:read", false, false), ("runs:read", true, false), ("runs:write", false, true)]
    {
        let config = json!({"partner": {"scopes": [scope]}, "integration": mode});
        app.owner.patch(&app.path(""), json!({"config_json": config})).await.ok();

        for path in &reads {
            let status = partner.get(path).await.status;
            assert_eq!(status, if may_read { 200 } else { 401 }, "{scope} {path}");
        }
        let status = partner.call("POST", &resend).send().await.status;
        assert_eq!(status, if may_write { 200 } else { 401 }, "{scope}");
    }
    assert_eq!(agent.received().len(), 2);
}
