//! Keys that partners authenticate with.

use async_trait::async_trait;
use nexo_core::{
    App, AppId, AppKey, KeyDigest, KeyId, KeyStore, Result, Secret, Timestamp, WEBHOOK_SECRET_KEY,
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    SqliteStore,
    columns::{Columns, corrupt},
    error,
};

const VALID: &str = "
    select * from nexo_keys
    where app_id = ?1 and (expires_at is null or expires_at > ?2)
    order by created_at, id";

const INSERT: &str = "
    insert into nexo_keys (id, app_id, name, digest, scopes, created_at)
    values (?1, ?2, ?3, ?4, '[]', ?5)";

/// Two secrets are valid at most: the one that was replaced before goes.
const REMOVE_REPLACED: &str = "
    delete from nexo_keys where app_id = ?1 and name = ?2 and expires_at is not null";

const EXPIRE: &str = "update nexo_keys set expires_at = ?3 where app_id = ?1 and name = ?2";

const REMOVE: &str = "delete from nexo_keys where app_id = ?1 and name = ?2";

#[async_trait]
impl KeyStore for SqliteStore {
    async fn valid_keys(&self, app: AppId) -> Result<Vec<AppKey>> {
        Ok(valid(self, app).await?)
    }
}

/// Makes the keys of an app follow its secret, which was `before`.
pub(crate) async fn follow_secret(
    connection: &mut SqliteConnection,
    before: Option<&Secret>,
    app: &App,
    now: Timestamp,
) -> error::Result<()> {
    if before == app.webhook_secret.as_ref() {
        return Ok(());
    }
    match &app.previous_secret {
        Some(previous) => {
            remove(connection, REMOVE_REPLACED, app.id).await?;
            expire(connection, app.id, previous.expires_at).await?;
        }
        None => remove(connection, REMOVE, app.id).await?,
    }
    match &app.webhook_secret {
        Some(secret) => insert(connection, app.id, secret, now).await,
        None => Ok(()),
    }
}

async fn remove(
    connection: &mut SqliteConnection,
    statement: &'static str,
    app: AppId,
) -> error::Result<()> {
    let remove = sqlx::query(statement).bind(app.as_uuid()).bind(WEBHOOK_SECRET_KEY);
    remove.execute(connection).await?;
    Ok(())
}

async fn expire(
    connection: &mut SqliteConnection,
    app: AppId,
    expires_at: Timestamp,
) -> error::Result<()> {
    let expire = sqlx::query(EXPIRE).bind(app.as_uuid()).bind(WEBHOOK_SECRET_KEY);
    expire.bind(expires_at.as_micros()).execute(connection).await?;
    Ok(())
}

async fn insert(
    connection: &mut SqliteConnection,
    app: AppId,
    secret: &Secret,
    now: Timestamp,
) -> error::Result<()> {
    sqlx::query(INSERT)
        .bind(KeyId::new().as_uuid())
        .bind(app.as_uuid())
        .bind(WEBHOOK_SECRET_KEY)
        .bind(&KeyDigest::of(app, secret.expose()).as_bytes()[..])
        .bind(now.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

async fn valid(store: &SqliteStore, app: AppId) -> error::Result<Vec<AppKey>> {
    let mut reader = store.reader().await?;
    let rows = sqlx::query(VALID)
        .bind(app.as_uuid())
        .bind(store.clock.now().as_micros())
        .fetch_all(&mut *reader)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> error::Result<AppKey> {
    let digest: &[u8] = row.try_get("digest")?;
    Ok(AppKey {
        id: row.id("id", KeyId::from_uuid)?,
        app: row.id("app_id", AppId::from_uuid)?,
        name: row.try_get("name")?,
        digest: KeyDigest::from_bytes(digest.try_into().map_err(|_| corrupt("digest"))?),
        created_at: row.instant("created_at")?,
        expires_at: row.instant_if_any("expires_at")?,
    })
}
