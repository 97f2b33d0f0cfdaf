//! Rate limits: a burst is answered with 429 and when to come back.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use nexo_core::accounts::{LimitStore, Rate};
use serde_json::json;

use super::{
    Setup,
    client::Answer,
    world::{App, PASSWORD, World},
};
use crate::{Limits, Settings, Throttle};

/// Lets nothing be won back while a case runs.
const LONG: Duration = Duration::from_secs(3_600);

async fn limited(setup: Setup, change: impl FnOnce(&mut Limits)) -> World {
    let mut limits = Limits::default();
    change(&mut limits);
    let store: Arc<dyn LimitStore> = setup.store();
    setup.start_with(Settings::default(), Throttle::shared(limits, store)).await
}

fn is_refused(answer: &Answer) {
    answer.fails(429, "ERROR_RATE_LIMITED");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3_601).contains(&wait), "{wait}");
}

pub(super) async fn guessing_a_password_is_limited_and_locks_nobody_out(setup: Setup) {
    let world = limited(setup, |limits| limits.login_by_account = Rate::per(2, LONG)).await;
    let (user, _) = world.sign_up().await;
    for _ in 0..2 {
        world.log_in(&user.email, "wrong").await.fails(400, "LOGIN_BAD_CREDENTIALS");
    }

    is_refused(&world.log_in(&user.email, "wrong").await);
    is_refused(&world.log_in(&user.email.to_uppercase(), "wrong").await);
    world.log_in(&user.email, PASSWORD).await.ok();
    let other = world.log_in("other@example.com", PASSWORD).await;
    other.fails(400, "LOGIN_BAD_CREDENTIALS");
}

pub(super) async fn what_one_network_may_do_is_limited(setup: Setup) {
    let world = limited(setup, |limits| {
        limits.login_by_network = Rate::per(2, LONG);
        limits.register_by_network = Rate::per(2, LONG);
        limits.mail_by_network = Rate::per(2, LONG);
        limits.token_by_network = Rate::per(2, LONG);
    })
    .await;
    let email = |n: u32| format!("a{n}@example.com");
    let post = async |path: &str, body| world.nobody().post(path, body).await;
    for n in 0..3 {
        let login = world.log_in(&email(n), PASSWORD).await;
        let body = json!({"email": email(n), "password": PASSWORD});
        let register = post("/auth/register", body).await;
        let forgot = post("/auth/forgot-password", json!({"email": email(n)})).await;
        let verify = post("/auth/verify", json!({"token": "x"})).await;
        if n < 2 {
            assert_eq!(
                [login.status, register.status, forgot.status, verify.status],
                [400, 201, 202, 400]
            );
        } else {
            [login, register, forgot, verify].iter().for_each(is_refused);
        }
    }
    is_refused(&post("/auth/request-verify-token", json!({"email": email(9)})).await);
    let reset = json!({"token": "x", "password": PASSWORD});
    is_refused(&post("/auth/reset-password", reset).await);
}

pub(super) async fn guessing_a_secret_is_limited_and_locks_no_partner_out(setup: Setup) {
    let world = limited(setup, |limits| limits.partner_by_app = Rate::per(2, LONG)).await;
    let app = App::create(&world.owner().await, json!({"webhook_secret": "s"})).await;
    let path = app.path("/threads");
    for _ in 0..2 {
        let wrong = world.partner(&app.id, "wrong").get(&path).await;
        wrong.fails(401, "ERROR_PARTNER_API_APP_OR_SECRET_INVALID");
    }

    is_refused(&world.partner(&app.id, "wrong").get(&path).await);
    world.partner(&app.id, "s").get(&path).await.ok();
    app.owner.get(&path).await.ok();
}

pub(super) async fn a_network_that_guesses_is_not_listened_to(setup: Setup) {
    let world = limited(setup, |limits| limits.partner_by_network = Rate::per(2, LONG)).await;
    let app = App::create(&world.owner().await, json!({"webhook_secret": "s"})).await;
    let path = app.path("/threads");
    world.partner(&app.id, "s").get(&path).await.ok();
    for _ in 0..2 {
        world.partner(&app.id, "wrong").get(&path).await.is(401);
    }

    is_refused(&world.partner(&app.id, "wrong").get(&path).await);
    is_refused(&world.partner(&app.id, "s").get(&path).await);
}

pub(super) async fn the_runs_of_one_owner_are_limited(setup: Setup) {
    let world = limited(setup, |limits| limits.runs_by_caller = Rate::per(2, LONG)).await;
    let app = App::create(&world.owner().await, json!({})).await;
    let thread = app.asked("hello").await;
    let path = app.path(&format!("/threads/{thread}/run"));
    app.run(&thread).await;
    app.run(&thread).await;

    is_refused(&app.owner.call("POST", &path).send().await);
    is_refused(&app.owner.get(&format!("{path}/stream")).await);
    let test = json!({"webhook_url": "http://127.0.0.1:9/"});
    is_refused(&app.owner.post(&app.path("/webhook/test"), test).await);
    let (run, delivery) = app.delivered(&world, "hello").await;
    for path in [format!("/runs/{run}/replay"), format!("/deliveries/{delivery}/resend")] {
        is_refused(&app.owner.call("POST", &app.path(&path)).send().await);
    }
    let other = App::create(&world.owner().await, json!({})).await;
    let thread = other.asked("hello").await;
    other.run(&thread).await;
}

/// Every address of 127/8 is the machine's own only on some systems.
pub(super) async fn each_network_has_a_limit_of_its_own(setup: Setup) {
    if !cfg!(target_os = "linux") {
        return;
    }
    let world = limited(setup, |limits| limits.token_by_network = Rate::per(1, LONG)).await;
    let verify = async |last: u8, forwarded: &str| {
        let caller = world.nobody().from(Ipv4Addr::new(127, 0, 0, last).into());
        let caller = caller.with("x-forwarded-for", forwarded);
        caller.post("/auth/verify", json!({"token": "x"})).await
    };

    verify(2, "192.0.2.1").await.fails(400, "VERIFY_USER_BAD_TOKEN");
    is_refused(&verify(2, "192.0.2.2").await);
    verify(3, "192.0.2.1").await.fails(400, "VERIFY_USER_BAD_TOKEN");
}

pub(super) async fn behind_a_proxy_the_last_forwarded_address_counts(setup: Setup) {
    let limits = Limits { token_by_network: Rate::per(1, LONG), ..Limits::default() };
    let settings = Settings { trust_forwarded_for: true, ..Settings::default() };
    let world = setup.start_with(settings, Throttle::local(limits)).await;
    let verify = async |forwarded: &str| {
        let caller = world.nobody().with("x-forwarded-for", forwarded);
        caller.post("/auth/verify", json!({"token": "x"})).await
    };

    verify("203.0.113.9, 192.0.2.1").await.fails(400, "VERIFY_USER_BAD_TOKEN");
    is_refused(&verify("203.0.113.10, 192.0.2.1").await);
    is_refused(&verify("::ffff:192.0.2.1").await);
    verify("192.0.2.1, 192.0.2.2").await.fails(400, "VERIFY_USER_BAD_TOKEN");
    verify("2001:db8::1").await.fails(400, "VERIFY_USER_BAD_TOKEN");
    is_refused(&verify("2001:db8::2").await);
    verify("2001:db8:0:1::1").await.fails(400, "VERIFY_USER_BAD_TOKEN");

    let two_lines = world.nobody().with("x-forwarded-for", "203.0.113.11");
    let two_lines = two_lines.with("x-forwarded-for", "203.0.113.12, 192.0.2.1");
    is_refused(&two_lines.post("/auth/verify", json!({"token": "x"})).await);
}
