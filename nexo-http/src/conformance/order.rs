//! What is checked first: path, method, slash, syntax, caller, form, existence.

use serde_json::json;

use super::{Setup, world::App};

pub(super) async fn an_unknown_path_is_not_found(setup: Setup) {
    let world = setup.start().await;
    // Where a mount begins, the host may have a page of its own.
    let root = if world.prefix().is_empty() { "/" } else { "/nowhere/" };
    for path in ["/nowhere", root, "/apps//threads", "/apps/x/y", "/%ff", "/users", "/users/me/x"] {
        for method in ["GET", "POST", "DELETE", "OPTIONS", "BREW"] {
            let answer = world.nobody().call(method, path).send().await;
            answer.fails(404, "Not Found");
        }
    }
}

pub(super) async fn a_path_is_matched_as_it_was_sent(setup: Setup) {
    let world = setup.start().await;
    for path in ["/%61pps/", "/users%2Fme", "/openapi%2Ejson", "/auth/jw%74/login"] {
        for method in ["GET", "POST"] {
            world.nobody().call(method, path).send().await.fails(404, "Not Found");
        }
    }
    // The name of a user here, not the user who is signed in.
    let named = world.owner().await.get("/users/m%65").await;
    assert_ne!(named.status, 200, "{named}");
}

pub(super) async fn a_wrong_method_is_told_which_are_right(setup: Setup) {
    let world = setup.start().await;
    for (method, path, allowed) in [
        ("PUT", "/apps/", vec!["GET", "POST"]),
        ("PUT", "/apps/x", vec!["DELETE", "GET", "PATCH"]),
        ("GET", "/auth/register", vec!["POST"]),
        ("DELETE", "/users/me", vec!["GET", "PATCH"]),
        ("OPTIONS", "/users/me", vec!["GET", "PATCH"]),
        ("BREW", "/users/me", vec!["GET", "PATCH"]),
        ("PATCH", "/apps/x/threads/y/run/stream", vec!["GET", "POST"]),
    ] {
        let answer = world.nobody().call(method, path).send().await;
        answer.fails(405, "Method Not Allowed");
        let mut allow: Vec<&str> = answer.header("allow").unwrap().split(", ").collect();
        allow.sort_unstable();
        assert_eq!(allow, allowed, "{method} {path}");
    }
}

pub(super) async fn head_is_not_answered_like_get(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;
    for path in ["/apps/", "/users/me", "/openapi.json"] {
        let answer = owner.call("HEAD", path).send().await;
        assert_eq!(answer.status, 405, "{path}");
        assert!(answer.header("allow").is_some_and(|allow| allow.contains("GET")), "{path}");
    }
    assert_eq!(owner.call("HEAD", "/nowhere").send().await.status, 404);
}

pub(super) async fn a_slash_too_many_leads_to_the_path_without(setup: Setup) {
    let world = setup.start().await;
    let id = nexo_core::AppId::new();
    for (path, location) in [
        ("/users/me/".to_owned(), "/users/me".to_owned()),
        (format!("/apps/{id}/"), format!("/apps/{id}")),
        (format!("/apps/{id}/threads/?a=b&c=%20"), format!("/apps/{id}/threads?a=b&c=%20")),
        (
            format!("/apps/{id}/threads/x/run/stream/?x"),
            format!("/apps/{id}/threads/x/run/stream?x"),
        ),
        ("/auth/jwt/login/".into(), "/auth/jwt/login".into()),
    ] {
        for method in ["GET", "POST", "PUT"] {
            let answer = world.nobody().call(method, &path).send().await;
            assert_eq!((answer.status, answer.body.len()), (307, 0), "{answer}");
            let found = answer.header("location").unwrap();
            assert!(!found.contains("//") && !found.contains(':'), "{found} is not relative");
            let base = url::Url::parse(&format!("http://nexo.example.com{path}")).unwrap();
            let target = base.join(found).unwrap();
            assert_eq!(target.as_str(), format!("http://nexo.example.com{location}"));
        }
    }
    for path in ["/apps//", "/users//", "//example.com/", "/users/me//"] {
        let answer = world.nobody().get(path).await;
        answer.fails(404, "Not Found");
    }
}

pub(super) async fn broken_json_is_told_before_anything_else(setup: Setup) {
    let world = setup.start().await;
    let nothing = nexo_core::AppId::new();
    for (method, path) in [
        ("POST", "/apps/".to_owned()),
        ("PATCH", "/apps/x".into()),
        ("POST", "/apps/x/threads".into()),
        ("POST", format!("/apps/{nothing}/threads/x/messages")),
        ("PATCH", "/threads/x".into()),
        ("PATCH", "/users/me".into()),
        ("POST", "/auth/register".into()),
    ] {
        let broken = world.nobody().call(method, &path).body("application/json", "{\"a\":");
        let answer = broken.send().await;
        let entry = answer.violations().remove(0);
        assert_eq!(entry["type"], "json_invalid", "{answer}");
        assert_eq!(entry["loc"][0], "body");
        assert!(entry["loc"][1].is_u64(), "{answer}");
        assert_eq!(entry["input"], json!({}));
        assert!(entry["ctx"]["error"].is_string());
    }
    world
        .nobody()
        .call("PUT", "/apps/")
        .body("application/json", "{")
        .send()
        .await
        .fails(405, "Method Not Allowed");
}

pub(super) async fn owners_are_checked_then_their_request_then_what_it_names(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;
    let unknown = nexo_core::AppId::new();
    let wrong = json!({"name": 1});

    world.nobody().patch("/apps/x", wrong.clone()).await.fails(401, "Unauthorized");
    owner
        .patch("/apps/x", wrong.clone())
        .await
        .violates(&[("uuid_parsing", &["path", "app_id"]), ("string_type", &["body", "name"])]);
    owner
        .patch(&format!("/apps/{unknown}?merge=x"), wrong)
        .await
        .violates(&[("bool_parsing", &["query", "merge"]), ("string_type", &["body", "name"])]);
    owner.patch(&format!("/apps/{unknown}"), json!({})).await.fails(404, "ERROR_APP_NOT_FOUND");
    let thread = format!("/threads/{}", nexo_core::ThreadId::new());
    owner
        .patch(&thread, json!({"status": 1}))
        .await
        .violates(&[("literal_error", &["body", "status"])]);
    owner.patch(&thread, json!({})).await.fails(404, "ERROR_THREAD_NOT_FOUND");
}

pub(super) async fn partner_routes_look_up_before_they_check_the_request(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({"webhook_secret": "s"})).await;
    let thread = app.thread(json!({})).await;
    let unknown = (nexo_core::AppId::new(), nexo_core::ThreadId::new());
    let wrong = json!({"content": 1});
    let path = |app: &str, thread: &str| format!("/apps/{app}/threads/{thread}/messages");

    for caller in [world.nobody(), app.owner.clone(), world.partner("y", "z")] {
        let answer = caller.post(&path("x", "y"), wrong.clone()).await;
        answer.violates(&[("uuid_parsing", &["path", "app_id"])]);
    }
    world
        .nobody()
        .post(&path(&unknown.0.to_string(), "y"), wrong.clone())
        .await
        .fails(401, "ERROR_PARTNER_API_UNAUTHORIZED");
    app.owner
        .post(&path(&unknown.0.to_string(), "y"), wrong.clone())
        .await
        .fails(404, "ERROR_APP_NOT_FOUND");
    app.owner
        .get(&format!("/apps/{}/threads?limit=0", unknown.0))
        .await
        .fails(404, "ERROR_APP_NOT_FOUND");
    for caller in [app.owner.clone(), world.partner(&app.id, "s")] {
        let bad = caller.get(&path(&app.id, "y")).await;
        bad.violates(&[("uuid_parsing", &["path", "thread_id"])]);
        let missing = path(&app.id, &unknown.1.to_string());
        caller.post(&missing, wrong.clone()).await.fails(404, "ERROR_THREAD_NOT_FOUND");
        let list = caller.get(&format!("{missing}?limit=0")).await;
        list.fails(404, "ERROR_THREAD_NOT_FOUND");
        let both = caller.get(&format!("{missing}?before_seq=1&after_seq=1")).await;
        both.fails(404, "ERROR_THREAD_NOT_FOUND");
        let subscriber = nexo_core::SubscriberId::new();
        let subscriber = app.path(&format!("/subscribers/{subscriber}/threads?limit=x"));
        caller.get(&subscriber).await.fails(404, "ERROR_SUBSCRIBER_NOT_FOUND");
        let known = caller.post(&path(&app.id, &thread), wrong.clone()).await;
        known.violates(&[("string_type", &["body", "content"])]);
    }
}
