//! Apps.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    Agent, App, AppChanges, AppId, ConfigChange, Error, JsonObject, MAIN_AGENT, MAIN_AGENT_KIND,
    NewAgent, NewApp, PageRequest, Scope, Secret, Store,
    conformance::{
        assert_fails,
        fixtures::{Room, at_once, completed, new_app, owner},
    },
};

fn full_app() -> NewApp {
    NewApp {
        description: Some("Grüße 👋🏽 — \"quoted\" \\ and a\nline".into()),
        webhook_url: Some("https://agent.example/hook?a=1&b=%20".into()),
        webhook_secret: Some("clé-ключ-鍵".into()),
        config: r#"{ "b": 1.50, "a": {"ü": "\u00fc", "n": null} }"#.parse().unwrap(),
        ..NewApp::new(owner("ann"), "Café ☕")
    }
}

async fn config(store: &Arc<dyn Store>, app: AppId, change: ConfigChange) -> JsonObject {
    let changes = AppChanges { config: Some(change), ..AppChanges::default() };
    store.update_app(&Scope::Everything, app, changes).await.unwrap().config
}

pub(super) async fn a_new_app_comes_with_its_main_agent(store: Arc<dyn Store>) {
    let app = new_app(&store, "ann").await;

    let agents = store.list_agents(&Scope::Everything, app.id).await.unwrap();

    assert_eq!(agents.len(), 1);
    assert_eq!((agents[0].id, agents[0].app), (app.default_agent, app.id));
    assert_eq!((&*agents[0].name, &*agents[0].kind), (MAIN_AGENT, MAIN_AGENT_KIND));
    let found = store.get_agent(&Scope::Everything, app.id, app.default_agent).await.unwrap();
    assert_eq!(found, agents[0]);
}

pub(super) async fn an_app_keeps_what_it_was_given(store: Arc<dyn Store>) {
    let given = full_app();

    let made = store.create_app(given.clone()).await.unwrap();
    let app = store.get_app(&Scope::Everything, made.id).await.unwrap();

    assert_eq!(app, made);
    assert_eq!((app.owner, app.name), (given.owner, given.name));
    assert_eq!((app.description, app.webhook_url), (given.description, given.webhook_url));
    assert_eq!(app.webhook_secret.unwrap().expose(), "clé-ключ-鍵");
    assert_eq!(app.previous_secret, None);
    assert_eq!(app.config.as_str(), given.config.as_str(), "verbatim, spaces and all");
    assert_eq!(app.created_at, app.updated_at);
}

pub(super) async fn an_app_is_seen_from_every_scope_that_holds_it(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;

    for scope in room.inside() {
        assert_eq!(store.get_app(&scope, room.app.id).await.unwrap(), room.app, "{scope:?}");
    }
}

pub(super) async fn an_app_outside_the_scope_does_not_exist(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let app = room.app.id;
    let rename = AppChanges { name: Some("Stolen".into()), ..AppChanges::default() };

    for scope in room.outside_app().await {
        assert_fails!(store.get_app(&scope, app).await, Error::AppNotFound(_));
        assert_fails!(store.update_app(&scope, app, rename.clone()).await, Error::AppNotFound(_));
        assert_fails!(store.delete_app(&scope, app).await, Error::AppNotFound(_));
    }

    assert_eq!(store.get_app(&Scope::Everything, app).await.unwrap(), room.app);
    assert_fails!(store.get_app(&Scope::Everything, AppId::new()).await, Error::AppNotFound(_));
}

pub(super) async fn apps_are_listed_oldest_first_and_changes_do_not_move_them(
    store: Arc<dyn Store>,
) {
    let mut apps = Vec::new();
    for _ in 0..7 {
        apps.push(new_app(&store, "ann").await);
    }
    new_app(&store, "bob").await;
    apps.sort_by_key(|app| (app.created_at, app.id));
    store.update_app(&Scope::Everything, apps[2].id, AppChanges::default()).await.unwrap();
    let expected: Vec<AppId> = apps.iter().map(|app| app.id).collect();

    for size in [1, 2, 3, 7, 100] {
        assert_eq!(pages_of_ann(&store, size).await, expected);
    }
}

/// The ids on as many pages of this size as seven apps fill.
async fn pages_of_ann(store: &Arc<dyn Store>, size: u32) -> Vec<AppId> {
    let mut ids = Vec::new();
    for page in 1..=7_u32.div_ceil(size) {
        let found = store.list_apps(&owner("ann"), PageRequest { page, size }).await.unwrap();
        assert_eq!(found.total, 7);
        ids.extend(found.items.iter().map(|app| app.id));
    }
    ids
}

pub(super) async fn a_page_of_apps_past_the_end_is_empty_and_has_the_total(store: Arc<dyn Store>) {
    new_app(&store, "ann").await;
    new_app(&store, "ann").await;

    for page in [2, 3, u32::MAX] {
        let request = PageRequest { page, size: 100 };
        let found = store.list_apps(&owner("ann"), request).await.unwrap();
        assert_eq!((found.items.len(), found.total), (0, 2));
    }
    let none = store.list_apps(&owner("nobody"), PageRequest { page: 1, size: 10 }).await.unwrap();
    assert_eq!((none.items.len(), none.total), (0, 0));
}

pub(super) async fn a_change_of_an_app_leaves_what_it_does_not_name(store: Arc<dyn Store>) {
    let before = store.create_app(full_app()).await.unwrap();
    let rename = AppChanges { name: Some("New".into()), ..AppChanges::default() };

    let after = store.update_app(&Scope::Everything, before.id, rename).await.unwrap();

    let updated_at = after.updated_at;
    assert!(updated_at >= before.updated_at);
    assert_eq!(after, App { name: "New".into(), updated_at, ..before });
    assert_eq!(store.get_app(&Scope::Everything, after.id).await.unwrap(), after);
}

pub(super) async fn a_change_of_an_app_clears_what_it_sets_to_nothing(store: Arc<dyn Store>) {
    let app = store.create_app(full_app()).await.unwrap();
    let clear = AppChanges {
        description: Some(None),
        webhook_url: Some(None),
        webhook_secret: Some(None),
        secret_overlap: Duration::from_secs(60),
        ..AppChanges::default()
    };

    store.update_app(&Scope::Everything, app.id, clear).await.unwrap();

    let app = store.get_app(&Scope::Everything, app.id).await.unwrap();
    assert_eq!((app.description, app.webhook_url), (None, None));
    assert_eq!((app.webhook_secret, app.previous_secret), (None, None));
}

pub(super) async fn a_configuration_is_merged_or_replaced(store: Arc<dyn Store>) {
    let app = new_app(&store, "ann").await.id;
    let object = |text: &str| text.parse::<JsonObject>().unwrap();

    let replaced =
        config(&store, app, ConfigChange::Replace(object(r#"{"a":{"b":1},"c":[1]}"#))).await;
    let merged =
        config(&store, app, ConfigChange::Merge(object(r#"{"a":{"d":"é"},"c":null}"#))).await;

    assert_eq!(replaced, object(r#"{"a":{"b":1},"c":[1]}"#));
    assert_eq!(merged, object(r#"{"a":{"b":1,"d":"é"}}"#));
    assert_eq!(store.get_app(&Scope::Everything, app).await.unwrap().config, merged);
}

/// Reading, merging and writing back must be one step: else the later takes the earlier away.
pub(super) async fn merges_at_once_lose_nothing(store: Arc<dyn Store>) {
    let app = new_app(&store, "ann").await.id;

    at_once(20, |number| {
        let store = Arc::clone(&store);
        let patch = JsonObject::empty().with(&format!("m{number}"), number);
        async move { config(&store, app, ConfigChange::Merge(patch)).await }
    })
    .await;

    let config = store.get_app(&Scope::Everything, app).await.unwrap().config.to_map();
    let names: BTreeSet<String> = config.keys().cloned().collect();
    assert_eq!(names, (0..20).map(|number| format!("m{number}")).collect());
}

pub(super) async fn deleting_an_app_deletes_all_that_belongs_to_it(store: Arc<dyn Store>) {
    let app = store.create_app(full_app()).await.unwrap();
    let room = Room::of(&store, &app, "carl").await;
    let start = room.started().await;
    let all = Scope::Everything;

    store.delete_app(&all, app.id).await.unwrap();

    assert_fails!(store.get_app(&all, app.id).await, Error::AppNotFound(_));
    assert_fails!(store.delete_app(&all, app.id).await, Error::AppNotFound(_));
    assert_fails!(store.list_agents(&all, app.id).await, Error::AppNotFound(_));
    assert!(store.valid_keys(app.id).await.unwrap().is_empty());
    assert_fails!(store.get_thread(&all, room.thread.id).await, Error::ThreadNotFound(_));
    assert_fails!(store.get_message(&all, start.message.id).await, Error::MessageNotFound);
    assert_fails!(store.get_run(&all, start.run.id).await, Error::RunNotFound);
    assert_fails!(store.finish_run(completed(&start.run, "late")).await, Error::Fenced);
    let ann = store.list_apps(&owner("ann"), PageRequest { page: 1, size: 10 }).await.unwrap();
    assert_eq!(ann.total, 0);
}

pub(super) async fn deleting_an_app_leaves_the_others_alone(store: Arc<dyn Store>) {
    let kept = Room::new(&store).await;
    let start = kept.started().await;
    let secret = AppChanges { webhook_secret: Some(Some(Secret::new("s"))), ..Default::default() };
    store.update_app(&Scope::Everything, kept.app.id, secret).await.unwrap();
    let gone = Room::new(&store).await;

    store.delete_app(&Scope::Owner(owner("ann")), gone.app.id).await.unwrap();

    assert_eq!(kept.messages().await.len(), 1);
    assert_eq!(kept.run(start.run.id).await, start.run);
    assert_eq!(kept.subscriber().await.customer_id, "carl");
    assert_eq!(store.valid_keys(kept.app.id).await.unwrap().len(), 1);
    assert_eq!(store.list_agents(&Scope::Everything, kept.app.id).await.unwrap().len(), 1);
}

fn helper(name: &str) -> NewAgent {
    let config = JsonObject::empty().with("url", "https://helper.example.com");
    NewAgent { name: name.into(), kind: "webhook".into(), config }
}

async fn ensured(store: &Arc<dyn Store>, agents: &[NewAgent]) -> App {
    store.ensure_app(NewApp::new(owner("ann"), "Shop"), agents.to_vec()).await.unwrap()
}

async fn agents(store: &Arc<dyn Store>, app: &App) -> Vec<Agent> {
    store.list_agents(&Scope::Everything, app.id).await.unwrap()
}

fn names(agents: &[Agent]) -> Vec<&str> {
    agents.iter().map(|agent| agent.name.as_str()).collect()
}

pub(super) async fn an_app_that_is_ensured_is_made_with_its_agents(store: Arc<dyn Store>) {
    let concierge = NewAgent::in_process("concierge");

    let made = store.ensure_app(full_app(), vec![concierge, helper("helper")]).await.unwrap();

    let all = Scope::Everything;
    assert_eq!(store.get_app(&all, made.id).await.unwrap(), made);
    assert_eq!(made.description, full_app().description);
    assert_eq!(store.valid_keys(made.id).await.unwrap().len(), 1);
    let mut agents = agents(&store, &made).await;
    agents.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(names(&agents), ["concierge", "helper", MAIN_AGENT]);
    assert_eq!((agents[0].id, agents[0].app), (made.default_agent, made.id));
    assert_eq!(agents[0].handler().as_deref(), Some("concierge"));
    assert_eq!((agents[1].kind.as_str(), &agents[1].config), ("webhook", &helper("").config));
    assert_eq!((&agents[1].secret, agents[1].created_at), (&None, made.created_at));
    assert_eq!(agents[2].kind, MAIN_AGENT_KIND);
    let plain = store.ensure_app(NewApp::new(owner("ann"), "Plain"), Vec::new()).await.unwrap();
    let main = store.get_agent(&all, plain.id, plain.default_agent).await.unwrap();
    assert_eq!(main.name, MAIN_AGENT);
}

pub(super) async fn an_app_that_is_ensured_again_stays_as_it_is(store: Arc<dyn Store>) {
    let made = ensured(&store, &[helper("one"), helper("two")]).await;
    let before = agents(&store, &made).await;
    let config = Some(ConfigChange::Replace(r#"{"greeting":"Hi"}"#.parse().unwrap()));
    let changes = AppChanges { config, ..AppChanges::default() };
    let changed = store.update_app(&Scope::Everything, made.id, changes).await.unwrap();

    let again = [NewAgent::in_process("two"), NewAgent::in_process(MAIN_AGENT), helper("one")];
    let found = ensured(&store, &again).await;

    assert_eq!(found, changed);
    assert_eq!(agents(&store, &made).await, before, "what is there is kept");
}

pub(super) async fn an_app_that_is_ensured_gets_the_agents_that_it_lacks(store: Arc<dyn Store>) {
    let made = ensured(&store, &[helper("one")]).await;

    let found = ensured(&store, &[helper("two"), helper("two")]).await;

    assert_eq!(found, made, "who answers stays the same");
    let mut agents = agents(&store, &made).await;
    agents.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(names(&agents), [MAIN_AGENT, "one", "two"], "nobody is taken away");
}

pub(super) async fn an_app_that_fifty_ensure_at_once_is_made_once(store: Arc<dyn Store>) {
    let found = at_once(50, |number| {
        let store = Arc::clone(&store);
        let own = helper(&format!("helper {number}"));
        async move { ensured(&store, &[helper("first"), own]).await }
    })
    .await;

    assert!(found.iter().all(|app| app == &found[0]), "not all got the same");
    let page = PageRequest { page: 1, size: 10 };
    assert_eq!(store.list_apps(&owner("ann"), page).await.unwrap().items, found[..1]);
    let agents = agents(&store, &found[0]).await;
    assert_eq!(names(&agents).into_iter().collect::<BTreeSet<_>>().len(), agents.len());
    assert_eq!(agents.len(), 52);
}

pub(super) async fn of_several_apps_the_oldest_is_ensured(store: Arc<dyn Store>) {
    let oldest = new_app(&store, "ann").await;
    // Where their times are equal, the ids tell which is older.
    for _ in 0..3 {
        new_app(&store, "ann").await;
    }

    let found = ensured(&store, &[helper("one")]).await;

    assert_eq!(found, oldest);
    assert_eq!(agents(&store, &oldest).await.len(), 2);
}

pub(super) async fn another_owners_app_is_not_ensured(store: Arc<dyn Store>) {
    let others = new_app(&store, "mallory").await;

    let made = ensured(&store, &[helper("one")]).await;

    assert_ne!(made.id, others.id);
    assert_eq!(made.owner, owner("ann"));
    assert_eq!(agents(&store, &others).await.len(), 1);
    assert_eq!(store.get_app(&Scope::Everything, others.id).await.unwrap(), others);
}
