//! Whoever steals the database finds no secret in it.

use std::time::Duration;

use nexo_core::{AppChanges, AppStore as _, Error, KeyRing, NewApp, Scope, Secret};
use nexo_store_postgres::PostgresStore;
use sqlx::{AssertSqlSafe, PgPool, Row as _};

use crate::{common::fresh_store, room::owner};

const FIRST: &str = "canary-first-hunter2";
const SECOND: &str = "canary-second-hunter2";

async fn app_with_two_secrets(store: &PostgresStore) -> nexo_core::App {
    let new = NewApp { webhook_secret: Some(FIRST.into()), ..NewApp::new(owner(), "Shop") };
    let app = store.create_app(new).await.unwrap();
    let changes = AppChanges {
        webhook_secret: Some(Some(Secret::new(SECOND))),
        secret_overlap: Duration::from_secs(60),
        ..AppChanges::default()
    };
    store.update_app(&Scope::Everything, app.id, changes).await.unwrap()
}

/// Every row of every table of ours, as text.
async fn dump(pool: &PgPool) -> String {
    let tables = "select table_name::text from information_schema.tables
        where table_schema = 'public' and table_name like 'nexo\\_%'";
    let mut dump = String::new();
    for table in sqlx::query(tables).fetch_all(pool).await.unwrap() {
        let table: String = table.get(0);
        let rows = AssertSqlSafe(format!("select row_to_json(t)::text from {table} t"));
        for row in sqlx::query(rows).fetch_all(pool).await.unwrap() {
            dump.push_str(row.get(0));
        }
    }
    dump
}

#[tokio::test]
async fn a_dump_of_the_database_holds_no_secret() {
    let (store, _database) = fresh_store().await;
    let app = app_with_two_secrets(&store).await;

    let dump = dump(store.pool()).await;

    assert!(dump.contains(&app.id.to_string()));
    assert!(!dump.contains("canary"));
    assert!(!dump.contains("hunter2"));
    let secrets = app.signing_secrets(app.updated_at);
    assert_eq!(secrets, [Secret::new(SECOND), Secret::new(FIRST)]);
}

#[tokio::test]
async fn a_sealed_secret_moved_to_another_row_does_not_open() {
    let (store, _database) = fresh_store().await;
    let app = app_with_two_secrets(&store).await;
    let other = store.create_app(NewApp::new(owner(), "Thief")).await.unwrap();

    sqlx::query(
        "update nexo_apps set webhook_secret = s.webhook_secret
        from nexo_apps s where s.id = $1 and nexo_apps.id = $2",
    )
    .bind(app.id.as_uuid())
    .bind(other.id.as_uuid())
    .execute(store.pool())
    .await
    .unwrap();

    let stolen = store.get_app(&Scope::Everything, other.id).await;
    assert!(matches!(stolen, Err(Error::Corrupt(_))), "{stolen:?}");
}

#[tokio::test]
async fn without_its_key_a_secret_does_not_open() {
    let (store, _database) = fresh_store().await;
    let app = app_with_two_secrets(&store).await;

    let stranger = PostgresStore::new(store.pool().clone(), KeyRing::generate("other"));

    let read = stranger.get_app(&Scope::Everything, app.id).await;
    assert!(matches!(read, Err(Error::Corrupt(_))), "{read:?}");
}

#[tokio::test]
async fn another_key_seals_everything_anew_and_the_old_one_can_go() {
    let (store, _database) = fresh_store().await;
    let (old, new) = (KeyRing::generate("old"), KeyRing::generate("new"));
    let both = format!("{},{}", new.expose().expose(), old.expose().expose());
    let with = |keys: KeyRing| PostgresStore::new(store.pool().clone(), keys);
    let app = app_with_two_secrets(&with(old)).await;
    let changing = with(both.parse().unwrap());
    assert_eq!(changing.sealing_keys().await.unwrap(), ["old"]);

    assert_eq!(changing.reseal_secrets(10).await.unwrap(), 1);
    assert_eq!(changing.reseal_secrets(10).await.unwrap(), 0);

    let changed = with(new);
    assert_eq!(changed.sealing_keys().await.unwrap(), ["new"]);
    assert_eq!(changed.get_app(&Scope::Everything, app.id).await.unwrap(), app);
}
