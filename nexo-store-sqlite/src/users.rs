//! Users of the built-in accounts.

use async_trait::async_trait;
use nexo_core::{
    Error, OwnerId, Result, UserId,
    accounts::{NewUser, User, UserChanges, UserStore, email_key},
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    SqliteStore, Tx,
    columns::Columns,
    error::{self, Problem},
};

const INSERT: &str = "
    insert into nexo_users (id, email, email_key, hashed_password, is_active, is_superuser,
        is_verified, locale, created_at)
    values (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8)
    returning *";

const FIND: &str = "select * from nexo_users where id = ?1";

const FIND_BY_EMAIL: &str = "select * from nexo_users where email_key = ?1";

const UPDATE: &str = "
    update nexo_users
    set email = ?2, email_key = ?3, hashed_password = ?4, is_active = ?5, is_superuser = ?6,
        is_verified = ?7, locale = ?8, token_epoch = ?9
    where id = ?1";

const UPGRADE: &str = "
    update nexo_users set hashed_password = ?3 where id = ?1 and hashed_password = ?2";

const DELETE: &str = "delete from nexo_users where id = ?1";

const DELETE_APPS: &str = "delete from nexo_apps where owner = ?1";

#[async_trait]
impl UserStore for SqliteStore {
    async fn create_user(&self, user: NewUser) -> Result<User> {
        self.write(move |tx| Box::pin(create(tx, user))).await
    }

    async fn find_user(&self, user: UserId) -> Result<Option<User>> {
        let mut reader = self.reader().await?;
        Ok(find(&mut reader, user).await?)
    }

    async fn find_user_by_email(&self, email: &str) -> Result<Option<User>> {
        Ok(find_by_email(self, email).await?)
    }

    async fn update_user(&self, user: UserId, changes: UserChanges) -> Result<User> {
        self.write(move |tx| Box::pin(update(tx, user, changes))).await
    }

    async fn upgrade_password_hash(&self, user: UserId, old: &str, new: &str) -> Result<()> {
        let (old, new) = (old.to_owned(), new.to_owned());
        self.write(move |tx| Box::pin(upgrade(tx, user, old, new))).await
    }

    async fn delete_user(&self, user: UserId) -> Result<()> {
        self.write(move |tx| Box::pin(delete(tx, user))).await
    }
}

async fn create(tx: Tx<'_>, new: NewUser) -> error::Result<User> {
    let row = sqlx::query(INSERT)
        .bind(UserId::new().as_uuid())
        .bind(&new.email)
        .bind(email_key(&new.email))
        .bind(&new.hashed_password)
        .bind(new.is_superuser)
        .bind(new.is_verified)
        .bind(&new.locale)
        .bind(tx.now.as_micros())
        .fetch_one(tx.connection)
        .await
        .map_err(email_taken)?;
    read(&row)
}

async fn find(connection: &mut SqliteConnection, user: UserId) -> error::Result<Option<User>> {
    let row = sqlx::query(FIND).bind(user.as_uuid()).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

async fn find_by_email(store: &SqliteStore, email: &str) -> error::Result<Option<User>> {
    let mut reader = store.reader().await?;
    let query = sqlx::query(FIND_BY_EMAIL).bind(email_key(email));
    query.fetch_optional(&mut *reader).await?.as_ref().map(read).transpose()
}

async fn update(tx: Tx<'_>, user: UserId, changes: UserChanges) -> error::Result<User> {
    let mut user = find(tx.connection, user).await?.ok_or(Error::UserNotFound)?;
    user.apply(changes)?;
    sqlx::query(UPDATE)
        .bind(user.id.as_uuid())
        .bind(&user.email)
        .bind(email_key(&user.email))
        .bind(&user.hashed_password)
        .bind(user.is_active)
        .bind(user.is_superuser)
        .bind(user.is_verified)
        .bind(&user.locale)
        .bind(user.token_epoch)
        .execute(tx.connection)
        .await
        .map_err(email_taken)?;
    Ok(user)
}

async fn upgrade(tx: Tx<'_>, user: UserId, old: String, new: String) -> error::Result<()> {
    let upgrade = sqlx::query(UPGRADE).bind(user.as_uuid()).bind(old).bind(new);
    upgrade.execute(tx.connection).await?;
    Ok(())
}

async fn delete(tx: Tx<'_>, user: UserId) -> error::Result<()> {
    let deleted = sqlx::query(DELETE).bind(user.as_uuid()).execute(&mut *tx.connection).await?;
    if deleted.rows_affected() == 0 {
        return Err(Error::UserNotFound.into());
    }
    let owner = OwnerId::from(user);
    sqlx::query(DELETE_APPS).bind(owner.as_str()).execute(tx.connection).await?;
    Ok(())
}

fn email_taken(error: sqlx::Error) -> Problem {
    Problem::from(error).or_if_taken(Error::EmailTaken)
}

/// Reads a row that has a user's columns.
pub(crate) fn read(row: &SqliteRow) -> error::Result<User> {
    Ok(User {
        id: row.id("id", UserId::from_uuid)?,
        email: row.try_get("email")?,
        hashed_password: row.try_get("hashed_password")?,
        is_active: row.try_get("is_active")?,
        is_superuser: row.try_get("is_superuser")?,
        is_verified: row.try_get("is_verified")?,
        locale: row.try_get("locale")?,
        token_epoch: row.try_get("token_epoch")?,
        created_at: row.instant("created_at")?,
    })
}
