//! The endpoints under `/auth`: log in and out, register, reset a password, verify an address.

use http::StatusCode;
use nexo_core::{
    Clock, Error, SystemClock,
    accounts::{MailKind, NewUser, User, UserChanges, email_key},
};

use super::{
    Accounts,
    passwords::{Verdict, shortcomings},
    tokens::fingerprint,
};
use crate::{
    ApiError,
    input::{Client, CurrentUser, Form, JsonBody, State},
    openapi::wire,
    output::{Accepted, Created, Json, NoContent},
    users::UserRead,
    validate::{Email, GrantType, Ignored, Locale, fields},
};

const BAD_CREDENTIALS: ApiError = ApiError::bad_request("LOGIN_BAD_CREDENTIALS");
const BAD_RESET_TOKEN: ApiError = ApiError::bad_request("RESET_PASSWORD_BAD_TOKEN");
const BAD_VERIFY_TOKEN: ApiError = ApiError::bad_request("VERIFY_USER_BAD_TOKEN");
const ALREADY_VERIFIED: ApiError = ApiError::bad_request("VERIFY_USER_ALREADY_VERIFIED");
const ALREADY_EXISTS: ApiError = ApiError::bad_request("REGISTER_USER_ALREADY_EXISTS");
const CLOSED: ApiError = ApiError::key(StatusCode::FORBIDDEN, "ERROR_REGISTRATION_CLOSED");

fields! {
    /// What a login form has.
    pub(crate) form Login as "login" {
        /// Always `password`, if it is given.
        grant_type: GrantType,
        /// The e-mail address.
        username: String,
        /// The password.
        password: String,
        /// Ignored.
        scope: Ignored,
        /// Ignored.
        client_id: Ignored,
        /// Ignored.
        client_secret: Ignored,
    }
}

fields! {
    /// What a new user gives.
    pub(crate) body UserCreate as "UserCreate" {
        /// The e-mail address.
        email: Email,
        /// The password.
        password: String,
        /// Ignored.
        is_active: Ignored,
        /// Ignored.
        is_superuser: Ignored,
        /// Ignored.
        is_verified: Ignored,
        /// The language, `en` if it is not given.
        locale: Option<Locale>,
    }
}

fields! {
    /// Whose password to reset.
    pub(crate) separate ForgotPassword as "Body_auth-reset_forgot_password" {
        /// The e-mail address.
        email: Email,
    }
}

fields! {
    /// A new password, and the token from the mail.
    pub(crate) separate ResetPassword as "Body_auth-reset_reset_password" {
        /// The token.
        token: String,
        /// The new password.
        password: String,
    }
}

fields! {
    /// Whose address to verify.
    pub(crate) separate RequestVerify as "Body_auth-verify_request-token" {
        /// The e-mail address.
        email: Email,
    }
}

fields! {
    /// The token from the mail.
    pub(crate) separate Verify as "Body_auth-verify_verify" {
        /// The token.
        token: String,
    }
}

wire! {
    /// A token that signs a user in.
    pub(crate) struct BearerResponse {
        /// The token.
        access_token: String,
        /// Always `bearer`.
        token_type: &'static str,
    }
}

/// Signs a user in. A hash that was made at a lower cost is replaced by the way.
///
/// An account's limit counts wrong passwords and refuses no right one, or anybody could lock
/// its user out. What is tried at all is limited for each network.
pub(crate) async fn login(
    State(api): State,
    client: Client,
    Form(form): Form<Login>,
) -> Result<Json<BearerResponse>, ApiError> {
    let Login {
        username,
        password,
        grant_type: GrantType,
        scope: Ignored,
        client_id: Ignored,
        client_secret: Ignored,
    } = form;
    let (accounts, throttle) = (api.accounts(), api.throttle());
    throttle.count("login", &client.network, |limits| limits.login_by_network).await?;

    let user = accounts.store().find_user_by_email(&username).await?;
    let stored = user.as_ref().map(|user| user.hashed_password.clone());
    let verdict = accounts.passwords().verify(password, stored.clone()).await?;
    let user = user.filter(|user| user.is_active && verdict != Verdict::Wrong);
    let Some(user) = user else {
        let account = email_key(&username);
        throttle.count("login-account", &account, |limits| limits.login_by_account).await?;
        return Err(BAD_CREDENTIALS);
    };
    if let (Verdict::RightWithUpgrade(better), Some(old)) = (verdict, stored) {
        accounts.store().upgrade_password_hash(user.id, &old, &better).await?;
    }
    let access_token = accounts.tokens().access(&user, SystemClock.now());
    Ok(Json(BearerResponse { access_token, token_type: "bearer" }))
}

/// Signs a user out. The token stays valid until it expires.
pub(crate) async fn logout(_user: CurrentUser) -> NoContent {
    NoContent
}

/// Registers a user.
pub(crate) async fn register(
    State(api): State,
    client: Client,
    JsonBody(body): JsonBody<UserCreate>,
) -> Result<Created<UserRead>, ApiError> {
    let UserCreate {
        email: Email(email),
        password,
        locale,
        is_active: Ignored,
        is_superuser: Ignored,
        is_verified: Ignored,
    } = body;
    let accounts = api.accounts();
    if !accounts.is_registration_open() {
        return Err(CLOSED);
    }
    let throttle = api.throttle();
    throttle.count("register", &client.network, |limits| limits.register_by_network).await?;
    let reasons = shortcomings(&password, &email);
    if !reasons.is_empty() {
        return Err(ApiError::with_reasons("REGISTER_INVALID_PASSWORD", reasons));
    }
    let user = NewUser {
        email,
        hashed_password: accounts.passwords().hash(password).await?,
        is_superuser: false,
        is_verified: false,
        locale: locale.map_or_else(|| "en".to_owned(), |locale| locale.0),
    };
    match accounts.store().create_user(user).await {
        Ok(user) => Ok(Created(user.into())),
        Err(Error::EmailTaken) => Err(ALREADY_EXISTS),
        Err(error) => Err(error.into()),
    }
}

/// Queues a mail with which a password can be reset; the answer is the same for everybody.
pub(crate) async fn forgot_password(
    State(api): State,
    client: Client,
    JsonBody(body): JsonBody<ForgotPassword>,
) -> Result<Accepted, ApiError> {
    queue_mail(&api, &client, &body.email.0, MailKind::ResetPassword).await
}

/// Queues a mail with which an address can be verified; the answer is the same for everybody.
pub(crate) async fn request_verify_token(
    State(api): State,
    client: Client,
    JsonBody(body): JsonBody<RequestVerify>,
) -> Result<Accepted, ApiError> {
    queue_mail(&api, &client, &body.email.0, MailKind::VerifyEmail).await
}

async fn queue_mail(
    api: &crate::Api,
    client: &Client,
    email: &str,
    kind: MailKind,
) -> Result<Accepted, ApiError> {
    let throttle = api.throttle();
    throttle.count("mail", &client.network, |limits| limits.mail_by_network).await?;
    throttle.count(kind.as_str(), &email_key(email), |limits| limits.mail_by_account).await?;
    api.accounts().store().queue_mail(email, kind).await?;
    Ok(Accepted)
}

/// Sets a new password with the token from a mail, which works once.
pub(crate) async fn reset_password(
    State(api): State,
    client: Client,
    JsonBody(body): JsonBody<ResetPassword>,
) -> Result<Json<()>, ApiError> {
    let accounts = api.accounts();
    api.throttle().count("token", &client.network, |limits| limits.token_by_network).await?;
    let user = reset_user(accounts, &body.token).await?.ok_or(BAD_RESET_TOKEN)?;
    let reasons = shortcomings(&body.password, &user.email);
    if !reasons.is_empty() {
        return Err(ApiError::with_reasons("RESET_PASSWORD_INVALID_PASSWORD", reasons));
    }
    let changes = UserChanges {
        hashed_password: Some(accounts.passwords().hash(body.password).await?),
        if_hashed_password: Some(user.hashed_password),
        if_email: Some(user.email),
        if_token_epoch: Some(user.token_epoch),
        ..UserChanges::default()
    };
    match accounts.store().update_user(user.id, changes).await {
        Ok(_) => Ok(Json(())),
        Err(Error::Conflict(_) | Error::UserNotFound) => Err(BAD_RESET_TOKEN),
        Err(error) => Err(error.into()),
    }
}

/// The active user, if they are what they were when the token was issued.
async fn reset_user(accounts: &Accounts, token: &str) -> Result<Option<User>, ApiError> {
    let Some((id, then)) = accounts.tokens().read_reset(token) else { return Ok(None) };
    let user = accounts.store().find_user(id).await?;
    Ok(user.filter(|user| user.is_active && fingerprint(user) == then))
}

/// Notes that an address is its user's, with the token from a mail.
pub(crate) async fn verify(
    State(api): State,
    client: Client,
    JsonBody(body): JsonBody<Verify>,
) -> Result<Json<UserRead>, ApiError> {
    let accounts = api.accounts();
    api.throttle().count("token", &client.network, |limits| limits.token_by_network).await?;
    let (id, email) = accounts.tokens().read_verify(&body.token).ok_or(BAD_VERIFY_TOKEN)?;
    let user = accounts.store().find_user_by_email(&email).await?;
    let user = user.filter(|user| user.id == id && user.is_active).ok_or(BAD_VERIFY_TOKEN)?;
    if user.is_verified {
        return Err(ALREADY_VERIFIED);
    }
    let changes = UserChanges {
        is_verified: Some(true),
        if_email: Some(user.email),
        ..UserChanges::default()
    };
    match accounts.store().update_user(user.id, changes).await {
        Ok(user) => Ok(Json(user.into())),
        Err(Error::Conflict(_) | Error::UserNotFound) => Err(BAD_VERIFY_TOKEN),
        Err(error) => Err(error.into()),
    }
}
