//! Isolation, made from the OpenAPI document: every operation that names something, called by
//! everybody who must not.

use std::time::Duration;

use nexo_core::{
    Clock, SystemClock,
    accounts::{User, UserChanges},
};
use serde_json::{Value, json};

use super::{
    Setup,
    client::{Answer, Caller},
    world::{App, World, text},
};

/// Stands in everything of the victim's that could leak.
const MARKER: &str = "PRIVATE-MARKER";

/// Somebody with an app in use.
struct Tenant {
    user: User,
    app: App,
    ids: Vec<(&'static str, String)>,
}

impl Tenant {
    async fn create(world: &World, secret: &str) -> Self {
        let (user, owner) = world.sign_up().await;
        let body = json!({"name": MARKER, "description": MARKER, "webhook_secret": secret});
        let app = App::create(&owner, body).await;
        let thread = app.thread(json!({"title": MARKER, "customer_id": MARKER})).await;
        let message = app.say(&thread, MARKER).await["id"].as_str().unwrap().to_owned();
        app.run(&thread).await;
        let (run, delivery) = app.delivered(world, MARKER).await;
        let replay = owner.post(&app.path(&format!("/runs/{run}/replay")), json!({})).await.ok();
        let page = owner.get(&app.path("/subscribers")).await.ok();
        let subscriber = page["items"][0]["id"].as_str().unwrap().to_owned();
        let ids = vec![
            ("{app_id}", app.id.clone()),
            ("{thread_id}", thread),
            ("{message_id}", message),
            ("{subscriber_id}", subscriber),
            ("{run_id}", run),
            ("{delivery_id}", delivery),
            ("{replay_id}", text(&replay["replay_id"])),
            ("{id}", user.id.to_string()),
        ];
        Self { user, app, ids }
    }

    fn path(&self, pattern: &str) -> String {
        let fill = |path: String, (name, id): &(&str, String)| path.replace(name, id);
        let path = self.ids.iter().fold(pattern.to_owned(), fill);
        assert!(!path.contains('{'), "{pattern} names what no tenant here has: give them one");
        path
    }

    /// All that there is of theirs.
    async fn snapshot(&self) -> Vec<Value> {
        let thread = &self.ids[1].1;
        let paths = [
            "/users/me".to_owned(),
            "/apps/".into(),
            self.app.path("/threads"),
            self.app.path(&format!("/threads/{thread}/messages")),
            self.app.path("/subscribers"),
            self.app.path("/runs"),
            self.app.path("/deliveries"),
            self.path("/apps/{app_id}/runs/{run_id}/replays"),
        ];
        let mut all = Vec::new();
        for path in paths {
            all.push(self.app.owner.get(&path).await.ok());
        }
        all
    }
}

/// The operations that name something in their path: method, pattern, whether partners may.
fn operations(document: &Value) -> Vec<(String, String, bool)> {
    let mut found = Vec::new();
    for (pattern, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if pattern.contains('{') {
                let partners = operation["security"].is_null();
                found.push((method.to_uppercase(), pattern.clone(), partners));
            }
        }
    }
    assert!(found.len() > 20);
    found
}

async fn call(caller: &Caller, method: &str, path: &str) -> Answer {
    let call = caller.call(method, path);
    let body = json!({"webhook_url": "http://127.0.0.1:9/", "content": "x", "title": "x", "name": "x",
            "reply": "x"});
    let answer = if method == "GET" { call.send().await } else { call.json(&body).send().await };
    let shown = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!shown.contains(MARKER), "{answer}");
    answer
}

pub(super) async fn nobody_who_must_not_reaches_what_is_somebody_elses(setup: Setup) {
    let world = setup.start().await;
    let victim = Tenant::create(&world, "victims").await;
    let other = Tenant::create(&world, "others").await;
    let now = SystemClock.now();
    let expired = world.tokens.access(&victim.user, now.minus(Duration::from_secs(3_601)));
    let older = User { token_epoch: victim.user.token_epoch - 1, ..victim.user.clone() };
    let older = world.tokens.access(&older, now);
    let before = victim.snapshot().await;

    for (method, pattern, partners) in operations(&world.document) {
        let path = victim.path(&pattern);
        let about_users = pattern.starts_with("/users/");
        let unauthorized = if partners { "ERROR_PARTNER_API_UNAUTHORIZED" } else { "Unauthorized" };
        for caller in [
            world.nobody(),
            world.nobody().bearer("x"),
            world.nobody().bearer(&expired),
            world.nobody().bearer(&older),
        ] {
            call(&caller, &method, &path).await.fails(401, unauthorized);
        }
        let stranger = call(&other.app.owner, &method, &path).await;
        assert_eq!(stranger.status, if about_users { 403 } else { 404 }, "{stranger}");

        let own = world.partner(&other.app.id, "others");
        let forged = world.partner(&victim.app.id, "others");
        let keys = if partners {
            ["ERROR_PARTNER_API_APP_ID_MISMATCH", "ERROR_PARTNER_API_APP_OR_SECRET_INVALID"]
        } else {
            ["Unauthorized"; 2]
        };
        call(&own, &method, &path).await.fails(401, keys[0]);
        call(&forged, &method, &path).await.fails(401, keys[1]);
    }
    assert_eq!(victim.snapshot().await, before);
}

/// The operations that name nothing in their path, and whether somebody has to be signed in.
const NAMELESS: [(&str, &str, bool); 11] = [
    ("GET", "/apps/", true),
    ("POST", "/apps/", true),
    ("POST", "/auth/forgot-password", false),
    ("POST", "/auth/jwt/login", false),
    ("POST", "/auth/jwt/logout", true),
    ("POST", "/auth/register", false),
    ("POST", "/auth/request-verify-token", false),
    ("POST", "/auth/reset-password", false),
    ("POST", "/auth/verify", false),
    ("GET", "/users/me", true),
    ("PATCH", "/users/me", true),
];

pub(super) async fn what_names_nothing_is_open_only_if_it_is_meant_to_be(setup: Setup) {
    let world = setup.start().await;
    let documented = world.document["paths"].as_object().unwrap().iter();
    let documented = documented.filter(|(pattern, _)| !pattern.contains('{'));
    for (pattern, methods) in documented {
        for method in methods.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            let entry = NAMELESS.iter().find(|it| (it.0, it.1) == (&method, pattern));
            let (.., closed) = entry.unwrap_or_else(|| panic!("{method} {pattern}: who may?"));
            for caller in [world.nobody(), world.nobody().bearer("x")] {
                let answer = call(&caller, &method, pattern).await;
                assert_eq!(answer.status == 401, *closed, "{answer}");
            }
        }
    }
}

pub(super) async fn an_app_of_ones_own_leads_to_nothing_of_another(setup: Setup) {
    let world = setup.start().await;
    let victim = Tenant::create(&world, "victims").await;
    let other = Tenant::create(&world, "others").await;
    let before = victim.snapshot().await;
    let nested = operations(&world.document).into_iter();
    let nested = nested.filter(|(_, pattern, _)| pattern.matches('{').count() > 1);
    for (method, pattern, partners) in nested {
        let path = victim.path(&pattern.replace("{app_id}", &other.app.id));

        let owner = call(&other.app.owner, &method, &path).await;
        assert_eq!(owner.status, 404, "{owner}");
        let partner = call(&world.partner(&other.app.id, "others"), &method, &path).await;
        assert_eq!(partner.status, if partners { 404 } else { 401 }, "{partner}");
    }
    assert_eq!(victim.snapshot().await, before);
}

pub(super) async fn the_token_of_a_deactivated_owner_opens_nothing_any_more(setup: Setup) {
    let world = setup.start().await;
    let tenant = Tenant::create(&world, "secret").await;
    let off = UserChanges { is_active: Some(false), ..UserChanges::default() };
    world.store.update_user(tenant.user.id, off).await.unwrap();
    for (method, pattern, _) in operations(&world.document) {
        let answer = call(&tenant.app.owner, &method, &tenant.path(&pattern)).await;
        assert_eq!(answer.status, 401, "{answer}");
    }
}
