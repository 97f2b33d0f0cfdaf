//! Keys of partners' backends.

use async_trait::async_trait;
use nexo_core::{
    App, AppId, AppKey, Error, KeyDigest, KeyId, KeyStore, Result, Secret, Timestamp,
    WEBHOOK_SECRET_KEY,
};
use sqlx::postgres::PgRow;

use crate::{Connection, PostgresStore, row::Columns, run};

const VALID: &str = "
    select id, app_id, name, digest, created_at, expires_at from nexo_keys
    where app_id = $1 and (expires_at is null or expires_at > now())
    order by created_at, id";

const FORGET: &str = "delete from nexo_keys where app_id = $1 and name = $2";

const ADD: &str = "
    insert into nexo_keys (id, app_id, name, digest, scopes, created_at, expires_at)
    values ($1, $2, $3, $4, '[]', now(), $5)";

#[async_trait]
impl KeyStore for PostgresStore {
    async fn valid_keys(&self, app: AppId) -> Result<Vec<AppKey>> {
        let rows = self.read_all(sqlx::query(VALID).bind(app.as_uuid())).await?;
        rows.iter().map(read_key).collect()
    }
}

fn read_key(row: &PgRow) -> Result<AppKey> {
    let mut columns = Columns::of(row);
    Ok(AppKey {
        id: KeyId::from_uuid(columns.take()?),
        app: AppId::from_uuid(columns.take()?),
        name: columns.take()?,
        digest: read_digest(columns.take()?)?,
        created_at: columns.time()?,
        expires_at: columns.optional_time()?,
    })
}

fn read_digest(bytes: &[u8]) -> Result<KeyDigest> {
    bytes.try_into().map(KeyDigest::from_bytes).map_err(|_| Error::Corrupt("key digest"))
}

/// The key that an app's first secret makes: id, name and digest, if there is a secret.
pub(crate) fn new_secret_key(
    app: AppId,
    secret: Option<&Secret>,
) -> (KeyId, &'static str, Option<[u8; 32]>) {
    (KeyId::new(), WEBHOOK_SECRET_KEY, secret.map(|secret| digest(app, secret)))
}

/// Makes the keys what the app's secrets are now: the one in use and the one before.
pub(crate) async fn follow_secrets(app: &App, connection: &mut Connection) -> Result<()> {
    let forget = sqlx::query(FORGET).bind(app.id.as_uuid()).bind(WEBHOOK_SECRET_KEY);
    run(connection, forget).await?;
    if let Some(previous) = &app.previous_secret {
        add(app.id, &previous.secret, Some(previous.expires_at), connection).await?;
    }
    if let Some(secret) = &app.webhook_secret {
        add(app.id, secret, None, connection).await?;
    }
    Ok(())
}

async fn add(
    app: AppId,
    secret: &Secret,
    expires_at: Option<Timestamp>,
    connection: &mut Connection,
) -> Result<()> {
    let query = sqlx::query(ADD)
        .bind(KeyId::new().as_uuid())
        .bind(app.as_uuid())
        .bind(WEBHOOK_SECRET_KEY)
        .bind(digest(app, secret))
        .bind(expires_at.map(Timestamp::as_datetime));
    run(connection, query).await
}

fn digest(app: AppId, secret: &Secret) -> [u8; 32] {
    *KeyDigest::of(app, secret.expose()).as_bytes()
}
