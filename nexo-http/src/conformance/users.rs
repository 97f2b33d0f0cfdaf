//! The signed-in user, and administrators of users.

use serde_json::{Value, json};

use super::{Setup, world::PASSWORD};

pub(super) async fn a_user_changes_what_is_theirs(setup: Setup) {
    let world = setup.start().await;
    let (user, caller) = world.sign_up().await;
    let flags = json!({"is_active": false, "is_superuser": true, "is_verified": true});

    let unchanged = caller.patch("/users/me", flags).await.ok();
    let changed = caller.patch("/users/me", json!({"locale": "es", "password": null})).await.ok();

    let expected = json!({"id": user.id, "email": user.email, "is_active": true,
        "is_superuser": false, "is_verified": false, "locale": "en"});
    assert_eq!(unchanged, expected);
    assert_eq!(changed["locale"], "es");
    assert_eq!(caller.get("/users/me").await.ok(), changed);
    world.sign_in(&user.email, PASSWORD).await;
}

pub(super) async fn a_new_address_is_not_verified(setup: Setup) {
    let world = setup.start().await;
    let (_, root) = world.superuser().await;
    let (user, caller) = world.sign_up().await;
    let path = format!("/users/{}", user.id);
    root.patch(&path, json!({"is_verified": true})).await.ok();

    let changed = caller.patch("/users/me", json!({"email": "New@EXAMPLE.org"})).await.ok();

    assert_eq!(changed["email"], "New@example.org");
    assert_eq!(changed["is_verified"], false);
    world.sign_in("new@example.org", PASSWORD).await;
}

pub(super) async fn a_taken_address_can_not_be_chosen(setup: Setup) {
    let world = setup.start().await;
    let (other, _) = world.sign_up().await;
    let caller = world.owner().await;

    let answer = caller.patch("/users/me", json!({"email": other.email.to_uppercase()})).await;

    answer.fails(400, "UPDATE_USER_EMAIL_ALREADY_EXISTS");
}

pub(super) async fn a_new_password_ends_older_tokens(setup: Setup) {
    let world = setup.start().await;
    let (user, caller) = world.sign_up().await;

    let weak = caller.patch("/users/me", json!({"password": "abc"})).await.is(400);
    assert_eq!(weak["detail"]["code"], "UPDATE_USER_INVALID_PASSWORD");
    assert_eq!(weak["detail"]["reason"].as_array().unwrap().len(), 3);
    caller.get("/users/me").await.ok();
    caller.patch("/users/me", json!({"password": "New&Password2"})).await.ok();

    caller.get("/users/me").await.fails(401, "Unauthorized");
    let app = format!("/apps/{}/threads", nexo_core::AppId::new());
    caller.get(&app).await.fails(401, "ERROR_PARTNER_API_UNAUTHORIZED");
    world.sign_in(&user.email, "New&Password2").await.get("/users/me").await.ok();
}

pub(super) async fn null_is_no_value_for_a_user(setup: Setup) {
    let world = setup.start().await;
    let caller = world.owner().await;
    for (member, kind) in [
        ("email", "string_type"),
        ("locale", "string_type"),
        ("is_active", "bool_type"),
        ("is_superuser", "bool_type"),
        ("is_verified", "bool_type"),
    ] {
        let answer = caller.patch("/users/me", json!({member: null})).await;
        answer.violates(&[(kind, &["body", member])]);
    }
    caller.get("/users/me").await.ok();
}

pub(super) async fn a_flag_is_a_boolean_or_reads_like_one(setup: Setup) {
    let world = setup.start().await;
    let (_, root) = world.superuser().await;
    let (user, _) = world.sign_up().await;
    let path = format!("/users/{}", user.id);

    for (value, expected) in [(json!(true), true), (json!("off"), false), (json!(1), true)] {
        let changed = root.patch(&path, json!({"is_verified": value})).await.ok();
        assert_eq!(changed["is_verified"], expected);
    }
    for (value, kind) in [
        (json!("maybe"), "bool_parsing"),
        (json!(2), "bool_parsing"),
        (json!([]), "bool_type"),
        (json!({}), "bool_type"),
    ] {
        let answer = root.patch(&path, json!({"is_verified": value})).await;
        answer.violates(&[(kind, &["body", "is_verified"])]);
        assert_eq!(answer.violations()[0]["input"], value);
    }
}

pub(super) async fn only_superusers_see_other_users(setup: Setup) {
    let world = setup.start().await;
    let (user, caller) = world.sign_up().await;
    let path = format!("/users/{}", user.id);

    for method in ["GET", "PATCH", "DELETE"] {
        let call = |caller: super::client::Caller| caller.call(method, &path).json(&json!({}));
        call(world.nobody()).send().await.fails(401, "Unauthorized");
        call(caller.clone()).send().await.fails(403, "Forbidden");
    }
    caller.get("/users/me").await.ok();
}

pub(super) async fn a_superuser_changes_any_user(setup: Setup) {
    let world = setup.start().await;
    let (_, root) = world.superuser().await;
    let (user, caller) = world.sign_up().await;
    let path = format!("/users/{}", user.id);

    let shown = root.get(&path).await.ok();
    let off =
        json!({"is_active": false, "is_superuser": true, "is_verified": true, "locale": "pt"});
    let changed = root.patch(&path, off).await.ok();

    assert_eq!(shown["email"], user.email);
    let expected = json!({"id": user.id, "email": user.email, "is_active": false,
        "is_superuser": true, "is_verified": true, "locale": "pt"});
    assert_eq!(changed, expected);
    caller.get("/users/me").await.fails(401, "Unauthorized");
}

pub(super) async fn an_unknown_user_is_not_found(setup: Setup) {
    let world = setup.start().await;
    let (_, root) = world.superuser().await;
    for id in [&*nexo_core::UserId::new().to_string(), "me-not", "1"] {
        let path = format!("/users/{id}");
        root.get(&path).await.fails(404, "Not Found");
        root.patch(&path, json!({"locale": "es"})).await.fails(404, "Not Found");
        root.delete(&path).await.fails(404, "Not Found");
    }
    let unknown = format!("/users/{}", nexo_core::UserId::new());
    let answer = root.patch(&unknown, json!({"locale": 1})).await;
    answer.violates(&[("string_type", &["body", "locale"])]);
}

pub(super) async fn a_superuser_changes_others_by_the_same_rules(setup: Setup) {
    let world = setup.start().await;
    let (own, root) = world.superuser().await;
    let (user, _) = world.sign_up().await;
    let path = format!("/users/{}", user.id);

    let taken = root.patch(&path, json!({"email": own.email})).await;
    let weak = root.patch(&path, json!({"password": "abc"})).await.is(400);
    let null = root.patch(&path, json!({"email": null})).await;

    taken.fails(400, "UPDATE_USER_EMAIL_ALREADY_EXISTS");
    assert_eq!(weak["detail"]["code"], "UPDATE_USER_INVALID_PASSWORD");
    null.violates(&[("string_type", &["body", "email"])]);
}

pub(super) async fn a_deleted_user_takes_their_apps_along(setup: Setup) {
    let world = setup.start().await;
    let (own, root) = world.superuser().await;
    let (user, caller) = world.sign_up().await;
    let secret = json!({"name": "a", "webhook_secret": "s3cret"});
    let app = caller.post("/apps/", secret).await.ok();
    let id = app["id"].as_str().unwrap();

    let deleted = root.delete(&format!("/users/{}", user.id)).await;

    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    root.get(&format!("/users/{}", user.id)).await.fails(404, "Not Found");
    caller.get("/apps/").await.fails(401, "Unauthorized");
    let partner = world.partner(id, "s3cret").get(&format!("/apps/{id}/threads")).await;
    partner.fails(401, "ERROR_PARTNER_API_APP_OR_SECRET_INVALID");
    let oneself = root.delete(&format!("/users/{}", own.id)).await;
    assert_eq!((oneself.status, Value::Null), (204, Value::Null));
}
