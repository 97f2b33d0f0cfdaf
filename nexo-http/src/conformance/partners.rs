//! Partners: who is let in, to what, and in which order it is decided.

use async_trait::async_trait;
use http::HeaderMap;
use nexo_core::{NewApp, Principal};
use serde_json::json;

use super::{Setup, client::Caller, world::App};
use crate::{ApiError, Authenticator, Settings};

const SECRET: &str = "clé-ключ-1";

/// An app with a secret and one thread, and the paths that partners may use.
async fn shop(world: &super::world::World) -> (App, String, Vec<(&'static str, String)>) {
    let app = App::create(&world.owner().await, json!({"webhook_secret": SECRET})).await;
    let thread = app.thread(json!({"customer_id": "c"})).await;
    let page = app.owner.get(&app.path("/subscribers")).await.ok();
    let subscriber = page["items"][0]["id"].as_str().unwrap().to_owned();
    let paths = vec![
        ("POST", app.path("/threads")),
        ("GET", app.path("/threads")),
        ("GET", app.path(&format!("/threads/{thread}/messages"))),
        ("POST", app.path(&format!("/threads/{thread}/messages"))),
        ("POST", app.path(&format!("/threads/{thread}/messages/assistant"))),
        ("GET", app.path("/subscribers")),
        ("GET", app.path(&format!("/subscribers/{subscriber}"))),
        ("GET", app.path(&format!("/subscribers/{subscriber}/threads"))),
    ];
    (app, thread, paths)
}

async fn call(caller: &Caller, method: &str, path: &str) -> super::client::Answer {
    let call = caller.call(method, path);
    if method == "GET" { call.send().await } else { call.json(&json!({})).send().await }
}

pub(super) async fn a_partner_works_with_its_app(setup: Setup) {
    let world = setup.start().await;
    let (app, _, paths) = shop(&world).await;
    let partner = world.partner(&app.id, SECRET);
    let unusual = world.nobody().with("X-APP-ID", app.id.to_uppercase().replace('-', ""));
    let unusual = unusual.with("X-App-Secret", SECRET);
    for (method, path) in paths {
        call(&partner, method, &path).await.ok();
        call(&unusual, method, &path).await.ok();
    }
}

pub(super) async fn every_row_of_the_partner_table_holds_on_every_route(setup: Setup) {
    let world = setup.start().await;
    let (app, _, paths) = shop(&world).await;
    let other = App::create(&app.owner, json!({"webhook_secret": SECRET})).await;
    let stranger = world.owner().await;
    let id = |value: &str| world.nobody().with("x-app-id", value);
    let secret = |caller: Caller, value: &[u8]| caller.with("x-app-secret", value);
    let unknown = nexo_core::AppId::new().to_string();

    let invalid = "ERROR_PARTNER_API_INVALID_APP_HEADER";
    let mismatch = "ERROR_PARTNER_API_APP_ID_MISMATCH";
    let wrong = "ERROR_PARTNER_API_APP_OR_SECRET_INVALID";
    let nobody = "ERROR_PARTNER_API_UNAUTHORIZED";
    for (method, path) in &paths {
        for (caller, key) in [
            (secret(id("x"), SECRET.as_bytes()), invalid),
            (secret(id("\u{e9}"), SECRET.as_bytes()), invalid),
            (secret(world.nobody().with("x-app-id", b"\xff\xfe"), b"x"), invalid),
            (secret(id(&other.id), SECRET.as_bytes()), mismatch),
            (secret(id(&unknown), SECRET.as_bytes()), mismatch),
            (secret(id(&app.id), b"wrong"), wrong),
            (secret(id(&app.id), b""), wrong),
            (secret(id(&app.id), b"\xff\xfe"), wrong),
            (secret(id(&app.id), "cl\u{e9}".as_bytes()), wrong),
            (id(&app.id), nobody),
            (secret(world.nobody(), SECRET.as_bytes()), nobody),
            (secret(id(""), SECRET.as_bytes()), nobody),
            (world.nobody(), nobody),
            (world.nobody().bearer("x"), nobody),
            (id(&app.id).bearer("x"), nobody),
        ] {
            call(&caller, method, path).await.fails(401, key);
        }
        call(&stranger, method, path).await.fails(404, "ERROR_APP_NOT_FOUND");
        call(&app.owner.clone().with("x-app-id", "x"), method, path).await.ok();
        call(&secret(app.owner.clone(), b"x"), method, path).await.ok();
        call(&secret(app.owner.clone().with("x-app-id", ""), b"x"), method, path).await.ok();
    }
}

pub(super) async fn partner_headers_win_over_a_token(setup: Setup) {
    let world = setup.start().await;
    let (app, _, paths) = shop(&world).await;
    let stranger = world.owner().await;
    for (method, path) in paths {
        let wrong = app.owner.clone().partner(&app.id, "wrong");
        let refused = call(&wrong, method, &path).await;
        refused.fails(401, "ERROR_PARTNER_API_APP_OR_SECRET_INVALID");
        let right = stranger.clone().partner(&app.id, SECRET);
        call(&right, method, &path).await.ok();
    }
}

pub(super) async fn an_app_that_is_unknown_or_has_no_secret_lets_no_partner_in(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let unknown = nexo_core::AppId::new().to_string();
    for id in [&app.id, &unknown] {
        for secret in ["", "x"] {
            let answer = world.partner(id, secret).get(&format!("/apps/{id}/threads")).await;
            answer.fails(401, "ERROR_PARTNER_API_APP_OR_SECRET_INVALID");
        }
    }
}

pub(super) async fn a_partner_sees_nothing_of_another_app(setup: Setup) {
    let world = setup.start().await;
    let (app, thread, _) = shop(&world).await;
    let other = App::create(&app.owner, json!({"webhook_secret": "other"})).await;
    let partner = world.partner(&other.id, "other");
    let path = other.path(&format!("/threads/{thread}/messages"));

    partner.get(&path).await.fails(404, "ERROR_THREAD_NOT_FOUND");
    partner.post(&path, json!({})).await.fails(404, "ERROR_THREAD_NOT_FOUND");
    let assistant = format!("{path}/assistant");
    partner.post(&assistant, json!({})).await.fails(404, "ERROR_THREAD_NOT_FOUND");
    assert_eq!(app.messages(&thread).await.len(), 1);
}

pub(super) async fn a_partner_may_not_where_only_owners_may(setup: Setup) {
    let world = setup.start().await;
    let (app, thread, _) = shop(&world).await;
    let message = app.say(&thread, "hello").await["id"].as_str().unwrap().to_owned();
    let partner = world.partner(&app.id, SECRET);
    for (method, path) in [
        ("GET", format!("/threads/{thread}")),
        ("PATCH", format!("/threads/{thread}")),
        ("DELETE", format!("/threads/{thread}")),
        ("GET", format!("/messages/{message}")),
        ("POST", app.path(&format!("/threads/{thread}/run"))),
        ("GET", app.path(&format!("/threads/{thread}/run/stream"))),
        ("POST", app.path("/webhook/test")),
        ("GET", "/users/me".into()),
    ] {
        call(&partner, method, &path).await.fails(401, "Unauthorized");
    }
    assert_eq!(app.messages(&thread).await.len(), 2);
}

pub(super) async fn an_app_can_grant_its_partners_more(setup: Setup) {
    let world = setup.start().await;
    let (app, thread, _) = shop(&world).await;
    let scopes = json!({"partner": {"scopes": ["runs:write", "threads:read"]}});
    app.owner.patch(&app.path(""), json!({"config_json": scopes})).await.ok();
    let partner = world.partner(&app.id, SECRET);
    app.say(&thread, "hello").await;
    let other = App::create(&app.owner, json!({})).await;
    let foreign = other.thread(json!({})).await;
    let run = app.path(&format!("/threads/{thread}/run"));

    let ran = call(&partner, "POST", &run).await.ok();
    let stream = partner.call("GET", &format!("{run}/stream")).open().await;
    let read = partner.get(&format!("/threads/{thread}")).await.ok();

    assert_eq!(ran["status"], "completed");
    assert_eq!(stream.status, 200);
    assert_eq!(read["id"], thread);
    let changed = partner.patch(&format!("/threads/{thread}"), json!({"title": "x"})).await;
    changed.fails(401, "Unauthorized");
    partner.get(&format!("/threads/{foreign}")).await.fails(404, "ERROR_THREAD_NOT_FOUND");
    let wrong = call(&world.partner(&app.id, "wrong"), "POST", &run).await;
    wrong.fails(401, "ERROR_PARTNER_API_APP_OR_SECRET_INVALID");
    let elsewhere = other.path(&format!("/threads/{foreign}/run"));
    call(&partner, "POST", &elsewhere).await.fails(401, "Unauthorized");
}

pub(super) async fn a_replaced_secret_is_valid_beside_the_new_one(setup: Setup) {
    let world = setup.start().await;
    let (app, _, _) = shop(&world).await;
    let threads = app.path("/threads");

    app.owner.patch(&app.path(""), json!({"webhook_secret": "new"})).await.ok();

    world.partner(&app.id, "new").get(&threads).await.ok();
    world.partner(&app.id, SECRET).get(&threads).await.ok();
}

/// Takes the word of whoever calls for the app that they work with, and their scopes.
#[derive(Debug)]
struct Gateway;

#[async_trait]
impl Authenticator for Gateway {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Principal>, ApiError> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let scopes = text("x-scopes").unwrap_or_default().split(' ').map(str::to_owned).collect();
        let app = text("x-works-with").and_then(|app| app.parse().ok());
        Ok(app.map(|app| Principal::App { app, scopes }))
    }
}

pub(super) async fn a_partner_whom_a_login_vouches_for_works_with_its_app(setup: Setup) {
    let store = setup.store();
    let world = setup.start_embedded(Gateway, Settings::default()).await;
    let new_app = async || {
        let app = NewApp::new("baker".parse().unwrap(), "Bakery");
        let id = store.create_app(app).await.unwrap().id.to_string();
        (world.nobody().with("x-works-with", &id), format!("/apps/{id}/threads"))
    };
    let (partner, threads) = new_app().await;
    let (stranger, _) = new_app().await;

    let created = partner.post(&threads, json!({})).await.ok();
    let thread = created["thread"]["id"].as_str().unwrap().to_owned();
    partner.post(&format!("{threads}/{thread}/messages"), json!({"content": "x"})).await.ok();
    let (run, read) = (format!("{threads}/{thread}/run"), format!("/threads/{thread}"));
    let granted = partner.clone().with("x-scopes", "runs:write threads:read");
    call(&granted, "POST", &run).await.ok();
    granted.get(&read).await.ok();

    call(&partner, "POST", &run).await.fails(401, "Unauthorized");
    partner.get(&read).await.fails(401, "Unauthorized");
    granted.get("/apps/").await.fails(401, "Unauthorized");
    granted.delete(&read).await.fails(401, "Unauthorized");
    stranger.get(&threads).await.fails(401, "ERROR_PARTNER_API_UNAUTHORIZED");
    let stranger = stranger.with("x-scopes", "runs:write threads:read");
    call(&stranger, "POST", &run).await.fails(401, "Unauthorized");
    stranger.get(&read).await.fails(404, "ERROR_THREAD_NOT_FOUND");
}
