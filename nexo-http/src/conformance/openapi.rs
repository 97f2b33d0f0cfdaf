//! The OpenAPI document: what generators of clients hold on to.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Setup;
use crate::{Settings, Throttle};

/// Every operation that clients know: where it is, and its id.
#[rustfmt::skip]
const OPERATIONS: [(&str, &str, &str); 32] = [
    ("post",   "/auth/jwt/login",                                        "auth-auth:jwt.login"),
    ("post",   "/auth/jwt/logout",                                       "auth-auth:jwt.logout"),
    ("post",   "/auth/register",                                         "auth-register:register"),
    ("post",   "/auth/forgot-password",                                  "auth-reset:forgot_password"),
    ("post",   "/auth/reset-password",                                   "auth-reset:reset_password"),
    ("post",   "/auth/request-verify-token",                             "auth-verify:request-token"),
    ("post",   "/auth/verify",                                           "auth-verify:verify"),
    ("get",    "/users/me",                                              "users-users:current_user"),
    ("patch",  "/users/me",                                              "users-users:patch_current_user"),
    ("get",    "/users/{id}",                                            "users-users:user"),
    ("patch",  "/users/{id}",                                            "users-users:patch_user"),
    ("delete", "/users/{id}",                                            "users-users:delete_user"),
    ("get",    "/apps/",                                                 "app-read_app"),
    ("post",   "/apps/",                                                 "app-create_app"),
    ("get",    "/apps/{app_id}",                                         "app-get_app"),
    ("patch",  "/apps/{app_id}",                                         "app-update_app"),
    ("delete", "/apps/{app_id}",                                         "app-delete_app"),
    ("post",   "/apps/{app_id}/threads",                                 "threads-create_thread"),
    ("get",    "/apps/{app_id}/threads",                                 "threads-list_threads"),
    ("get",    "/threads/{thread_id}",                                   "threads-get_thread"),
    ("patch",  "/threads/{thread_id}",                                   "threads-update_thread"),
    ("delete", "/threads/{thread_id}",                                   "threads-delete_thread"),
    ("get",    "/apps/{app_id}/threads/{thread_id}/messages",            "messages-list_messages"),
    ("post",   "/apps/{app_id}/threads/{thread_id}/messages",            "messages-create_message"),
    ("post",   "/apps/{app_id}/threads/{thread_id}/messages/assistant",  "messages-create_assistant_message"),
    ("get",    "/messages/{message_id}",                                 "messages-get_message"),
    ("get",    "/apps/{app_id}/subscribers",                             "subscribers-list_subscribers"),
    ("get",    "/apps/{app_id}/subscribers/{subscriber_id}",             "subscribers-get_subscriber"),
    ("get",    "/apps/{app_id}/subscribers/{subscriber_id}/threads",     "subscribers-list_subscriber_threads"),
    ("post",   "/apps/{app_id}/threads/{thread_id}/run",                 "run-run_sync"),
    ("get",    "/apps/{app_id}/threads/{thread_id}/run/stream",          "run-run_stream"),
    ("post",   "/apps/{app_id}/webhook/test",                            "webhook-webhook_test"),
];

const SCHEMAS: [&str; 31] = [
    "AppCreate",
    "AppRead",
    "AppUpdate",
    "BearerResponse",
    "Body_auth-reset_forgot_password",
    "Body_auth-reset_reset_password",
    "Body_auth-verify_request-token",
    "Body_auth-verify_verify",
    "CursorPage_SubscriberSummary_",
    "CursorPage_ThreadRead_",
    "CursorPage_ThreadSummary_",
    "ErrorModel",
    "HTTPValidationError",
    "MessageCreate",
    "MessageRead",
    "Page_AppRead_",
    "RunResponse",
    "SubscriberRead",
    "SubscriberSummary",
    "ThreadCreate",
    "ThreadCreateResponse",
    "ThreadRead",
    "ThreadSummary",
    "ThreadUpdate",
    "UserCreate",
    "UserRead",
    "UserUpdate",
    "ValidationError",
    "WebhookTestRequest",
    "WebhookTestResponse",
    "login",
];

pub(super) async fn the_document_has_the_names_that_clients_know(setup: Setup) {
    let world = setup.start().await;

    let document = world.nobody().get("/openapi.json").await.ok();

    assert_eq!(document, world.document);
    assert_eq!(document["openapi"], "3.1.0");
    for (method, path, id) in OPERATIONS {
        let operation = &document["paths"][path][method];
        assert_eq!(operation["operationId"], id, "{method} {path}");
        assert_eq!(operation["tags"], json!([id.split('-').next().unwrap()]));
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in SCHEMAS {
        assert!(schemas.contains_key(name), "{name}");
    }
}

pub(super) async fn every_reference_in_the_document_leads_somewhere(setup: Setup) {
    let world = setup.start().await;
    let mut references = BTreeSet::new();
    collect(&world.document, &mut references);

    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(world.document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            references.extend(reference.map(str::to_owned));
            members.values().for_each(|member| collect(member, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

pub(super) async fn the_document_says_where_a_token_is_needed(setup: Setup) {
    let world = setup.start().await;
    let scheme = &world.document["components"]["securitySchemes"]["OAuth2PasswordBearer"];
    assert_eq!(scheme["type"], "oauth2");
    assert_eq!(scheme["flows"]["password"]["tokenUrl"], "auth/jwt/login");
    for (method, path, id) in OPERATIONS {
        let security = &world.document["paths"][path][method]["security"];
        let needed = matches!(id.split_once('-').unwrap().0, "users" | "app" | "run" | "webhook")
            || path.starts_with("/threads/")
            || path.starts_with("/messages/")
            || id == "auth-auth:jwt.logout";
        assert_eq!(security.is_array(), needed, "{method} {path}");
    }
}

pub(super) async fn the_document_can_be_moved_and_turned_off(setup: Setup) {
    let (first, second) = (setup.clone(), setup);
    let moved = Settings { openapi_path: "/api/schema.json".into(), ..Settings::default() };
    let moved = first.start_with(moved, Throttle::off()).await;
    let off = Settings { openapi_path: "".into(), ..Settings::default() };
    let off = second.start_with(off, Throttle::off()).await;

    moved.nobody().get("/api/schema.json").await.ok();
    moved.nobody().get("/openapi.json").await.fails(404, "Not Found");
    for path in ["/openapi.json", "/docs", "/redoc"] {
        off.nobody().get(path).await.fails(404, "Not Found");
    }
}

pub(super) async fn the_whole_response_of_each_kind_is_described(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;
    let app = super::world::App::create(&owner, json!({})).await;
    let thread = app.asked("hello").await;
    let run = app.run(&thread).await;
    for (name, shown) in [
        ("AppRead", owner.get(&app.path("")).await.ok()),
        ("UserRead", owner.get("/users/me").await.ok()),
        ("ThreadRead", owner.get(&format!("/threads/{thread}")).await.ok()),
        ("MessageRead", run["assistant_message"].clone()),
        ("Page_AppRead_", owner.get("/apps/").await.ok()),
        ("RunResponse", run),
    ] {
        let schema = &world.document["components"]["schemas"][name];
        let described: BTreeSet<&String> =
            schema["properties"].as_object().unwrap().keys().collect();
        let found: BTreeSet<&String> = shown.as_object().unwrap().keys().collect();
        assert_eq!(found, described, "{name}");
    }
}
