//! Cross-origin requests, on every kind of answer.

use serde_json::json;

use super::{Setup, client::Answer, world::World};
use crate::{Cors, Settings, Throttle};

const ORIGIN: &str = "http://localhost:3000";

async fn world(setup: Setup, cors: Cors) -> World {
    setup.start_with(Settings { cors, ..Settings::default() }, Throttle::off()).await
}

fn allowing() -> Cors {
    Cors::new([ORIGIN.to_owned(), "https://app.example.com".to_owned()])
}

async fn preflight(world: &World, origin: &str, headers: &str) -> Answer {
    let call = world.nobody().call("OPTIONS", "/apps/").header("origin", origin);
    let call = call.header("access-control-request-method", "PATCH");
    let call = if headers.is_empty() {
        call
    } else {
        call.header("access-control-request-headers", headers)
    };
    call.send().await
}

pub(super) async fn a_preflight_of_an_allowed_origin_is_answered(setup: Setup) {
    let world = world(setup, allowing()).await;

    let answer = preflight(&world, ORIGIN, "authorization, x-custom").await;

    assert_eq!((answer.status, &answer.body[..]), (200, &b"OK"[..]));
    for (name, value) in [
        ("access-control-allow-origin", ORIGIN),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
        ("access-control-allow-headers", "authorization, x-custom"),
        ("access-control-max-age", "600"),
        ("vary", "Origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
    assert_eq!(answer.header("access-control-expose-headers"), None);
    assert_eq!(preflight(&world, ORIGIN, "").await.status, 200);
}

pub(super) async fn a_preflight_of_another_origin_is_refused(setup: Setup) {
    let world = world(setup, allowing()).await;
    for origin in ["http://localhost:3001", "http://localhost:3000.evil.com", "null", "*"] {
        let answer = preflight(&world, origin, "authorization").await;
        assert_eq!(answer.status, 400);
        assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
        assert!(!answer.body.is_empty());
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

pub(super) async fn every_answer_tells_an_allowed_origin_that_it_may_read_it(setup: Setup) {
    let world = world(setup, allowing()).await;
    let owner = world.owner().await;
    let long = format!("/apps/?{}", "x".repeat(5_000));
    let calls = [
        (200, owner.call("GET", "/apps/")),
        (307, owner.call("GET", "/users/me/")),
        (401, world.nobody().call("GET", "/apps/")),
        (404, owner.call("GET", "/nowhere")),
        (405, owner.call("PUT", "/apps/")),
        (405, owner.call("HEAD", "/apps/")),
        (413, owner.call("POST", "/apps/").header("content-length", "2000000")),
        (414, owner.call("GET", &long)),
        (415, owner.call("POST", "/apps/").header("content-encoding", "gzip").json(&json!({}))),
        (422, owner.call("POST", "/apps/").json(&json!({}))),
        (422, owner.call("POST", "/apps/").body("application/json", "{")),
    ];
    for (status, call) in calls {
        let allowed = call.clone().header("origin", ORIGIN).send().await;
        assert_eq!(allowed.status, status, "{allowed}");
        assert_eq!(allowed.header("access-control-allow-origin"), Some(ORIGIN), "{allowed}");
        assert_eq!(allowed.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(allowed.header("vary"), Some("Origin"));
        let exposed = allowed.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("X-Run-Id") && exposed.contains("Retry-After"), "{exposed}");

        let other = call.clone().header("origin", "https://evil.example.com").send().await;
        assert_eq!(other.status, status);
        assert_eq!(other.header("access-control-allow-origin"), None);

        let none = call.send().await;
        assert_eq!(none.header("access-control-allow-origin"), None);
    }
}

pub(super) async fn any_origin_can_be_allowed(setup: Setup) {
    let world = world(setup, Cors::new(["*".to_owned()])).await;
    let origin = "https://anywhere.example.com";

    let asked = preflight(&world, origin, "authorization").await;
    let simple = world.nobody().with("origin", origin).get("/nowhere").await;
    let cookie = world.nobody().with("origin", origin).with("cookie", "a=b").get("/nowhere").await;

    assert_eq!(asked.status, 200);
    assert_eq!(asked.header("access-control-allow-origin"), Some(origin));
    assert_eq!(asked.header("access-control-allow-headers"), Some("authorization"));
    assert_eq!(simple.header("access-control-allow-origin"), Some("*"));
    assert_eq!(cookie.header("access-control-allow-origin"), Some(origin));
    assert_eq!(cookie.header("vary"), Some("Origin"));
}

pub(super) async fn an_embedded_api_says_nothing_about_origins(setup: Setup) {
    let world = setup.start().await;

    let asked = preflight(&world, ORIGIN, "authorization").await;
    let simple = world.nobody().with("origin", ORIGIN).get("/nowhere").await;

    asked.fails(405, "Method Not Allowed");
    assert!(simple.headers.iter().all(|(name, _)| !name.starts_with("access-control")));
}
