//! Users.

use async_trait::async_trait;
use nexo_core::{
    Error, Result, UserId,
    accounts::{NewUser, User, UserChanges, UserStore, email_key},
};
use sqlx::postgres::PgRow;

use crate::{
    Connection, PostgresStore,
    error::{at_commit, before_commit, commit, is_taken},
    find,
    row::Columns,
    run,
};

/// What read_user() reads, in its order.
macro_rules! user_columns {
    ($table:literal) => {
        columns!(
            $table: "id", "email", "hashed_password", "is_active", "is_superuser", "is_verified",
            "locale", "token_epoch", "created_at"
        )
    };
}
pub(crate) use user_columns;

/// The constraint that keeps addresses apart; they are compared in Rust's lower case.
const ONE_USER_PER_EMAIL: &str = "nexo_users_email";

const CREATE: &str = concat!(
    "insert into nexo_users as u (id, email, email_key, hashed_password, is_active, is_superuser,
        is_verified, locale, created_at)
    values ($1, $2, $3, $4, true, $5, $6, $7, now())
    returning ",
    user_columns!("u")
);

const FIND: &str = concat!("select ", user_columns!("u"), " from nexo_users u where u.id = $1");

const FIND_BY_EMAIL: &str =
    concat!("select ", user_columns!("u"), " from nexo_users u where u.email_key = $1");

/// The lock makes changes at once come one after the other, so that the conditions hold still.
const FIND_TO_CHANGE: &str =
    concat!("select ", user_columns!("u"), " from nexo_users u where u.id = $1 for update of u");

const UPDATE: &str = "
    update nexo_users set email = $2, email_key = $3, hashed_password = $4, is_active = $5,
        is_superuser = $6, is_verified = $7, locale = $8, token_epoch = $9
    where id = $1";

const UPGRADE: &str =
    "update nexo_users set hashed_password = $3 where id = $1 and hashed_password = $2";

/// Locked in one order, so that two deletions never wait for each other; why they are locked
/// at all, and why their threads go first, is told at the deletion of one app.
const LOCK_APPS: &str = "select id from nexo_apps where owner = $1 order by id for update";
const DELETE_THREADS: &str = "
    delete from nexo_threads where app_id in (select id from nexo_apps where owner = $1)";
const DELETE_APPS: &str = "delete from nexo_apps where owner = $1";
const DELETE: &str = "delete from nexo_users where id = $1";

#[async_trait]
impl UserStore for PostgresStore {
    async fn create_user(&self, user: NewUser) -> Result<User> {
        let query = sqlx::query(CREATE)
            .bind(UserId::new().as_uuid())
            .bind(&user.email)
            .bind(email_key(&user.email))
            .bind(user.hashed_password)
            .bind(user.is_superuser)
            .bind(user.is_verified)
            .bind(user.locale);
        let mut connection = self.connection().await?;
        let row = connection.answer(|it| query.fetch_one(it)).await;
        read_user(&mut Columns::of(&row.map_err(|error| email_taken_or(error, at_commit))?))
    }

    async fn find_user(&self, user: UserId) -> Result<Option<User>> {
        read_optional(self.read_optional(sqlx::query(FIND).bind(user.as_uuid())).await?)
    }

    async fn find_user_by_email(&self, email: &str) -> Result<Option<User>> {
        let query = sqlx::query(FIND_BY_EMAIL).bind(email_key(email));
        read_optional(self.read_optional(query).await?)
    }

    async fn update_user(&self, user: UserId, changes: UserChanges) -> Result<User> {
        let mut transaction = self.begin().await?;
        let row = lock_user(user, &mut transaction).await?;
        let mut user = read_user(&mut Columns::of(&row))?;
        user.apply(changes)?;
        let query = sqlx::query(UPDATE)
            .bind(user.id.as_uuid())
            .bind(&user.email)
            .bind(email_key(&user.email))
            .bind(&user.hashed_password)
            .bind(user.is_active)
            .bind(user.is_superuser)
            .bind(user.is_verified)
            .bind(&user.locale)
            .bind(user.token_epoch);
        let updated = transaction.answer(|it| query.execute(it)).await;
        updated.map_err(|error| email_taken_or(error, before_commit))?;
        commit(transaction).await?;
        Ok(user)
    }

    async fn upgrade_password_hash(&self, user: UserId, old: &str, new: &str) -> Result<()> {
        let query = sqlx::query(UPGRADE).bind(user.as_uuid()).bind(old).bind(new);
        self.write(query).await.map(drop)
    }

    async fn delete_user(&self, user: UserId) -> Result<()> {
        let mut transaction = self.begin_deletion().await?;
        lock_user(user, &mut transaction).await?;
        for statement in [LOCK_APPS, DELETE_THREADS, DELETE_APPS] {
            run(&mut transaction, sqlx::query(statement).bind(user.to_string())).await?;
        }
        run(&mut transaction, sqlx::query(DELETE).bind(user.as_uuid())).await?;
        commit(transaction).await
    }
}

async fn lock_user(user: UserId, connection: &mut Connection) -> Result<PgRow> {
    let query = sqlx::query(FIND_TO_CHANGE).bind(user.as_uuid());
    find(connection, query).await?.ok_or(Error::UserNotFound)
}

fn email_taken_or(error: sqlx::Error, otherwise: fn(sqlx::Error) -> Error) -> Error {
    if is_taken(&error, ONE_USER_PER_EMAIL) { Error::EmailTaken } else { otherwise(error) }
}

fn read_optional(row: Option<PgRow>) -> Result<Option<User>> {
    row.as_ref().map(|row| read_user(&mut Columns::of(row))).transpose()
}

pub(crate) fn read_user(columns: &mut Columns<'_>) -> Result<User> {
    Ok(User {
        id: UserId::from_uuid(columns.take()?),
        email: columns.take()?,
        hashed_password: columns.take()?,
        is_active: columns.take()?,
        is_superuser: columns.take()?,
        is_verified: columns.take()?,
        locale: columns.take()?,
        token_epoch: columns.take()?,
        created_at: columns.time()?,
    })
}
