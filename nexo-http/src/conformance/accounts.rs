//! Signing up, in and out; passwords and addresses.

use std::time::Duration;

use nexo_core::{
    Clock, SystemClock,
    accounts::{MailKind, NewUser, User, UserChanges},
};
use serde_json::{Value, json};

use super::{
    Setup,
    client::Answer,
    world::{PASSWORD, World},
};

const LEASE: Duration = Duration::from_secs(60);

pub(super) async fn a_new_user_signs_in_and_is_shown(setup: Setup) {
    let world = setup.start().await;
    let body = json!({"email": "Nora.B@EXAMPLE.com", "password": PASSWORD});

    let registered = world.nobody().post("/auth/register", body).await.is(201);
    let answer = world.log_in("nora.b@Example.COM", PASSWORD).await.ok();

    assert_eq!(answer["token_type"], "bearer");
    let token = answer["access_token"].as_str().unwrap();
    let me = world.nobody().bearer(token).get("/users/me").await.ok();
    assert_eq!(me, registered);
    let expected = json!({"id": me["id"], "email": "Nora.B@example.com", "is_active": true,
        "is_superuser": false, "is_verified": false, "locale": "en"});
    assert_eq!(me, expected);
}

pub(super) async fn what_a_new_user_may_not_choose_has_no_effect(setup: Setup) {
    let world = setup.start().await;
    let body = json!({"email": "nora@example.com", "password": PASSWORD, "locale": "pt",
        "is_active": false, "is_superuser": true, "is_verified": true, "id": "x"});

    let user = world.nobody().post("/auth/register", body).await.is(201);

    let flags = (&user["is_active"], &user["is_superuser"], &user["is_verified"]);
    assert_eq!(flags, (&json!(true), &json!(false), &json!(false)));
    assert_eq!(user["locale"], "pt");
}

pub(super) async fn every_password_rule_that_is_broken_is_told(setup: Setup) {
    let world = setup.start().await;
    let email = "a@example.com";
    let reasons = async |password: &str| {
        let body = json!({"email": email, "password": password});
        reasons(&world.nobody().post("/auth/register", body).await, "REGISTER_INVALID_PASSWORD")
    };

    let short = reasons("Ab#").await;
    let address = reasons("Xa@example.com").await;
    let lower = reasons("abcdefg#").await;
    let plain = reasons("Abcdefg-_").await;

    for alone in [&short, &address, &lower, &plain] {
        assert_eq!(alone.len(), 1, "{alone:?}");
    }
    assert_eq!(reasons("ab").await, [&short[..], &lower, &plain].concat());
    assert_eq!(reasons("xa@example.com").await, [&address[..], &lower].concat());
    let good = json!({"email": email, "password": "ÜA@EXAMPLE.com"});
    world.nobody().post("/auth/register", good).await.is(201);
}

/// The sentences about what a password lacks.
#[track_caller]
fn reasons(answer: &Answer, code: &str) -> Vec<String> {
    let detail = answer.is(400)["detail"].clone();
    assert_eq!(detail["code"], code, "{answer}");
    let reasons = detail["reason"].as_array().unwrap_or_else(|| panic!("{answer}"));
    reasons.iter().map(|reason| reason.as_str().unwrap().to_owned()).collect()
}

pub(super) async fn an_address_is_taken_whatever_its_case(setup: Setup) {
    let world = setup.start().await;
    let register = async |email: &str, password: &str| {
        let body = json!({"email": email, "password": password});
        world.nobody().post("/auth/register", body).await
    };
    register("Nora@example.com", PASSWORD).await.is(201);

    let taken = register(" nORA@EXAMPLE.com ", PASSWORD).await;
    let weak = register("nora@example.com", "x").await;

    taken.fails(400, "REGISTER_USER_ALREADY_EXISTS");
    assert_eq!(reasons(&weak, "REGISTER_INVALID_PASSWORD").len(), 3);
}

pub(super) async fn of_twenty_registrations_at_once_one_succeeds(setup: Setup) {
    let world = setup.start().await;
    let registrations = (0..20).map(|number| {
        let email = if number % 2 == 0 { "nora@example.com" } else { "NORA@example.com" };
        let (caller, body) = (world.nobody(), json!({"email": email, "password": PASSWORD}));
        async move { caller.post("/auth/register", body).await }
    });

    let answers = futures::future::join_all(registrations).await;

    let (created, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 201);
    assert_eq!(created.len(), 1);
    for answer in refused {
        answer.fails(400, "REGISTER_USER_ALREADY_EXISTS");
    }
}

pub(super) async fn an_address_that_is_none_is_refused_with_a_reason(setup: Setup) {
    let world = setup.start().await;
    let routes = ["/auth/register", "/auth/forgot-password", "/auth/request-verify-token"];
    for email in ["nora", "a@b", "a@b@c.com", "a@mail.test", "a@mail.local", "a b@x.com", ""] {
        for route in routes {
            let body = json!({"email": email, "password": PASSWORD});
            let answer = world.nobody().post(route, body).await;
            answer.violates(&[("value_error", &["body", "email"])]);
            let entry = &answer.violations()[0];
            assert_eq!(entry["input"], email);
            assert!(entry["ctx"]["reason"].is_string(), "{answer}");
        }
    }
}

pub(super) async fn an_unknown_language_is_refused(setup: Setup) {
    let world = setup.start().await;
    let body = json!({"email": "nora@example.com", "password": PASSWORD, "locale": "xx"});

    let registered = world.nobody().post("/auth/register", body).await;
    let changed = world.owner().await.patch("/users/me", json!({"locale": "de"})).await;

    registered.violates(&[("value_error", &["body", "locale"])]);
    changed.violates(&[("value_error", &["body", "locale"])]);
}

pub(super) async fn a_wrong_login_does_not_tell_what_was_wrong(setup: Setup) {
    let world = setup.start().await;
    let (user, _) = world.sign_up().await;
    let (inactive, _) = world.sign_up().await;
    let changes = UserChanges { is_active: Some(false), ..UserChanges::default() };
    world.store.update_user(inactive.id, changes).await.unwrap();

    for (email, password) in [
        ("unknown@example.com", PASSWORD),
        (&*user.email, "Wrong&Word1"),
        (&*inactive.email, PASSWORD),
        ("no address", ""),
    ] {
        world.log_in(email, password).await.fails(400, "LOGIN_BAD_CREDENTIALS");
    }
}

pub(super) async fn a_login_is_a_form_of_either_kind(setup: Setup) {
    let world = setup.start().await;
    let (user, _) = world.sign_up().await;
    let part = |name: &str, value: &str| {
        format!("--x1\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let multipart =
        [part("username", &user.email), part("password", PASSWORD), "--x1--\r\n".into()].concat();
    let login = || world.nobody().call("POST", "/auth/jwt/login");

    login().body("multipart/form-data; boundary=x1", multipart).send().await.ok();
    let extras = format!(
        "grant_type=password&scope=&client_id=a&client_secret=b&username={}&password=Rye%26Wheat1",
        user.email
    );
    login().body("application/x-www-form-urlencoded", extras).send().await.ok();
}

pub(super) async fn a_login_that_is_no_form_lacks_both_fields(setup: Setup) {
    let world = setup.start().await;
    let login = || world.nobody().call("POST", "/auth/jwt/login");
    let both: &[(&str, &[&str])] =
        &[("missing", &["body", "username"]), ("missing", &["body", "password"])];

    let json = login().json(&json!({"username": "a", "password": "b"})).send().await;
    let nothing = login().send().await;
    let grant = login()
        .body("application/x-www-form-urlencoded", "grant_type=code&username=a&password=b")
        .send()
        .await;

    json.violates(both);
    assert!(json.violations().iter().all(|entry| entry["input"] == Value::Null), "{json}");
    nothing.violates(both);
    grant.violates(&[("string_pattern_mismatch", &["body", "grant_type"])]);
    assert!(grant.violations()[0]["ctx"]["pattern"].is_string(), "{grant}");
}

pub(super) async fn signing_out_leaves_the_token_as_it_is(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;

    let out = owner.call("POST", "/auth/jwt/logout").send().await;
    let stranger = world.nobody().call("POST", "/auth/jwt/logout").send().await;

    assert_eq!((out.status, out.body.len()), (204, 0));
    owner.get("/users/me").await.ok();
    stranger.fails(401, "Unauthorized");
    assert_eq!(stranger.header("www-authenticate"), None);
}

pub(super) async fn only_a_valid_token_signs_somebody_in(setup: Setup) {
    let world = setup.start().await;
    let (user, _) = world.sign_up().await;
    let now = SystemClock.now();
    let good = world.tokens.access(&user, now);
    let expired = world.tokens.access(&user, now.minus(Duration::from_secs(3_601)));
    let stranger = User { id: nexo_core::UserId::new(), ..user.clone() };

    for scheme in ["Bearer", "bearer", "BEARER"] {
        let header = format!("{scheme} {good}");
        let caller = world.nobody().with("authorization", header);
        caller.get("/users/me").await.ok();
        let nowhere = format!("/apps/{}/threads", nexo_core::AppId::new());
        caller.get(&nowhere).await.fails(404, "ERROR_APP_NOT_FOUND");
    }
    for header in [
        format!("Basic {good}"),
        good.clone(),
        "Bearer".into(),
        "Bearer ".into(),
        format!("Bearer {good}x"),
        format!("Bearer {expired}"),
        format!("Bearer {}", world.tokens.access(&stranger, now)),
        format!("Bearer {}", world.tokens.reset_password(&user, now)),
        format!("Bearer {}", world.tokens.verify_email(&user, now)),
    ] {
        let answer = world.nobody().with("authorization", &header).get("/users/me").await;
        answer.fails(401, "Unauthorized");
        assert_eq!(answer.header("www-authenticate"), None);
    }
}

pub(super) async fn a_token_ends_with_its_users_right_to_sign_in(setup: Setup) {
    let world = setup.start().await;
    let (user, caller) = world.sign_up().await;
    let active = |is_active| UserChanges { is_active: Some(is_active), ..UserChanges::default() };
    let app = caller.post("/apps/", json!({"name": "a"})).await.ok();
    let threads = format!("/apps/{}/threads", app["id"].as_str().unwrap());

    world.store.update_user(user.id, active(false)).await.unwrap();

    caller.get("/users/me").await.fails(401, "Unauthorized");
    caller.get("/apps/").await.fails(401, "Unauthorized");
    caller.get(&threads).await.fails(401, "ERROR_PARTNER_API_UNAUTHORIZED");
    world.store.update_user(user.id, active(true)).await.unwrap();
    caller.get("/users/me").await.fails(401, "Unauthorized");
}

/// The one mail that waits, which has to be of this kind.
async fn only_mail(world: &World, kind: MailKind) -> User {
    let mut mails = world.store.claim_mails(10, LEASE).await.unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].kind, kind);
    mails.remove(0).user
}

pub(super) async fn a_forgotten_password_is_reset_once(setup: Setup) {
    let world = setup.start().await;
    let (user, old) = world.sign_up().await;
    let reset = async |token: &str, password: &str| {
        let body = json!({"token": token, "password": password});
        world.nobody().post("/auth/reset-password", body).await
    };

    let asked = json!({"email": user.email.to_uppercase()});
    let answer = world.nobody().post("/auth/forgot-password", asked).await;
    assert_eq!(answer.is(202), Value::Null);
    let mailed = only_mail(&world, MailKind::ResetPassword).await;
    let token = world.tokens.reset_password(&mailed, SystemClock.now());

    let weak = reset(&token, "short").await;
    assert_eq!(reasons(&weak, "RESET_PASSWORD_INVALID_PASSWORD").len(), 3);
    assert_eq!(reset(&token, "New&Password2").await.ok(), Value::Null);
    reset(&token, "New&Password3").await.fails(400, "RESET_PASSWORD_BAD_TOKEN");
    world.log_in(&user.email, PASSWORD).await.fails(400, "LOGIN_BAD_CREDENTIALS");
    world.sign_in(&user.email, "New&Password2").await;
    old.get("/users/me").await.fails(401, "Unauthorized");
}

pub(super) async fn a_bad_reset_token_changes_nothing(setup: Setup) {
    let world = setup.start().await;
    let (user, _) = world.sign_up().await;
    let now = SystemClock.now();
    let expired = world.tokens.reset_password(&user, now.minus(Duration::from_secs(3_601)));
    let inactive = world.sign_up().await.0;
    let changes = UserChanges { is_active: Some(false), ..UserChanges::default() };
    let inactive = world.store.update_user(inactive.id, changes).await.unwrap();
    let moved = world.sign_up().await.0;
    let email = Some("elsewhere@example.com".to_owned());
    let changes = UserChanges { email, ..UserChanges::default() };
    world.store.update_user(moved.id, changes).await.unwrap();

    for token in [
        "".to_owned(),
        "garbage".to_owned(),
        expired,
        world.tokens.access(&user, now),
        world.tokens.verify_email(&user, now),
        world.tokens.reset_password(&inactive, now),
        // It went to a mailbox that is not theirs any more.
        world.tokens.reset_password(&moved, now),
    ] {
        let body = json!({"token": token, "password": "New&Password2"});
        let answer = world.nobody().post("/auth/reset-password", body).await;
        answer.fails(400, "RESET_PASSWORD_BAD_TOKEN");
    }
    world.sign_in(&user.email, PASSWORD).await;
}

pub(super) async fn asking_for_a_mail_does_not_tell_who_exists(setup: Setup) {
    let world = setup.start().await;
    for route in ["/auth/forgot-password", "/auth/request-verify-token"] {
        let answer = world.nobody().post(route, json!({"email": "unknown@example.com"})).await;
        assert_eq!(answer.is(202), Value::Null);
    }
    assert!(world.store.claim_mails(10, LEASE).await.unwrap().is_empty());
}

pub(super) async fn an_address_is_verified_once(setup: Setup) {
    let world = setup.start().await;
    let (user, _) = world.sign_up().await;
    let verify =
        async |token: &str| world.nobody().post("/auth/verify", json!({"token": token})).await;
    let asked = json!({"email": user.email});

    let answer = world.nobody().post("/auth/request-verify-token", asked.clone()).await;
    assert_eq!(answer.is(202), Value::Null);
    let mailed = only_mail(&world, MailKind::VerifyEmail).await;
    let token = world.tokens.verify_email(&mailed, SystemClock.now());
    let verified = verify(&token).await.ok();

    assert_eq!(verified["is_verified"], true);
    assert_eq!(verified["email"], user.email);
    verify(&token).await.fails(400, "VERIFY_USER_ALREADY_VERIFIED");
    verify("garbage").await.fails(400, "VERIFY_USER_BAD_TOKEN");
    verify(&world.tokens.access(&user, SystemClock.now()))
        .await
        .fails(400, "VERIFY_USER_BAD_TOKEN");
    let missing = world.nobody().post("/auth/verify", json!({})).await;
    missing.violates(&[("missing", &["body", "token"])]);
    world.nobody().post("/auth/request-verify-token", asked).await.is(202);
    assert!(world.store.claim_mails(10, LEASE).await.unwrap().is_empty());
}

pub(super) async fn an_address_that_has_changed_since_is_not_verified(setup: Setup) {
    let world = setup.start().await;
    let (user, caller) = world.sign_up().await;
    let token = world.tokens.verify_email(&user, SystemClock.now());

    caller.patch("/users/me", json!({"email": "new@example.com"})).await.ok();

    let answer = world.nobody().post("/auth/verify", json!({"token": token})).await;
    answer.fails(400, "VERIFY_USER_BAD_TOKEN");
}

pub(super) async fn an_old_hash_is_replaced_at_login(setup: Setup) {
    let world = setup.start().await;
    let user = NewUser {
        email: "nora@example.com".into(),
        hashed_password: bcrypt::hash(PASSWORD, 4).unwrap(),
        is_superuser: false,
        is_verified: false,
        locale: "en".into(),
    };
    world.store.create_user(user).await.unwrap();

    let caller = world.sign_in("nora@example.com", PASSWORD).await;

    assert!(world.user("nora@example.com").await.hashed_password.starts_with("$argon2id$"));
    caller.get("/users/me").await.ok();
    world.sign_in("nora@example.com", PASSWORD).await;
}
