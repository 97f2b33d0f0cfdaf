//! `user`: make and change users where nobody can sign in yet, or any more.

use std::io::Write;

use nexo_core::{
    Error,
    accounts::{NewUser, User, UserChanges},
};
use nexo_http::auth::{email, shortcomings};

use super::{open, password, say};
use crate::{
    backend::Backend,
    cli::{CreateUser, ResetPassword},
    config::Config,
    error::{Context, Failure, Result},
    wiring,
};

/// Makes a user.
pub(crate) async fn create_user(
    config: &Config,
    options: CreateUser,
    out: &mut impl Write,
) -> Result<()> {
    let email = email::parse(&options.email).map_err(|why| Failure::new(why.to_owned()))?;
    let hashed_password = hashed_password(config, &email, options.password_stdin).await?;
    let backend = open(config).await?;
    let user = NewUser {
        email: email.clone(),
        hashed_password,
        is_superuser: options.superuser,
        is_verified: true,
        locale: options.locale,
    };
    match backend.accounts.create_user(user).await {
        Ok(user) => say(out, &format!("created user {email}: {}", user.id))?,
        Err(Error::EmailTaken) => return Err(Failure::new(format!("there is a user {email}"))),
        Err(error) => return Err(error).context("the user can't be made"),
    }
    backend.close().await;
    Ok(())
}

/// Lets a user administer others.
pub(crate) async fn promote_user(config: &Config, email: &str, out: &mut impl Write) -> Result<()> {
    let changes = UserChanges { is_superuser: Some(true), ..UserChanges::default() };
    let backend = open(config).await?;
    change(&backend, email, changes).await?;
    backend.close().await;
    say(out, &format!("{email} may administer users now"))
}

/// Sets a user's password.
pub(crate) async fn reset_password(
    config: &Config,
    options: ResetPassword,
    out: &mut impl Write,
) -> Result<()> {
    let backend = open(config).await?;
    let email = find(&backend, &options.email).await?.email;
    let hash = hashed_password(config, &email, options.password_stdin).await?;
    let changes = UserChanges { hashed_password: Some(hash), ..UserChanges::default() };
    change(&backend, &email, changes).await?;
    backend.close().await;
    say(out, &format!("{email} has a new password; whoever was signed in as them is not any more"))
}

async fn hashed_password(config: &Config, email: &str, from_stdin: bool) -> Result<String> {
    let password = password::read(from_stdin)?;
    let lacking = shortcomings(password.expose(), email);
    if !lacking.is_empty() {
        return Err(Failure::new(format!("the password won't do: {}", lacking.join(" "))));
    }
    let hash = wiring::passwords(config).hash(password.expose().to_owned()).await;
    hash.map_err(|_| Failure::new("the password can't be hashed"))
}

async fn find(backend: &Backend, email: &str) -> Result<User> {
    let found = backend.accounts.find_user_by_email(email).await;
    found
        .context("users can't be looked up")?
        .ok_or_else(|| Failure::new(format!("there is no user {email}")))
}

async fn change(backend: &Backend, email: &str, changes: UserChanges) -> Result<()> {
    let user = find(backend, email).await?;
    let changed = backend.accounts.update_user(user.id, changes).await;
    changed.map(drop).context("the user can't be changed")
}
