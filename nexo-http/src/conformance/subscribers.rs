//! Subscribers: listed, searched, and their threads.

use serde_json::{Value, json};

use super::{
    Setup,
    threads::pages,
    world::{App, text},
};

pub(super) async fn subscribers_are_listed_who_spoke_last_first(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let mut threads = Vec::new();
    for number in 0..5 {
        threads.push(app.thread(json!({"customer_id": format!("c{number}")})).await);
    }
    app.say(&threads[1], "one").await;
    app.say(&threads[0], "two").await;

    let pages = pages(&app.owner, &app.path("/subscribers"), 2).await;

    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    let names: Vec<String> = pages.concat().iter().map(|it| text(&it["customer_id"])).collect();
    assert_eq!(names, ["c0", "c1", "c4", "c3", "c2"]);
}

pub(super) async fn a_subscriber_is_shown_whole_and_in_a_list(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.thread(json!({"customer_id": "cust-42"})).await;
    app.thread(json!({"customer_id": "cust-42"})).await;
    app.say(&thread, "Is it vegan?").await;
    app.run(&thread).await;

    let listed = app.owner.get(&app.path("/subscribers")).await.ok()["items"][0].clone();
    let id = text(&listed["id"]);
    let shown = app.owner.get(&app.path(&format!("/subscribers/{id}"))).await.ok();

    let mut expected = listed.clone();
    let summary = expected.as_object_mut().unwrap();
    assert_eq!(summary.remove("thread_count"), Some(json!(2)));
    assert_eq!(summary.remove("last_message_preview"), Some(json!("Echo: Is it vegan?")));
    summary.insert("metadata_json".into(), json!({}));
    assert_eq!(shown, expected);
    assert_eq!(shown["app_id"], app.id);
    assert_eq!(shown["display_name"], "cust-42");
}

pub(super) async fn a_search_takes_every_character_as_it_is(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;
    let app = App::create(&owner, json!({})).await;
    let other = App::create(&owner, json!({})).await;
    for customer in ["Ärger", "a_b", "axb", "50%", "50x", "back\\slash"] {
        app.thread(json!({"customer_id": customer})).await;
        other.thread(json!({"customer_id": format!("{customer}-elsewhere")})).await;
    }
    let found = async |q: &str| -> Vec<String> {
        let q: String = url::form_urlencoded::byte_serialize(q.as_bytes()).collect();
        let page = owner.get(&app.path(&format!("/subscribers?q={q}"))).await.ok();
        page["items"].as_array().unwrap().iter().map(|it| text(&it["customer_id"])).collect()
    };

    assert_eq!(found("").await.len(), 6);
    assert_eq!(found("äRG").await, ["Ärger"]);
    assert_eq!(found("_").await, ["a_b"]);
    assert_eq!(found("%").await, ["50%"]);
    assert_eq!(found("\\").await, ["back\\slash"]);
    assert_eq!(found("elsewhere").await, Vec::<String>::new());
    assert_eq!(found("50").await, ["50x", "50%"]);
}

pub(super) async fn a_subscribers_threads_are_listed_with_their_newest_message(setup: Setup) {
    let world = setup.start().await;
    let config = json!({"config_json": {"greeting": false}});
    let app = App::create(&world.owner().await, config).await;
    let mut threads = Vec::new();
    for _ in 0..4 {
        threads.push(app.thread(json!({"customer_id": "c"})).await);
    }
    app.thread(json!({"customer_id": "other"})).await;
    app.say(&threads[2], "first").await;
    let long = format!("{}é", "é".repeat(300));
    let newest = app.say(&threads[2], &long).await;
    let page = app.owner.get(&app.path("/subscribers?q=c")).await.ok();
    let subscriber = text(&page["items"][0]["id"]);

    let path = app.path(&format!("/subscribers/{subscriber}/threads"));
    let pages = pages(&app.owner, &path, 2).await;

    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    let (spoken, silent) = (&pages[0][0], &pages[1][1]);
    assert_eq!(text(&spoken["id"]), threads[2]);
    assert_eq!(spoken["message_count"], 2);
    assert_eq!(spoken["last_message_at"], newest["created_at"]);
    let preview = text(&spoken["last_message_preview"]);
    assert_eq!(preview.chars().count(), 280);
    assert!(preview.chars().all(|it| it == 'é'));
    assert_eq!(silent["message_count"], 0);
    assert_eq!(silent["last_message_at"], Value::Null);
    assert_eq!(silent["last_message_preview"], Value::Null);
    assert_eq!(page["items"][0]["last_message_preview"], preview);
}

pub(super) async fn a_subscriber_of_another_app_does_not_exist(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;
    let app = App::create(&owner, json!({})).await;
    let other = App::create(&owner, json!({})).await;
    other.thread(json!({"customer_id": "c"})).await;
    let page = owner.get(&other.path("/subscribers")).await.ok();
    let foreign = text(&page["items"][0]["id"]);
    let unknown = nexo_core::SubscriberId::new().to_string();

    for id in [foreign, unknown] {
        for rest in ["", "/threads"] {
            let path = app.path(&format!("/subscribers/{id}{rest}"));
            owner.get(&path).await.fails(404, "ERROR_SUBSCRIBER_NOT_FOUND");
        }
    }
}

pub(super) async fn a_forged_cursor_is_refused(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    for _ in 0..2 {
        app.thread(json!({"customer_id": "c"})).await;
        app.thread(json!({"customer_id": "d"})).await;
    }
    let cursor = async |path: &str| text(&app.owner.get(&app.path(path)).await.ok()["next_cursor"]);
    let subscriber = app.owner.get(&app.path("/subscribers")).await.ok();
    let subscriber = text(&subscriber["items"][0]["id"]);
    let own = format!("/subscribers/{subscriber}/threads");
    let (threads, subscribers) =
        (cursor("/threads?limit=1").await, cursor("/subscribers?limit=1").await);

    let mut forged =
        vec!["x", "e30=", "e30", "W10=", "bnVsbA==", "%00", "%F0%9F%98%80", "____", "LTE="];
    let half = &threads[..threads.len() / 2];
    forged.push(half);
    for path in ["/threads", "/subscribers", &own] {
        for cursor in &forged {
            let answer = app.owner.get(&app.path(&format!("{path}?cursor={cursor}"))).await;
            if *cursor == "%00" {
                answer.violates(&[("value_error", &["query", "cursor"])]);
            } else {
                answer.fails(400, "ERROR_INVALID_CURSOR");
            }
        }
    }
    let mixed = app.owner.get(&app.path(&format!("/threads?cursor={subscribers}"))).await;
    mixed.fails(400, "ERROR_INVALID_CURSOR");
    let mixed = app.owner.get(&app.path(&format!("/subscribers?cursor={threads}"))).await;
    mixed.fails(400, "ERROR_INVALID_CURSOR");
    app.owner.get(&app.path("/threads?cursor=")).await.ok();
}
