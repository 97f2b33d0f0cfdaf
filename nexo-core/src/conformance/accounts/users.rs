//! Users.

use std::sync::Arc;

use super::StoreWithAccounts;
use crate::{
    Error, NewApp, OwnerId, PageRequest, Scope, Store, UserId,
    accounts::{NewUser, User, UserChanges},
    conformance::{
        assert_fails,
        fixtures::{Room, at_once, completed, new_app, owner},
    },
};

pub(super) fn new_user(email: &str) -> NewUser {
    NewUser {
        email: email.into(),
        hashed_password: "$argon2id$one".into(),
        is_superuser: false,
        is_verified: false,
        locale: "en".into(),
    }
}

async fn create(store: &Arc<dyn StoreWithAccounts>, email: &str) -> User {
    store.create_user(new_user(email)).await.unwrap()
}

/// Two users are compared by all they have; their `Debug` shows the id alone.
fn assert_same(found: Option<User>, expected: &User) {
    assert!(found.as_ref() == Some(expected), "user {} differs", expected.id);
}

fn password(hash: &str) -> UserChanges {
    UserChanges { hashed_password: Some(hash.into()), ..UserChanges::default() }
}

fn address(email: &str) -> UserChanges {
    UserChanges { email: Some(email.into()), ..UserChanges::default() }
}

pub(super) async fn a_user_keeps_what_they_were_given(store: Arc<dyn StoreWithAccounts>) {
    let given = NewUser {
        is_superuser: true,
        is_verified: true,
        locale: "pt-BR".into(),
        ..new_user("José.Ñ@example.com")
    };

    let made = store.create_user(given).await.unwrap();

    assert_eq!((&*made.email, &*made.locale), ("José.Ñ@example.com", "pt-BR"));
    assert_eq!(made.hashed_password, "$argon2id$one");
    assert!(made.is_active && made.is_superuser && made.is_verified);
    assert_eq!(made.token_epoch, 0);
    assert_same(store.find_user(made.id).await.unwrap(), &made);
}

pub(super) async fn an_address_is_found_regardless_of_case(store: Arc<dyn StoreWithAccounts>) {
    let user = create(&store, "Élodie@example.com").await;
    create(&store, "someone@example.com").await;

    for email in ["Élodie@example.com", "élodie@EXAMPLE.com", "ÉLODIE@EXAMPLE.COM"] {
        assert_same(store.find_user_by_email(email).await.unwrap(), &user);
    }
    for email in ["elodie@example.com", "", "%", "élodie@example.co_"] {
        assert!(store.find_user_by_email(email).await.unwrap().is_none(), "{email}");
    }
}

pub(super) async fn an_address_is_taken_regardless_of_case(store: Arc<dyn StoreWithAccounts>) {
    create(&store, "Élodie@example.com").await;

    for email in ["Élodie@example.com", "éLODIE@EXAMPLE.COM"] {
        assert_fails!(store.create_user(new_user(email)).await, Error::EmailTaken);
    }

    create(&store, "elodie@example.com").await;
}

pub(super) async fn of_twenty_users_at_once_with_one_address_one_is_created(
    store: Arc<dyn StoreWithAccounts>,
) {
    let outcomes = at_once(20, |number| {
        let store = Arc::clone(&store);
        let email = if number % 2 == 0 { "ann@example.com" } else { "ANN@example.com" };
        async move { store.create_user(new_user(email)).await }
    })
    .await;

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(Error::EmailTaken))));
}

pub(super) async fn a_change_of_a_user_leaves_what_it_does_not_name(
    store: Arc<dyn StoreWithAccounts>,
) {
    let before = create(&store, "ann@example.com").await;
    let changes = UserChanges {
        is_superuser: Some(true),
        is_verified: Some(true),
        locale: Some("de".into()),
        ..UserChanges::default()
    };

    let after = store.update_user(before.id, changes).await.unwrap();

    let expected =
        User { is_superuser: true, is_verified: true, locale: "de".into(), ..before.clone() };
    assert_same(Some(after), &expected);
    assert_same(store.find_user(before.id).await.unwrap(), &expected);
}

pub(super) async fn a_new_address_is_not_verified_and_found_at_once(
    store: Arc<dyn StoreWithAccounts>,
) {
    let verified = NewUser { is_verified: true, ..new_user("old@example.com") };
    let user = store.create_user(verified).await.unwrap();

    let user = store.update_user(user.id, address("New@example.com")).await.unwrap();

    assert!(!user.is_verified);
    assert_same(store.find_user_by_email("new@example.com").await.unwrap(), &user);
    assert!(store.find_user_by_email("old@example.com").await.unwrap().is_none());
    create(&store, "old@example.com").await;
}

pub(super) async fn a_taken_address_changes_nothing(store: Arc<dyn StoreWithAccounts>) {
    let ann = create(&store, "ann@example.com").await;
    create(&store, "bob@example.com").await;

    let changes = UserChanges { locale: Some("de".into()), ..address("BOB@example.com") };
    assert_fails!(store.update_user(ann.id, changes).await, Error::EmailTaken);

    assert_same(store.find_user(ann.id).await.unwrap(), &ann);
}

pub(super) async fn of_many_users_who_take_one_address_at_once_one_gets_it(
    store: Arc<dyn StoreWithAccounts>,
) {
    let mut users = Vec::new();
    for number in 0..10 {
        users.push(create(&store, &format!("user{number}@example.com")).await.id);
    }

    let outcomes = at_once(10, |number| {
        let (store, user) = (Arc::clone(&store), users[number]);
        async move { store.update_user(user, address("wanted@example.com")).await }
    })
    .await;

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(Error::EmailTaken))));
}

pub(super) async fn a_user_may_write_their_own_address_differently(
    store: Arc<dyn StoreWithAccounts>,
) {
    let ann = create(&store, "ann@example.com").await;

    let changed = store.update_user(ann.id, address("Ann@example.com")).await.unwrap();

    assert_eq!(changed.email, "Ann@example.com");
    assert_same(store.find_user_by_email("ANN@example.com").await.unwrap(), &changed);
}

pub(super) async fn a_new_password_and_a_lost_right_end_every_token(
    store: Arc<dyn StoreWithAccounts>,
) {
    let user = create(&store, "ann@example.com").await;
    let active = |active| UserChanges { is_active: Some(active), ..UserChanges::default() };
    let epoch_after = async |changes| {
        store.update_user(user.id, changes).await.unwrap();
        store.find_user(user.id).await.unwrap().unwrap().token_epoch
    };

    assert_eq!(epoch_after(password("two")).await, 1);
    assert_eq!(epoch_after(active(false)).await, 2);
    assert_eq!(epoch_after(active(false)).await, 2);
    assert_eq!(epoch_after(active(true)).await, 2);
}

pub(super) async fn a_change_under_a_condition_that_fails_changes_nothing(
    store: Arc<dyn StoreWithAccounts>,
) {
    let user = create(&store, "ann@example.com").await;
    let if_hash =
        |hash: &str| UserChanges { if_hashed_password: Some(hash.into()), ..password("new") };
    let if_email = |email: &str| UserChanges { if_email: Some(email.into()), ..password("newer") };

    assert_fails!(store.update_user(user.id, if_hash("other")).await, Error::Conflict(_));
    let other = if_email("bob@example.com");
    assert_fails!(store.update_user(user.id, other).await, Error::Conflict(_));
    let if_epoch = |epoch| UserChanges { if_token_epoch: Some(epoch), ..password("newest") };
    assert_fails!(store.update_user(user.id, if_epoch(1)).await, Error::Conflict(_));
    assert_same(store.find_user(user.id).await.unwrap(), &user);

    let changed = store.update_user(user.id, if_hash("$argon2id$one")).await.unwrap();
    assert_eq!(changed.hashed_password, "new");
    let changed = store.update_user(user.id, if_email("ann@example.com")).await.unwrap();
    assert_eq!(changed.hashed_password, "newer");
    let changed = store.update_user(user.id, if_epoch(2)).await.unwrap();
    assert_eq!(changed.hashed_password, "newest");
}

/// The token in a reset mail is good for one new password, also when it is used twice at once.
pub(super) async fn of_many_resets_at_once_one_succeeds(store: Arc<dyn StoreWithAccounts>) {
    let user = create(&store, "ann@example.com").await.id;

    let outcomes = at_once(10, |number| {
        let store = Arc::clone(&store);
        let if_hashed_password = Some("$argon2id$one".into());
        let changes = UserChanges { if_hashed_password, ..password(&number.to_string()) };
        async move { store.update_user(user, changes).await }
    })
    .await;

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(Error::Conflict(_)))));
}

pub(super) async fn a_better_hash_ends_no_token(store: Arc<dyn StoreWithAccounts>) {
    let user = create(&store, "ann@example.com").await;

    store.upgrade_password_hash(user.id, "$argon2id$one", "better").await.unwrap();
    store.upgrade_password_hash(user.id, "$argon2id$one", "too late").await.unwrap();

    let expected = User { hashed_password: "better".into(), ..user };
    assert_same(store.find_user(expected.id).await.unwrap(), &expected);
}

pub(super) async fn deleting_a_user_deletes_the_apps_they_own(store: Arc<dyn StoreWithAccounts>) {
    let user = create(&store, "ann@example.com").await;
    let everything: Arc<dyn Store> = Arc::clone(&store) as _;
    let owned_by: OwnerId = user.id.into();
    let app = store.create_app(NewApp::new(owned_by.clone(), "Shop")).await.unwrap();
    let room = Room::of(&everything, &app, "carl").await;
    let run = room.started().await.run;
    let other = new_app(&everything, "bob").await;

    store.delete_user(user.id).await.unwrap();

    assert!(store.find_user(user.id).await.unwrap().is_none());
    assert!(store.find_user_by_email("ann@example.com").await.unwrap().is_none());
    assert_fails!(store.get_app(&Scope::Everything, app.id).await, Error::AppNotFound(_));
    let thread = store.get_thread(&Scope::Everything, room.thread.id).await;
    assert_fails!(thread, Error::ThreadNotFound(_));
    assert_fails!(store.finish_run(completed(&run, "late")).await, Error::Fenced);
    let first = PageRequest { page: 1, size: 10 };
    assert_eq!(store.list_apps(&owned_by, first).await.unwrap().total, 0);
    assert_eq!(store.list_apps(&owner("bob"), first).await.unwrap().items, [other]);
    create(&store, "ann@example.com").await;
}

pub(super) async fn an_unknown_user_is_not_found(store: Arc<dyn StoreWithAccounts>) {
    let unknown = UserId::new();

    assert!(store.find_user(unknown).await.unwrap().is_none());
    assert_fails!(store.update_user(unknown, password("x")).await, Error::UserNotFound);
    assert_fails!(store.delete_user(unknown).await, Error::UserNotFound);
    store.upgrade_password_hash(unknown, "x", "y").await.unwrap();
}
