//! `seed`: users to try things with. What is there already is left alone.

use std::io::Write;

use nexo_core::{
    Error, JsonObject, NewApp, OwnerId, PageRequest,
    accounts::{NewUser, User},
};

use super::{open, say};
use crate::{
    backend::Backend,
    config::Config,
    error::{Context, Failure, Result},
    ui, wiring,
};

const FIRST: &str = "tester";
const DOMAIN: &str = "nexo.xyz";
const PASSWORD: &str = "NexoPass#99";
const APP: &str = "Test App";
const DESCRIPTION: &str = "An app to try things with: it repeats what you say";
const CONFIG: &str = r#"{"integration":{"mode":"simulator"},"simulator":{"scenario":"generic","disclaimer":false,"latency_ms":0},"webhook":{"timeout_ms":8000}}"#;

/// Makes the personas, each with an app. Their password is known to everybody.
pub(crate) async fn seed(config: &Config, personas: &[String], out: &mut impl Write) -> Result<()> {
    if config.production {
        return Err(Failure::new(
            "users to try things with have a password that everybody knows, and PRODUCTION is on: \
             make one of your own with `user create`",
        ));
    }
    let emails = emails(personas)?;
    let backend = open(config).await?;
    for email in &emails {
        let user = user(&backend, config, email, out).await?;
        app(&backend, &user, out).await?;
    }
    backend.close().await;
    let url = config.frontend_url(config.listen.port);
    let path = ui::sign_in_path();
    let who = emails.join(" or ");
    say(out, &format!("\nSign in at {url}{path} as {who} with {PASSWORD}"))
}

fn emails(personas: &[String]) -> Result<Vec<String>> {
    let personas = std::iter::once(FIRST).chain(personas.iter().map(String::as_str));
    personas.map(email).collect()
}

fn email(persona: &str) -> Result<String> {
    nexo_http::auth::email::parse(&format!("{persona}@{DOMAIN}"))
        .map_err(|why| Failure::new(format!("`{persona}` is no name for a persona: {why}")))
}

async fn user(
    backend: &Backend,
    config: &Config,
    email: &str,
    out: &mut impl Write,
) -> Result<User> {
    let accounts = &backend.accounts;
    let away = || format!("the user {email} can't be made");
    if let Some(user) = accounts.find_user_by_email(email).await.context(away())? {
        say(out, &format!("found    user {email}"))?;
        return Ok(user);
    }
    let hash = wiring::passwords(config).hash(PASSWORD.to_owned()).await;
    let new = NewUser {
        email: email.to_owned(),
        hashed_password: hash.map_err(|_| Failure::new(away()))?,
        is_superuser: false,
        is_verified: true,
        locale: "en".to_owned(),
    };
    let user = match accounts.create_user(new).await {
        // Another seed was faster.
        Err(Error::EmailTaken) => accounts.find_user_by_email(email).await.context(away())?,
        made => Some(made.context(away())?),
    };
    say(out, &format!("created  user {email}"))?;
    user.ok_or_else(|| Failure::new(away()))
}

async fn app(backend: &Backend, user: &User, out: &mut impl Write) -> Result<()> {
    let (owner, away) = (OwnerId::from(user.id), "the app can't be made");
    let described = format!("app {APP} of {}", user.email);
    if has_app(backend, &owner).await.context(away)? {
        return say(out, &format!("found    {described}"));
    }
    let app = NewApp {
        description: Some(DESCRIPTION.to_owned()),
        config: CONFIG.parse::<JsonObject>().context(away)?,
        ..NewApp::new(owner, APP)
    };
    let app = backend.store.create_app(app).await.context(away)?;
    say(out, &format!("created  {described}: {}", app.id))
}

async fn has_app(backend: &Backend, owner: &OwnerId) -> nexo_core::Result<bool> {
    let mut number = 1;
    loop {
        let request = PageRequest { page: number, size: 100 };
        let page = backend.store.list_apps(owner, request).await?;
        if page.items.iter().any(|app| app.name == APP) {
            return Ok(true);
        }
        if page.items.is_empty() {
            return Ok(false);
        }
        number += 1;
    }
}
