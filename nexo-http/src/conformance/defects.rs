//! Defects and outages: told without their cause, and to every origin.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;
use nexo_core::{AgentStream, Dispatcher, Principal, Turn};
use serde_json::json;

use super::{
    Setup,
    events::{names, stream},
    world::App,
};
use crate::{ApiError, Authenticator, Cors, Settings};

/// Fails in the way that the request asks for.
#[derive(Debug)]
struct Broken;

#[async_trait]
impl Authenticator for Broken {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Principal>, ApiError> {
        match headers.get("x-defect").map(|defect| defect.as_bytes()) {
            Some(b"panic") => panic!("the cause"),
            Some(b"error") => Err(ApiError::INTERNAL),
            Some(b"away") => Err(ApiError::UNAVAILABLE),
            _ => Ok(None),
        }
    }
}

pub(super) async fn a_defect_ends_one_request_and_is_readable_everywhere(setup: Setup) {
    let origin = "http://localhost:3000";
    let cors = Cors::new([origin.to_owned()]);
    let world = setup.start_embedded(Broken, Settings { cors, ..Settings::default() }).await;
    for (defect, status, key) in [
        ("panic", 500, "ERROR_INTERNAL"),
        ("error", 500, "ERROR_INTERNAL"),
        ("away", 503, "ERROR_UNAVAILABLE"),
    ] {
        let caller = world.nobody().with("x-defect", defect).with("origin", origin);
        let answer = caller.get("/apps/").await;
        answer.fails(status, key);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert!(answer.header("x-request-id").is_some());
    }
    world.nobody().get("/apps/").await.fails(401, "Unauthorized");
}

pub(super) async fn without_accounts_there_are_no_routes_for_them(setup: Setup) {
    let world = setup.start_embedded(Broken, Settings::default()).await;
    for path in ["/auth/register", "/auth/jwt/login", "/users/me", "/users/x"] {
        world.nobody().call("POST", path).send().await.fails(404, "Not Found");
    }
}

pub(super) async fn every_answer_has_a_request_id(setup: Setup) {
    let world = setup.start().await;

    let own = world.nobody().with("x-request-id", "req-42/a").get("/nowhere").await;
    let new = world.nobody().get("/nowhere").await;
    let long = world.nobody().with("x-request-id", "x".repeat(129)).get("/nowhere").await;
    let odd = world.nobody().with("x-request-id", b"\xff").get("/nowhere").await;

    assert_eq!(own.header("x-request-id"), Some("req-42/a"));
    for answer in [new, long, odd] {
        assert_eq!(answer.header("x-request-id").unwrap().len(), 36);
    }
}

/// Has a defect of its own.
#[derive(Debug)]
struct Defective;

impl Dispatcher for Defective {
    fn dispatch(&self, _: Arc<Turn>) -> AgentStream {
        panic!("the cause")
    }
}

pub(super) async fn a_run_with_a_defect_ends_like_any_that_failed(setup: Setup) {
    let world = setup.start_dispatching(Defective).await;
    let app = App::with_webhook(&world, "http://127.0.0.1:9/").await;
    let thread = app.asked("hello").await;

    let run = app.run(&thread).await;
    let events = stream(app.stream(&thread)).await;

    let expected = json!({"status": "error", "assistant_message": null, "error": "ERROR_INTERNAL"});
    assert_eq!(run, expected);
    assert_eq!(names(&events), ["meta", "error", "done"]);
    assert_eq!(events[1].data["message"], "ERROR_INTERNAL");
    assert!(!events[1].data.to_string().contains("cause"));
    assert_eq!(events[2].data, json!({"status": "error"}));
    assert_eq!(app.messages(&thread).await.len(), 2);
}
