//! Threads: created with a greeting, listed, changed, deleted.

use nexo_core::{NewApp, NewThread};
use serde_json::{Value, json};

use super::{
    Setup,
    client::Caller,
    world::{App, text},
};

pub(super) async fn a_thread_starts_with_a_greeting(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let body = json!({"title": "Rye bread", "customer_id": "cust-42", "status": "deleted", "x": 1});

    let created = app.owner.post(&app.path("/threads"), body).await.ok();

    let (thread, greeting) = (&created["thread"], &created["initial_message"]);
    assert_eq!(thread["app_id"], app.id);
    assert_eq!(thread["title"], "Rye bread");
    assert_eq!(thread["customer_id"], "cust-42");
    assert_eq!(thread["status"], "active");
    assert!(thread["subscriber_id"].is_string());
    assert_eq!(greeting["seq"], 1);
    assert_eq!(greeting["role"], "assistant");
    assert_eq!(greeting["thread_id"], thread["id"]);
    assert_eq!(greeting["content_json"], json!({"source": "system"}));
    assert!(!text(&greeting["content"]).is_empty());
    let id = text(&thread["id"]);
    assert_eq!(app.messages(&id).await, std::slice::from_ref(greeting));
    assert_eq!(app.owner.get(&format!("/threads/{id}")).await.ok(), *thread);
    for time in [&thread["created_at"], &thread["updated_at"], &greeting["created_at"]] {
        assert!(text(time).ends_with('Z') && text(time).contains('T'), "{time}");
    }
}

pub(super) async fn an_app_says_how_it_greets(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;
    let own = App::create(&owner, json!({"config_json": {"greeting": "¡Hola!"}})).await;
    let silent = App::create(&owner, json!({"config_json": {"greeting": false}})).await;

    let greeted = own.owner.post(&own.path("/threads"), json!({})).await.ok();
    let not = silent.owner.post(&silent.path("/threads"), json!({})).await.ok();

    assert_eq!(greeted["initial_message"]["content"], "¡Hola!");
    assert_eq!(not["initial_message"], Value::Null);
    let thread = text(&not["thread"]["id"]);
    assert_eq!(silent.say(&thread, "first").await["seq"], 1);
}

pub(super) async fn a_customer_is_one_subscriber_per_app(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;
    let app = App::create(&owner, json!({})).await;
    let other = App::create(&owner, json!({})).await;
    let subscriber = async |app: &App, body: Value| {
        app.owner.post(&app.path("/threads"), body).await.ok()["thread"]["subscriber_id"].clone()
    };

    let first = subscriber(&app, json!({"customer_id": "cust-42"})).await;
    let again = subscriber(&app, json!({"customer_id": "cust-42"})).await;
    let elsewhere = subscriber(&other, json!({"customer_id": "cust-42"})).await;

    assert_eq!(first, again);
    assert_ne!(first, elsewhere);
    for body in [json!({}), json!({"customer_id": null}), json!({"customer_id": ""})] {
        assert_eq!(subscriber(&app, body).await, Value::Null);
    }
    let empty = app.owner.get(&app.path("/threads?customer_id=")).await.ok();
    assert_eq!(empty["items"][0]["customer_id"], "");
}

pub(super) async fn fifty_new_threads_at_once_share_one_subscriber(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let creations = (0..50).map(|_| {
        let (owner, path) = (app.owner.clone(), app.path("/threads"));
        async move { owner.post(&path, json!({"customer_id": "new"})).await.ok() }
    });

    let created = futures::future::join_all(creations).await;

    let first = &created[0]["thread"]["subscriber_id"];
    assert!(created.iter().all(|it| it["thread"]["subscriber_id"] == *first));
    assert!(created.iter().all(|it| it["initial_message"]["seq"] == 1));
    let subscribers = app.owner.get(&app.path("/subscribers")).await.ok();
    assert_eq!(subscribers["items"].as_array().unwrap().len(), 1);
    assert_eq!(subscribers["items"][0]["thread_count"], 50);
}

pub(super) async fn texts_of_a_thread_have_a_length(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let create = async |body: Value| app.owner.post(&app.path("/threads"), body).await;

    create(json!({"customer_id": "é".repeat(128), "title": "é".repeat(255)})).await.ok();
    let customer = create(json!({"customer_id": "é".repeat(129)})).await;
    let both = create(json!({"customer_id": 7, "title": "é".repeat(256)})).await;

    customer.violates(&[("string_too_long", &["body", "customer_id"])]);
    assert_eq!(customer.violations()[0]["ctx"], json!({"max_length": 128}));
    assert_eq!(customer.violations()[0]["input"], "é".repeat(129));
    both.violates(&[
        ("string_too_long", &["body", "title"]),
        ("string_type", &["body", "customer_id"]),
    ]);
}

/// All pages of a list, by this many.
pub(super) async fn pages(caller: &Caller, path: &str, limit: usize) -> Vec<Vec<Value>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let mark = if path.contains('?') { '&' } else { '?' };
        let page = caller.get(&format!("{path}{mark}limit={limit}&cursor={cursor}")).await.ok();
        pages.push(page["items"].as_array().unwrap().clone());
        assert!(page.as_object().unwrap().contains_key("next_cursor"));
        let Some(next) = page["next_cursor"].as_str() else { return pages };
        assert!(
            next.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_=.~".contains(&it)),
            "{next}"
        );
        next.clone_into(&mut cursor);
    }
}

pub(super) async fn threads_are_listed_in_pages_the_latest_change_first(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(app.thread(json!({})).await);
    }
    app.say(&ids[1], "hello").await;
    app.owner.patch(&format!("/threads/{}", ids[0]), json!({})).await.ok();

    let pages = pages(&app.owner, &app.path("/threads"), 2).await;

    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    let listed: Vec<String> = pages.concat().iter().map(|it| text(&it["id"])).collect();
    assert_eq!(listed, [&ids[0], &ids[1], &ids[3], &ids[2]].map(Clone::clone));
}

pub(super) async fn threads_are_filtered_by_customer_and_label(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let active = app.thread(json!({"customer_id": "a"})).await;
    let archived = app.thread(json!({"customer_id": "a"})).await;
    let deleted = app.thread(json!({"customer_id": "ab"})).await;
    for (thread, status) in [(&archived, "archived"), (&deleted, "deleted")] {
        app.owner.patch(&format!("/threads/{thread}"), json!({"status": status})).await.ok();
    }
    let listed = async |query: &str| -> Vec<String> {
        let page = app.owner.get(&app.path(&format!("/threads{query}"))).await.ok();
        let mut ids: Vec<_> =
            page["items"].as_array().unwrap().iter().map(|it| text(&it["id"])).collect();
        ids.sort_unstable();
        ids
    };
    let sorted = |ids: &[&String]| -> Vec<String> {
        let mut ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        ids.sort_unstable();
        ids
    };

    assert_eq!(listed("").await, sorted(&[&active, &archived, &deleted]));
    assert_eq!(listed("?customer_id=a").await, sorted(&[&active, &archived]));
    assert_eq!(listed("?status=archived").await, std::slice::from_ref(&archived));
    assert_eq!(listed("?status=archived,deleted").await, sorted(&[&archived, &deleted]));
    assert_eq!(listed("?status=active&customer_id=ab").await, Vec::<String>::new());
    assert_eq!(listed("?status=unheard-of").await, Vec::<String>::new());
    assert_eq!(listed("?status=ACTIVE").await, Vec::<String>::new());
}

pub(super) async fn a_thread_is_changed_and_its_time_with_it(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let path = format!("/threads/{}", app.thread(json!({"title": "a"})).await);
    let before = app.owner.get(&path).await.ok();

    let same = app.owner.patch(&path, json!({"id": "x", "customer_id": "y"})).await.ok();
    let changed = app.owner.patch(&path, json!({"title": "b", "status": "archived"})).await.ok();
    let cleared = app.owner.patch(&path, json!({"title": null})).await.ok();

    assert_eq!((&same["title"], &same["customer_id"]), (&json!("a"), &Value::Null));
    assert!(text(&same["updated_at"]) > text(&before["updated_at"]));
    assert_eq!(same["created_at"], before["created_at"]);
    assert_eq!((&changed["title"], &changed["status"]), (&json!("b"), &json!("archived")));
    assert_eq!((&cleared["title"], &cleared["status"]), (&Value::Null, &json!("archived")));
}

pub(super) async fn a_label_is_one_of_three(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let path = format!("/threads/{}", app.thread(json!({})).await);
    for status in [json!("gone"), json!("Active"), json!(null), json!(1), json!({})] {
        let answer = app.owner.patch(&path, json!({"status": status})).await;
        answer.violates(&[("literal_error", &["body", "status"])]);
        let entry = &answer.violations()[0];
        assert_eq!(entry["input"], status);
        assert!(text(&entry["ctx"]["expected"]).contains("archived"));
    }
    assert_eq!(app.owner.get(&path).await.ok()["status"], "active");
}

pub(super) async fn a_label_hides_and_stops_nothing(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    for status in ["archived", "deleted"] {
        let thread = app.thread(json!({"customer_id": "c"})).await;
        app.owner.patch(&format!("/threads/{thread}"), json!({"status": status})).await.ok();

        app.say(&thread, "still here").await;
        assert_eq!(app.run(&thread).await["status"], "completed");
    }
}

pub(super) async fn posting_to_a_deleted_thread_can_be_forbidden(setup: Setup) {
    let settings = crate::Settings { post_to_deleted: false, ..crate::Settings::default() };
    let world = setup.start_with(settings, crate::Throttle::off()).await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.thread(json!({})).await;
    app.owner.patch(&format!("/threads/{thread}"), json!({"status": "deleted"})).await.ok();

    let path = app.path(&format!("/threads/{thread}/messages"));
    let answer = app.owner.post(&path, json!({"content": "x"})).await;

    answer.fails(409, "ERROR_CONFLICT");
    assert_eq!(app.messages(&thread).await.len(), 1);
}

pub(super) async fn a_deleted_thread_takes_an_orphaned_subscriber_along(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let alone = app.thread(json!({"customer_id": "alone"})).await;
    let first = app.thread(json!({"customer_id": "shared"})).await;
    app.thread(json!({"customer_id": "shared"})).await;
    let customers = async || -> Vec<String> {
        let page = app.owner.get(&app.path("/subscribers")).await.ok();
        page["items"].as_array().unwrap().iter().map(|it| text(&it["customer_id"])).collect()
    };

    let deleted = app.owner.delete(&format!("/threads/{alone}")).await.ok();
    app.owner.delete(&format!("/threads/{first}")).await.ok();

    assert_eq!(deleted, json!({"message": "ACTION_THREAD_DELETED"}));
    assert_eq!(customers().await, ["shared"]);
    app.owner.get(&format!("/threads/{alone}")).await.fails(404, "ERROR_THREAD_NOT_FOUND");
    app.owner.delete(&format!("/threads/{alone}")).await.fails(404, "ERROR_THREAD_NOT_FOUND");
    let messages = app.path(&format!("/threads/{alone}/messages"));
    app.owner.get(&messages).await.fails(404, "ERROR_THREAD_NOT_FOUND");
}

/// A thread with a customer and no subscriber can only be left over from elsewhere; what the
/// API shows of one is what counts here.
pub(super) async fn a_customer_who_speaks_is_seen(setup: Setup) {
    let world = setup.start().await;
    let (user, owner) = world.sign_up().await;
    let app = NewApp::new(user.id.into(), "a");
    let app = world.store.create_app(app).await.unwrap();
    let new = NewThread { customer_id: Some("c".into()), ..NewThread::default() };
    let scope = nexo_core::Scope::App(app.id);
    let (thread, _) = world.store.create_thread(&scope, app.id, new).await.unwrap();
    let app = App { owner, id: app.id.to_string() };

    app.say(&thread.id.to_string(), "hello").await;

    let listed = app.owner.get(&app.path("/subscribers")).await.ok();
    assert!(listed["items"][0]["last_message_at"].is_string());
}
