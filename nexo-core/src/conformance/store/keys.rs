//! Keys.

use std::{sync::Arc, time::Duration};

use crate::{
    App, AppChanges, AppId, AppKey, KeyDigest, NewApp, Scope, Secret, Store, WEBHOOK_SECRET_KEY,
    conformance::fixtures::{eventually, new_app, owner},
};

const LONG: Duration = Duration::from_secs(3_600);

async fn app_with_secret(store: &Arc<dyn Store>, secret: &str) -> App {
    let app = NewApp { webhook_secret: Some(secret.into()), ..NewApp::new(owner("ann"), "Shop") };
    store.create_app(app).await.unwrap()
}

async fn change(store: &Arc<dyn Store>, app: AppId, secret: Option<&str>, overlap: Duration) {
    let changes = AppChanges {
        webhook_secret: Some(secret.map(Secret::from)),
        secret_overlap: overlap,
        ..AppChanges::default()
    };
    store.update_app(&Scope::Everything, app, changes).await.unwrap();
}

/// Which of the secrets open the app now.
async fn opening<'a>(store: &Arc<dyn Store>, app: AppId, secrets: &[&'a str]) -> Vec<&'a str> {
    let keys = store.valid_keys(app).await.unwrap();
    let opens = |secret: &str| keys.iter().any(|key| key.digest == KeyDigest::of(app, secret));
    secrets.iter().copied().filter(|secret| opens(secret)).collect()
}

pub(super) async fn the_webhook_secret_is_a_key(store: Arc<dyn Store>) {
    let with = app_with_secret(&store, "one").await.id;
    let without = new_app(&store, "ann").await.id;

    assert!(store.valid_keys(without).await.unwrap().is_empty());
    change(&store, without, Some("two"), Duration::ZERO).await;

    for (app, secret) in [(with, "one"), (without, "two")] {
        let keys: Vec<AppKey> = store.valid_keys(app).await.unwrap();
        assert_eq!(keys.len(), 1);
        assert_eq!((keys[0].app, &*keys[0].name), (app, WEBHOOK_SECRET_KEY));
        assert_eq!((keys[0].digest, keys[0].expires_at), (KeyDigest::of(app, secret), None));
    }
}

pub(super) async fn a_replaced_secret_stays_a_key_until_its_overlap_ends(store: Arc<dyn Store>) {
    let app = app_with_secret(&store, "old").await.id;

    change(&store, app, Some("new"), LONG).await;
    assert_eq!(opening(&store, app, &["old", "new"]).await, ["old", "new"]);
    let now = store.get_app(&Scope::Everything, app).await.unwrap();
    let previous = now.previous_secret.clone().unwrap();
    assert_eq!(previous.secret.expose(), "old");
    assert_eq!(previous.expires_at, now.updated_at.plus(LONG));

    change(&store, app, Some("newer"), Duration::from_millis(200)).await;
    eventually("the overlap's end", || async {
        opening(&store, app, &["old", "new", "newer"]).await == ["newer"]
    })
    .await;
}

pub(super) async fn a_replaced_secret_is_forgotten_after_its_overlap(store: Arc<dyn Store>) {
    let ending = app_with_secret(&store, "old").await.id;
    let lasting = app_with_secret(&store, "old").await.id;
    change(&store, ending, Some("new"), Duration::from_millis(200)).await;
    change(&store, lasting, Some("new"), LONG).await;
    let app = |app| store.get_app(&Scope::Everything, app);
    let (ending_before, lasting_before) = (app(ending).await.unwrap(), app(lasting).await.unwrap());

    eventually("the overlap's end", || async {
        store.prune().await.unwrap();
        app(ending).await.unwrap().previous_secret.is_none()
    })
    .await;

    assert_eq!(app(ending).await.unwrap(), App { previous_secret: None, ..ending_before });
    assert_eq!(opening(&store, ending, &["old", "new"]).await, ["new"]);
    assert_eq!(app(lasting).await.unwrap(), lasting_before);
    assert_eq!(opening(&store, lasting, &["old", "new"]).await, ["old", "new"]);
}

pub(super) async fn without_an_overlap_a_replaced_secret_ends_at_once(store: Arc<dyn Store>) {
    let app = app_with_secret(&store, "old").await.id;

    change(&store, app, Some("new"), Duration::ZERO).await;

    assert_eq!(opening(&store, app, &["old", "new"]).await, ["new"]);
    assert_eq!(store.get_app(&Scope::Everything, app).await.unwrap().previous_secret, None);
}

pub(super) async fn clearing_the_secret_takes_both_keys_away(store: Arc<dyn Store>) {
    let app = app_with_secret(&store, "old").await.id;
    change(&store, app, Some("new"), LONG).await;

    change(&store, app, None, LONG).await;

    assert!(store.valid_keys(app).await.unwrap().is_empty());
}

pub(super) async fn setting_the_same_secret_again_leaves_its_key(store: Arc<dyn Store>) {
    let app = app_with_secret(&store, "same").await.id;
    let before = store.valid_keys(app).await.unwrap();

    change(&store, app, Some("same"), Duration::ZERO).await;
    let rename = AppChanges { name: Some("New".into()), ..AppChanges::default() };
    store.update_app(&Scope::Everything, app, rename).await.unwrap();

    assert_eq!(store.valid_keys(app).await.unwrap(), before);
}

pub(super) async fn an_app_that_does_not_exist_has_no_keys(store: Arc<dyn Store>) {
    app_with_secret(&store, "s").await;

    assert!(store.valid_keys(AppId::new()).await.unwrap().is_empty());
}

pub(super) async fn one_key_in_two_apps_looks_different(store: Arc<dyn Store>) {
    let one = app_with_secret(&store, "s").await.id;
    let two = app_with_secret(&store, "s").await.id;

    let (one, two) = (store.valid_keys(one).await.unwrap(), store.valid_keys(two).await.unwrap());

    assert_ne!(one[0].digest, two[0].digest);
}
