//! Apps: created, listed, changed, deleted; secrets and configuration.

use nexo_core::{JsonObject, NewApp, Scope};
use serde_json::{Value, json};

use super::{
    Setup,
    agents::Agent,
    world::{App, text},
};

const MASK: &str = "••••••";

pub(super) async fn an_app_is_created_read_changed_and_deleted(setup: Setup) {
    let world = setup.start().await;
    let (user, owner) = world.sign_up().await;

    let created = owner.post("/apps/", json!({"name": "Bakery desk"})).await.ok();
    let id = text(&created["id"]);
    let path = format!("/apps/{id}");
    let expected = json!({"id": id, "user_id": user.id, "name": "Bakery desk",
        "description": null, "webhook_url": null, "webhook_secret": null, "config_json": {}});
    assert_eq!(created, expected);
    assert_eq!(owner.get(&path).await.ok(), expected);

    let changed = owner.patch(&path, json!({"name": "", "description": "Bread"})).await.ok();
    assert_eq!((&changed["name"], &changed["description"]), (&json!(""), &json!("Bread")));
    assert_eq!(owner.get(&path).await.ok(), changed);

    let deleted = owner.delete(&path).await.ok();
    assert_eq!(deleted, json!({"message": "ACTION_APP_DELETED"}));
    owner.get(&path).await.fails(404, "ERROR_APP_NOT_FOUND");
    owner.patch(&path, json!({})).await.fails(404, "ERROR_APP_NOT_FOUND");
    owner.delete(&path).await.fails(404, "ERROR_APP_NOT_FOUND");
}

pub(super) async fn what_a_change_does_not_name_stays_and_null_clears(setup: Setup) {
    let world = setup.start().await;
    let body = json!({"name": "a", "description": "b", "webhook_url": "https://x.example.com/h",
        "webhook_secret": "s", "config_json": {"mine": [1, null, {"é": "😀"}]}});
    let app = App::create(&world.owner().await, body).await;

    let same = app.owner.patch(&app.path(""), json!({})).await.ok();
    let cleared = json!({"description": null, "webhook_url": null, "webhook_secret": null});
    let cleared = app.owner.patch(&app.path(""), cleared).await.ok();

    assert_eq!(same["description"], "b");
    assert_eq!(same["webhook_url"], "https://x.example.com/h");
    assert_eq!(same["webhook_secret"], MASK);
    assert_eq!(same["config_json"], json!({"mine": [1, null, {"é": "😀"}]}));
    for member in ["description", "webhook_url", "webhook_secret"] {
        assert_eq!(cleared[member], Value::Null, "{member}");
    }
    assert_eq!(cleared["name"], "a");
    assert_eq!(cleared["config_json"], same["config_json"]);
}

pub(super) async fn a_secret_is_never_shown(setup: Setup) {
    let world = setup.start().await;
    let body = json!({"name": "a", "webhook_secret": "hunter2"});
    let owner = world.owner().await;

    let created = owner.post("/apps/", body).await;
    let path = format!("/apps/{}", text(&created.ok()["id"]));
    let read = owner.get(&path).await;
    let list = owner.get("/apps/").await;
    let changed = owner.patch(&path, json!({"webhook_secret": "hunter2-new"})).await;

    assert_eq!(created.ok()["webhook_secret"], MASK);
    assert_eq!(list.ok()["items"][0]["webhook_secret"], MASK);
    for answer in [created, read, list, changed] {
        assert!(!String::from_utf8(answer.body.clone()).unwrap().contains("hunter2"), "{answer}");
    }
}

pub(super) async fn the_mask_leaves_a_secret_as_it_is(setup: Setup) {
    let world = setup.start().await;
    let body = json!({"name": "a", "webhook_secret": "hunter2"});
    let app = App::create(&world.owner().await, body).await;
    let partner = world.partner(&app.id, "hunter2");

    app.owner.patch(&app.path(""), json!({"webhook_secret": MASK, "name": "b"})).await.ok();
    partner.get(&app.path("/threads")).await.ok();

    let as_first = app.owner.post("/apps/", json!({"name": "c", "webhook_secret": MASK})).await;
    as_first.violates(&[("value_error", &["body", "webhook_secret"])]);
    let emptied = app.owner.patch(&app.path(""), json!({"webhook_secret": ""})).await.ok();
    assert_eq!(emptied["webhook_secret"], Value::Null);
    let refused = partner.get(&app.path("/threads")).await;
    refused.fails(401, "ERROR_PARTNER_API_APP_OR_SECRET_INVALID");
    let empty = app.owner.post("/apps/", json!({"name": "d", "webhook_secret": ""})).await.ok();
    assert_eq!(empty["webhook_secret"], Value::Null);
}

pub(super) async fn apps_are_listed_in_pages_oldest_first(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;
    let empty = owner.get("/apps/").await.ok();
    assert_eq!(empty, json!({"items": [], "total": 0, "page": 1, "size": 10, "pages": 0}));
    for number in 0..19 {
        App::create(&owner, json!({"name": number.to_string()})).await;
    }
    App::create(&world.owner().await, json!({"name": "another's"})).await;
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|app| text(&app["name"])).collect()
    };
    let range =
        |range: std::ops::Range<i32>| -> Vec<String> { range.map(|n| n.to_string()).collect() };

    let first = owner.get("/apps/").await.ok();
    let third = owner.get("/apps/?page=3&size=8").await.ok();
    let past = owner.get("/apps/?page=4&size=8").await.ok();
    let changed = format!("/apps/{}", text(&first["items"][3]["id"]));
    owner.patch(&changed, json!({"description": "changed"})).await.ok();

    assert_eq!(names(&first), range(0..10));
    let about =
        |page: &Value| ["total", "page", "size", "pages"].map(|it| page[it].as_u64().unwrap());
    assert_eq!(about(&first), [19, 1, 10, 2]);
    assert_eq!(names(&third), range(16..19));
    assert_eq!(about(&third), [19, 3, 8, 3]);
    assert_eq!((names(&past), about(&past)), (Vec::new(), [19, 4, 8, 3]));
    assert_eq!(names(&owner.get("/apps/?size=100").await.ok()), range(0..19));
}

pub(super) async fn a_page_out_of_range_is_told_whole(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;

    let both = owner.get("/apps/?page=0&size=101").await.violations();
    let words = owner.get("/apps/?page=x&size=").await;

    let without_prose: Vec<Value> = both
        .into_iter()
        .map(|mut entry| {
            entry.as_object_mut().unwrap().remove("msg");
            entry
        })
        .collect();
    let expected = json!([
        {"type": "greater_than_equal", "loc": ["query", "page"], "input": "0", "ctx": {"ge": 1}},
        {"type": "less_than_equal", "loc": ["query", "size"], "input": "101", "ctx": {"le": 100}},
    ]);
    assert_eq!(Value::from(without_prose), expected);
    words.violates(&[("int_parsing", &["query", "page"]), ("int_parsing", &["query", "size"])]);
    assert_eq!(words.violations()[0]["input"], "x");
}

pub(super) async fn somebody_elses_app_does_not_exist(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({"name": "mine"})).await;
    let other = world.owner().await;

    other.get(&app.path("")).await.fails(404, "ERROR_APP_NOT_FOUND");
    other.patch(&app.path(""), json!({"name": "x"})).await.fails(404, "ERROR_APP_NOT_FOUND");
    other.delete(&app.path("")).await.fails(404, "ERROR_APP_NOT_FOUND");
    let test = json!({"webhook_url": "http://127.0.0.1:9/"});
    other.post(&app.path("/webhook/test"), test).await.fails(404, "ERROR_APP_NOT_FOUND");

    assert_eq!(app.owner.get(&app.path("")).await.ok()["name"], "mine");
    assert_eq!(other.get("/apps/").await.ok()["total"], 0);
}

pub(super) async fn the_collection_answers_without_its_slash_as_well(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;

    let created = owner.post("/apps", json!({"name": "a"})).await.ok();
    let list = owner.get("/apps?size=5").await.ok();

    assert_eq!(list["items"][0]["id"], created["id"]);
    assert_eq!(list["size"], 5);
    world.nobody().get("/apps").await.fails(401, "Unauthorized");
}

pub(super) async fn a_partner_is_nobody_among_apps(setup: Setup) {
    let world = setup.start().await;
    let body = json!({"name": "a", "webhook_secret": "hunter2"});
    let app = App::create(&world.owner().await, body).await;
    let partner = world.partner(&app.id, "hunter2");

    partner.get("/apps/").await.fails(401, "Unauthorized");
    partner.post("/apps/", json!({"name": "b"})).await.fails(401, "Unauthorized");
    partner.get(&app.path("")).await.fails(401, "Unauthorized");
    partner.patch(&app.path(""), json!({"name": "b"})).await.fails(401, "Unauthorized");
    partner.delete(&app.path("")).await.fails(401, "Unauthorized");
    let both = app.owner.clone().partner("nonsense", "wrong");
    both.get(&app.path("")).await.ok();
}

pub(super) async fn an_address_that_must_not_be_called_is_not_stored(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    for url in [
        "ftp://agent.example.com/",
        "agent.example.com",
        "http://",
        "http://10.0.0.1/",
        "http://192.168.1.1:8080/",
        "http://169.254.169.254/latest",
        "http://[fd00::1]/",
        "http://0xa.1/",
        "http://167772161/",
        "http://127.1.2.3/",
        "http://a.localhost/",
        "http://user:word@agent.example.com/",
        "javascript:alert(1)",
    ] {
        let expected: &[(&str, &[&str])] = &[("value_error", &["body", "webhook_url"])];
        let body = json!({"name": "a", "webhook_url": url});
        app.owner.post("/apps/", body).await.violates(expected);
        app.owner.patch(&app.path(""), json!({"webhook_url": url})).await.violates(expected);
    }
    for url in
        ["https://10.example.com/hook", "http://localhost:8080", "http://127.0.0.1:1/ü?q=%20"]
    {
        let changed = app.owner.patch(&app.path(""), json!({"webhook_url": url})).await.ok();
        assert_eq!(changed["webhook_url"], url);
    }
    let emptied = app.owner.patch(&app.path(""), json!({"webhook_url": ""})).await.ok();
    assert_eq!(emptied["webhook_url"], Value::Null);
}

pub(super) async fn what_is_interpreted_of_a_configuration_is_checked(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    for (config, kind, loc) in [
        (json!({"integration": null}), "dict_type", vec!["integration"]),
        (json!({"integration": {"mode": 1}}), "string_type", vec!["integration", "mode"]),
        (json!({"simulator": []}), "dict_type", vec!["simulator"]),
        (json!({"simulator": {"disclaimer": "yes"}}), "bool_type", vec!["simulator", "disclaimer"]),
        (
            json!({"webhook": {"timeout_ms": 99}}),
            "greater_than_equal",
            vec!["webhook", "timeout_ms"],
        ),
        (
            json!({"webhook": {"timeout_ms": 120_001}}),
            "less_than_equal",
            vec!["webhook", "timeout_ms"],
        ),
        (json!({"webhook": {"timeout_ms": "8000"}}), "int_type", vec!["webhook", "timeout_ms"]),
        (json!({"greeting": true}), "string_type", vec!["greeting"]),
        (json!({"partner": {"scopes": "all"}}), "list_type", vec!["partner", "scopes"]),
    ] {
        let place = [&["body", "config_json"][..], &loc].concat();
        let created = app.owner.post("/apps/", json!({"name": "a", "config_json": config})).await;
        created.violates(&[(kind, &place)]);
        let changed = app.owner.patch(&app.path(""), json!({"config_json": config})).await;
        changed.violates(&[(kind, &place)]);
    }
    let config = json!({"integration": {"mode": "telepathy"}, "webhook": {"timeout_ms": 100},
        "greeting": false, "mine": null, "n": 12345678901234567890_u64});
    let kept = app.owner.patch(&app.path(""), json!({"config_json": config})).await.ok();
    assert_eq!(kept["config_json"], config);
}

pub(super) async fn a_stored_configuration_from_before_the_check_still_runs(setup: Setup) {
    let world = setup.start().await;
    let (user, owner) = world.sign_up().await;
    let config: JsonObject =
        r#"{"integration":null,"simulator":7,"webhook":{"timeout_ms":"soon"}}"#.parse().unwrap();
    let old = NewApp { config, ..NewApp::new(user.id.into(), "old") };
    let old = world.store.create_app(old).await.unwrap();
    let app = App { owner, id: old.id.to_string() };
    let thread = app.asked("Still there?").await;

    let run = app.run(&thread).await;

    assert_eq!(run["assistant_message"]["content"], "Echo: Still there?");
    assert_eq!(app.owner.get("/apps/").await.ok()["total"], 1);
}

pub(super) async fn a_configuration_is_replaced_or_merged(setup: Setup) {
    let world = setup.start().await;
    let config = json!({"webhook": {"timeout_ms": 9000, "mine": 1}, "gone": true});
    let app = App::create(&world.owner().await, json!({"config_json": config})).await;
    let change = json!({"config_json": {"webhook": {"mine": 2}, "gone": null}});

    let merged = app.owner.patch(&app.path("?merge=true"), change.clone()).await.ok();
    let replaced = app.owner.patch(&app.path(""), change).await.ok();

    assert_eq!(merged["config_json"], json!({"webhook": {"timeout_ms": 9000, "mine": 2}}));
    assert_eq!(replaced["config_json"], json!({"webhook": {"mine": 2}, "gone": null}));
    let change = json!({"config_json": {"webhook": {"timeout_ms": 9000}, "greeting": "Hi"}});
    app.owner.patch(&app.path(""), change).await.ok();
    let removal = json!({"config_json": {"webhook": {"timeout_ms": null}, "greeting": null}});
    let removed = app.owner.patch(&app.path("?merge=true"), removal.clone()).await.ok();
    assert_eq!(removed["config_json"], json!({"webhook": {}}));
    let gone = json!({"config_json": {"webhook": null, "integration": null}});
    let gone = app.owner.patch(&app.path("?merge=true"), gone).await.ok();
    assert_eq!(gone["config_json"], json!({}));
    app.owner.patch(&app.path("?merge=false"), removal).await.violates(&[
        ("int_type", &["body", "config_json", "webhook", "timeout_ms"]),
        ("string_type", &["body", "config_json", "greeting"]),
    ]);
    let wrong = json!({"config_json": {"greeting": null, "webhook": {"timeout_ms": 99}}});
    let place: &[&str] = &["body", "config_json", "webhook", "timeout_ms"];
    let wrong = app.owner.patch(&app.path("?merge=true"), wrong).await;
    wrong.violates(&[("greater_than_equal", place)]);
    let odd = app.owner.patch(&app.path("?merge=perhaps"), json!({})).await;
    odd.violates(&[("bool_parsing", &["query", "merge"])]);
}

pub(super) async fn null_is_no_name_and_no_configuration(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({"name": "a"})).await;
    for (member, kind) in [("name", "string_type"), ("config_json", "dict_type")] {
        let mut body = json!({"name": "b"});
        body[member] = Value::Null;
        app.owner.post("/apps/", body.clone()).await.violates(&[(kind, &["body", member])]);
        let changed = app.owner.patch(&app.path(""), json!({member: null})).await;
        changed.violates(&[(kind, &["body", member])]);
    }
    assert_eq!(app.owner.get("/apps/").await.ok()["items"][0]["name"], "a");
}

pub(super) async fn names_and_configurations_have_a_size(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let change = async |body: Value| app.owner.patch(&app.path(""), body).await;

    change(json!({"name": "ü".repeat(255)})).await.ok();
    let name = change(json!({"name": "ü".repeat(256)})).await;
    let config = change(json!({"config_json": {"x": "y".repeat(64 * 1024)}})).await;

    name.violates(&[("string_too_long", &["body", "name"])]);
    assert_eq!(name.violations()[0]["ctx"]["max_length"], 255);
    config.violates(&[("value_error", &["body", "config_json"])]);
    change(json!({"config_json": {"x": "y".repeat(63 * 1024)}})).await.ok();
    let merge = async |value: Value| {
        let body = json!({"config_json": {"z": value}, "name": "merged"});
        app.owner.patch(&app.path("?merge=true"), body).await
    };
    let too_much = merge(json!("y".repeat(1024))).await;
    too_much.violates(&[("value_error", &["body", "config_json"])]);
    assert_eq!(app.owner.get(&app.path("")).await.ok()["name"], "ü".repeat(255));
    merge(json!("y".repeat(512))).await.ok();
}

pub(super) async fn a_deleted_app_takes_everything_along(setup: Setup) {
    let world = setup.start().await;
    let agent = Agent::replying("hi").await;
    let app = App::with_webhook(&world, &agent.url()).await;
    let thread = app.thread(json!({"customer_id": "cust-42"})).await;
    let message = text(&app.say(&thread, "hello").await["id"]);
    app.run(&thread).await;

    app.owner.delete(&app.path("")).await.ok();

    app.owner.get(&format!("/threads/{thread}")).await.fails(404, "ERROR_THREAD_NOT_FOUND");
    app.owner.get(&format!("/messages/{message}")).await.fails(404, "ERROR_MESSAGE_NOT_FOUND");
    app.owner.get(&app.path("/subscribers")).await.fails(404, "ERROR_APP_NOT_FOUND");
    let id = app.id.parse().unwrap();
    assert!(world.store.get_app(&Scope::Everything, id).await.is_err());
}
