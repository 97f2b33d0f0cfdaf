//! What is told about a request that does not fit.

use serde_json::{Value, json};

use super::{Setup, world::App};

pub(super) async fn all_that_is_wrong_is_told_at_once(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;
    let body = json!({"description": 1, "webhook_secret": ["x"], "config_json": 7});

    let answer = owner.post("/apps/", body.clone()).await;

    answer.violates(&[
        ("missing", &["body", "name"]),
        ("string_type", &["body", "description"]),
        ("string_type", &["body", "webhook_secret"]),
        ("dict_type", &["body", "config_json"]),
    ]);
    let entries = answer.violations();
    let shown = json!({"description": 1, "webhook_secret": "******", "config_json": 7});
    assert_eq!(entries[0]["input"], shown);
    assert_eq!((&entries[1]["input"], &entries[3]["input"]), (&json!(1), &json!(7)));
    assert_eq!(entries[2]["input"], "******");
}

pub(super) async fn an_absent_field_is_told_with_what_is_around_it(setup: Setup) {
    let world = setup.start().await;
    let register = world.nobody().post("/auth/register", json!({"locale": "en"})).await;
    let forgot = world.nobody().post("/auth/forgot-password", json!({"x": 1})).await;
    let reset = world.nobody().post("/auth/reset-password", json!({})).await;

    register.violates(&[("missing", &["body", "email"]), ("missing", &["body", "password"])]);
    assert_eq!(register.violations()[0]["input"], json!({"locale": "en"}));
    forgot.violates(&[("missing", &["body", "email"])]);
    assert_eq!(forgot.violations()[0]["input"], Value::Null);
    reset.violates(&[("missing", &["body", "token"]), ("missing", &["body", "password"])]);
}

pub(super) async fn an_absent_body_is_missing(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    for (method, path) in
        [("POST", "/apps/"), ("POST", &*app.path("/threads")), ("PATCH", "/users/me")]
    {
        let answer = app.owner.call(method, path).send().await;
        answer.violates(&[("missing", &["body"])]);
        assert_eq!(answer.violations()[0]["input"], Value::Null);
    }
}

pub(super) async fn a_body_that_is_no_object_is_told_as_such(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    for value in [json!([]), json!("text"), json!(1), json!(true)] {
        let answer = app.owner.post(&app.path("/threads"), value.clone()).await;
        answer.violates(&[("model_attributes_type", &["body"])]);
        assert_eq!(answer.violations()[0]["input"], value);
    }
}

pub(super) async fn json_counts_only_if_it_is_said_to_be_json(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;
    let body = r#"{"name":"a"}"#;
    let post = || owner.call("POST", "/apps/");
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "image/png"] {
        let answer = post().body(content_type, body).send().await;
        answer.violates(&[("model_attributes_type", &["body"])]);
    }
    for content_type in
        ["application/json; charset=utf-8", "Application/JSON", "application/vnd.a+json"]
    {
        post().body(content_type, body).send().await.ok();
    }
    post().untyped(body).send().await.ok();
}

pub(super) async fn no_answer_repeats_a_secret(setup: Setup) {
    let world = setup.start().await;
    let (user, owner) = world.sign_up().await;
    let secret = "HUNTER2";
    let text = format!(r#"{{"email":"{}","password":"{secret}"}}"#, user.email);
    let register = || world.nobody().call("POST", "/auth/register");
    let form = "application/x-www-form-urlencoded";
    for call in [
        register().body("text/plain", &text),
        register().json(&json!(text)),
        register().json(&json!([[secret]])),
        register().json(&json!({"password": {"x": secret}, "email": 1})),
        register().json(&json!({"password": secret})),
        register().json(&json!({"email": {"deep": [{"token": secret}]}, "password": "x"})),
        world.nobody().call("POST", "/auth/reset-password").json(&json!({"token": [secret]})),
        world.nobody().call("POST", "/auth/verify").json(&json!({"token": {"a": secret}})),
        owner.call("POST", "/apps/").json(&json!({"webhook_secret": [secret]})),
        owner
            .call("POST", "/apps/")
            .body("text/plain", format!(r#"{{"webhook_secret":"{secret}"}}"#)),
        owner.call("PATCH", "/users/me").json(&json!({"password": [secret]})),
        world.nobody().call("POST", "/auth/jwt/login").body(form, format!("password={secret}")),
        world
            .nobody()
            .call("POST", "/auth/jwt/login")
            .body(form, format!("username=a&password=b&grant_type=x&client_secret={secret}")),
    ] {
        let answer = call.send().await;
        answer.violations();
        assert!(!String::from_utf8_lossy(&answer.body).contains(secret), "{answer}");
    }
}

pub(super) async fn an_id_in_a_path_has_several_spellings(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let id = app.id.clone();
    for spelling in [
        id.to_uppercase(),
        id.replace('-', ""),
        format!("%7B{id}%7D"),
        format!("urn:uuid:{id}"),
        id.replace('-', "%2D"),
    ] {
        let shown = app.owner.get(&format!("/apps/{spelling}")).await.ok();
        assert_eq!(shown["id"], id);
    }
    for spelling in ["x", "%00", "%F0%9F%98%80", "%ff", &id[1..], &format!("{id}0"), "..", "null"] {
        let answer = app.owner.get(&format!("/apps/{spelling}")).await;
        answer.violates(&[("uuid_parsing", &["path", "app_id"])]);
        assert!(answer.violations()[0]["ctx"]["error"].is_string());
    }
}
