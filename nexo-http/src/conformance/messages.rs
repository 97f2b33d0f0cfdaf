//! Messages: said by customers and in the agent's place, listed both ways.

use serde_json::{Value, json};

use super::{
    Setup,
    world::{App, text},
};

pub(super) async fn a_customers_message_is_stored_as_it_was_sent(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.thread(json!({})).await;
    let path = app.path(&format!("/threads/{thread}/messages"));
    let content_json = json!({"b": 1, "a": [null, {"é": "😀"}], "source": "mine"});
    let body = json!({"content": " Grüße,\n你好 😀 ", "content_json": content_json,
        "role": "system", "seq": 99, "id": "x", "thread_id": "y"});

    let message = app.owner.post(&path, body).await.ok();

    let expected = json!({"id": message["id"], "thread_id": thread, "seq": 2, "role": "user",
        "content": " Grüße,\n你好 😀 ", "content_json": content_json,
        "created_at": message["created_at"]});
    assert_eq!(message, expected);
    let id = text(&message["id"]);
    assert_eq!(app.owner.get(&format!("/messages/{id}")).await.ok(), expected);
    assert_eq!(app.messages(&thread).await[1], expected);
}

pub(super) async fn a_message_may_be_empty(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.thread(json!({})).await;
    let path = app.path(&format!("/threads/{thread}/messages"));

    for (seq, body) in [(2, json!({})), (3, json!({"content": null})), (4, json!({"content": ""}))]
    {
        let message = app.owner.post(&path, body.clone()).await.ok();
        assert_eq!(message["seq"], seq);
        assert_eq!(message["content"], body.get("content").cloned().unwrap_or_default());
        assert_eq!(message["content_json"], json!({}));
    }
    let null = app.owner.post(&path, json!({"content_json": null})).await;
    null.violates(&[("dict_type", &["body", "content_json"])]);
    assert_eq!(app.messages(&thread).await.len(), 4);
}

pub(super) async fn a_message_starts_no_run(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("hello").await;

    app.say(&thread, "anybody?").await;

    let roles: Vec<String> =
        app.messages(&thread).await.iter().map(|it| text(&it["role"])).collect();
    assert_eq!(roles, ["assistant", "user", "user"]);
}

pub(super) async fn a_message_in_the_agents_place_says_so(setup: Setup) {
    let world = setup.start().await;
    let body = json!({"webhook_secret": "hunter2"});
    let app = App::create(&world.owner().await, body).await;
    let thread = app.thread(json!({"customer_id": "c"})).await;
    let subscriber = app.owner.get(&app.path("/subscribers")).await.ok()["items"][0].clone();
    let path = app.path(&format!("/threads/{thread}/messages/assistant"));
    let body =
        json!({"content": "Soon.", "content_json": {"source": "me", "kept": 1}, "role": "user"});

    let by_owner = app.owner.post(&path, body).await.ok();
    let by_partner =
        world.partner(&app.id, "hunter2").post(&path, json!({"content": "Now."})).await.ok();

    assert_eq!((&by_owner["seq"], &by_owner["role"]), (&json!(2), &json!("assistant")));
    assert_eq!(by_owner["content_json"], json!({"source": "dashboard_agent", "kept": 1}));
    assert_eq!((&by_partner["seq"], &by_partner["role"]), (&json!(3), &json!("assistant")));
    assert_eq!(by_partner["content_json"], json!({"source": "dashboard_agent"}));
    let after = app.owner.get(&app.path("/subscribers")).await.ok()["items"][0].clone();
    assert_eq!(after["last_message_at"], Value::Null);
    assert_eq!(after["last_seen_at"], subscriber["last_seen_at"]);
}

pub(super) async fn fifty_messages_at_once_leave_no_gap(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.thread(json!({})).await;
    let path = app.path(&format!("/threads/{thread}/messages"));
    let posts = (0..50).map(|number| {
        let (owner, path) = (app.owner.clone(), path.clone());
        async move { owner.post(&path, json!({"content": number.to_string()})).await.ok() }
    });

    let stored = futures::future::join_all(posts).await;

    let mut seqs: Vec<i64> = stored.iter().map(|it| it["seq"].as_i64().unwrap()).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (2..=51).collect::<Vec<_>>());
}

pub(super) async fn a_customers_message_touches_the_subscriber(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.thread(json!({"customer_id": "c"})).await;
    let before = app.owner.get(&app.path("/subscribers")).await.ok()["items"][0].clone();

    app.say(&thread, "hello").await;

    let after = app.owner.get(&app.path("/subscribers")).await.ok()["items"][0].clone();
    assert_eq!(before["last_message_at"], Value::Null);
    assert!(before["last_seen_at"].is_string());
    assert!(after["last_message_at"].is_string());
    assert!(text(&after["last_seen_at"]) > text(&before["last_seen_at"]));
}

pub(super) async fn the_newest_messages_are_shown_and_pages_lead_both_ways(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.thread(json!({})).await;
    let posted = app.path(&format!("/threads/{thread}/messages"));
    // One after the other, so that the content says the number.
    for seq in 2..=60 {
        app.owner.post(&posted, json!({"content": seq.to_string()})).await.ok();
    }
    let seqs = async |query: &str| -> Vec<i64> {
        let page = app.owner.get(&format!("{posted}{query}")).await.ok();
        page.as_array().unwrap().iter().map(|it| it["seq"].as_i64().unwrap()).collect()
    };

    assert_eq!(seqs("").await, (11..=60).collect::<Vec<_>>());
    assert_eq!(seqs("?limit=3").await, [58, 59, 60]);
    assert_eq!(seqs("?before_seq=6&limit=3").await, [3, 4, 5]);
    assert_eq!(seqs("?before_seq=3").await, [1, 2]);
    assert_eq!(seqs("?before_seq=1").await, Vec::<i64>::new());
    assert_eq!(seqs("?before_seq=-5").await, Vec::<i64>::new());
    assert_eq!(seqs("?after_seq=6&limit=3").await, [7, 8, 9]);
    assert_eq!(seqs("?after_seq=0&limit=2").await, [1, 2]);
    assert_eq!(seqs("?after_seq=60").await, Vec::<i64>::new());
    assert_eq!(seqs("?before_seq=9223372036854775807&limit=1").await, [60]);
    assert_eq!(seqs("?after_seq=9223372036854775807").await, Vec::<i64>::new());
}

/// A page is counted in messages, however long they are.
pub(super) async fn a_page_of_long_messages_is_whole(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.thread(json!({})).await;
    for number in 2..=8 {
        let (long, short) = ("\u{1}\"é".repeat(50 * 1024), format!("message {number}"));
        app.say(&thread, if number % 3 == 0 { &short } else { &long }).await;
    }
    let page = async |query: &str| -> Vec<Value> {
        let path = app.path(&format!("/threads/{thread}/messages?{query}"));
        app.owner.get(&path).await.ok().as_array().unwrap().clone()
    };

    let all = page("limit=200").await;

    let seqs: Vec<i64> = all.iter().map(|message| message["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(page("limit=8").await, all);
    assert_eq!(page("limit=5").await, all[3..]);
    assert_eq!(page("before_seq=8&limit=5").await, all[2..7]);
    assert_eq!(page("before_seq=7").await, all[..6]);
    assert_eq!(page("after_seq=2&limit=5").await, all[2..7]);
    assert_eq!(page("after_seq=3").await, all[3..]);
}

pub(super) async fn a_page_of_messages_leads_one_way_only(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.thread(json!({})).await;
    let list = async |query: &str| {
        app.owner.get(&app.path(&format!("/threads/{thread}/messages?{query}"))).await
    };

    list("before_seq=5&after_seq=1").await.violates(&[("value_error", &["query", "after_seq"])]);
    list("before_seq=x&limit=0").await.violates(&[
        ("int_parsing", &["query", "before_seq"]),
        ("greater_than_equal", &["query", "limit"]),
    ]);
    list("after_seq=1.5&limit=201").await.violates(&[
        ("int_parsing", &["query", "after_seq"]),
        ("less_than_equal", &["query", "limit"]),
    ]);
    let huge = list("before_seq=9223372036854775808").await;
    huge.violates(&[("int_parsing", &["query", "before_seq"])]);
}

pub(super) async fn what_is_said_has_a_size(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.thread(json!({})).await;
    let path = app.path(&format!("/threads/{thread}/messages"));

    app.owner.post(&path, json!({"content": "x".repeat(256 * 1024)})).await.ok();
    let text = app.owner.post(&path, json!({"content": "x".repeat(256 * 1024 + 1)})).await;
    let data = json!({"content_json": {"x": "y".repeat(64 * 1024)}});
    let data = app.owner.post(&path, data).await;

    text.violates(&[("string_too_long", &["body", "content"])]);
    data.violates(&[("value_error", &["body", "content_json"])]);
    assert_eq!(app.messages(&thread).await.len(), 2);
}

pub(super) async fn a_message_of_somebody_else_does_not_exist(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.thread(json!({})).await;
    let message = text(&app.say(&thread, "hello").await["id"]);
    let path = format!("/messages/{message}");

    app.owner.get(&path).await.ok();
    world.owner().await.get(&path).await.fails(404, "ERROR_MESSAGE_NOT_FOUND");
    world.nobody().get(&path).await.fails(401, "Unauthorized");
    let unknown = format!("/messages/{}", nexo_core::MessageId::new());
    app.owner.get(&unknown).await.fails(404, "ERROR_MESSAGE_NOT_FOUND");
    app.owner.get("/messages/x").await.violates(&[("uuid_parsing", &["path", "message_id"])]);
}
