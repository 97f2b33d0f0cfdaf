//! Users: the endpoints under `/users`.

use std::time::Duration;

use nexo_core::{
    Error, PageRequest, Scope, UserId,
    accounts::{User, UserChanges},
};

use crate::{
    Api, ApiError,
    auth::shortcomings,
    input::{CurrentUser, JsonBody, NamedUser, State, Superuser},
    openapi::wire,
    output::{Json, NoContent},
    validate::{Email, Flag, Given, Locale, fields},
};

/// How often what a deleted user left is looked for again, if the store is away.
const MAX_TRIES: u32 = 40;
const RETRY_AFTER: Duration = Duration::from_millis(250);

wire! {
    /// A user, as shown.
    pub(crate) struct UserRead {
        /// The user's id.
        id: UserId,
        /// The e-mail address.
        email: String,
        /// Whether they may sign in.
        is_active: bool,
        /// Whether they administer users.
        is_superuser: bool,
        /// Whether the address was shown to be theirs.
        is_verified: bool,
        /// The language they read.
        locale: String,
    }
}

impl From<User> for UserRead {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            is_active: user.is_active,
            is_superuser: user.is_superuser,
            is_verified: user.is_verified,
            locale: user.locale,
        }
    }
}

fields! {
    /// What to change about a user.
    pub(crate) body UserUpdate as "UserUpdate" {
        /// A new password.
        password: Option<String>,
        /// A new e-mail address, which is not verified then.
        email: Given<Email>,
        /// Whether they may sign in; only for administrators.
        is_active: Given<Flag>,
        /// Whether they administer users; only for administrators.
        is_superuser: Given<Flag>,
        /// Whether the address was shown to be theirs; only for administrators.
        is_verified: Given<Flag>,
        /// A new language.
        locale: Given<Locale>,
    }
}

/// Who is signed in.
pub(crate) async fn current_user(CurrentUser(user): CurrentUser) -> Json<UserRead> {
    Json(user.into())
}

/// Changes the signed-in user; the flags are not theirs to change.
pub(crate) async fn patch_current_user(
    State(api): State,
    CurrentUser(user): CurrentUser,
    JsonBody(body): JsonBody<UserUpdate>,
) -> Result<Json<UserRead>, ApiError> {
    let own = UserUpdate {
        is_active: Given(None),
        is_superuser: Given(None),
        is_verified: Given(None),
        ..body
    };
    let epoch = Some(user.token_epoch);
    update(&api, user, own, epoch).await
}

/// Gets any user.
pub(crate) async fn user(
    State(api): State,
    _: Superuser,
    named: NamedUser,
) -> Result<Json<UserRead>, ApiError> {
    Ok(Json(named.find(&api).await?.into()))
}

/// Changes any user.
pub(crate) async fn patch_user(
    State(api): State,
    _: Superuser,
    named: NamedUser,
    JsonBody(body): JsonBody<UserUpdate>,
) -> Result<Json<UserRead>, ApiError> {
    update(&api, named.find(&api).await?, body, None).await
}

/// Deletes any user, with all their apps, also if nobody waits for it any more.
pub(crate) async fn delete_user(
    State(api): State,
    _: Superuser,
    named: NamedUser,
) -> Result<NoContent, ApiError> {
    let user = named.find(&api).await?;
    let deleted = tokio::spawn(async move { delete(&api, user.id).await });
    deleted.await.map_err(|panicked| ApiError::internal(&panicked))??;
    Ok(NoContent)
}

/// An app that a user makes while theirs are deleted may stay, and nobody could delete it. So
/// they are looked for once more when the user is gone; whoever makes one after that notices
/// ([`Api::is_owner_there`]).
async fn delete(api: &Api, user: UserId) -> nexo_core::Result<()> {
    let users = api.accounts().store();
    match users.delete_user(user).await {
        Err(Error::OutcomeUnknown(_)) if users.find_user(user).await?.is_none() => {}
        deleted => deleted?,
    }
    let mut tries = 0;
    loop {
        match delete_apps(api, user).await {
            Err(error) if error.is_passing() && tries < MAX_TRIES => {
                tries += 1;
                tokio::time::sleep(RETRY_AFTER).await;
            }
            done => return done,
        }
    }
}

async fn delete_apps(api: &Api, user: UserId) -> nexo_core::Result<()> {
    let owner = user.into();
    loop {
        let left = api.store().list_apps(&owner, PageRequest { page: 1, size: 100 }).await?;
        if left.items.is_empty() {
            return Ok(());
        }
        for app in left.items {
            match api.store().delete_app(&Scope::App(app.id), app.id).await {
                Ok(()) | Err(Error::AppNotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// `if_token_epoch` is that of the token which the user shows: it may end while the new password
/// is hashed, and must not have the last word then.
async fn update(
    api: &Api,
    user: User,
    body: UserUpdate,
    if_token_epoch: Option<i64>,
) -> Result<Json<UserRead>, ApiError> {
    let email = body.email.0.map(|email| email.0);
    let hashed_password = match body.password {
        Some(password) => {
            let address = email.as_deref().unwrap_or(&user.email);
            Some(new_hash(api, password, address).await?)
        }
        None => None,
    };
    let flag = |given: Given<Flag>| given.0.map(|flag| flag.0);
    let changes = UserChanges {
        email,
        hashed_password,
        is_active: flag(body.is_active),
        is_superuser: flag(body.is_superuser),
        is_verified: flag(body.is_verified),
        locale: body.locale.0.map(|locale| locale.0),
        if_token_epoch,
        ..UserChanges::default()
    };
    match api.accounts().store().update_user(user.id, changes).await {
        Ok(user) => Ok(Json(user.into())),
        Err(Error::UserNotFound) => Err(ApiError::NOT_FOUND),
        Err(Error::Conflict(_)) => Err(ApiError::UNAUTHORIZED),
        Err(error) => Err(error.into()),
    }
}

async fn new_hash(api: &Api, password: String, email: &str) -> Result<String, ApiError> {
    let reasons = shortcomings(&password, email);
    if !reasons.is_empty() {
        return Err(ApiError::with_reasons("UPDATE_USER_INVALID_PASSWORD", reasons));
    }
    api.accounts().passwords().hash(password).await
}
