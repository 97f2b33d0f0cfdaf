//! The service's own login: a session is a random token in a cookie, and who it belongs to is
//! kept here. Nexo knows nothing of it but [`Authenticator`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{COOKIE, SET_COOKIE},
    },
    response::{AppendHeaders, IntoResponse},
    routing::{get, post},
};
use nexo_core::{AppId, Nexo, OwnerId, Principal, Secret};
use nexo_http::{ApiError, Authenticator};
use serde::{Deserialize, Serialize};

/// Whom the service knows. A real one has a table with hashes of passwords.
const USERS: [(&str, &str); 2] = [("nora", "Bakery#2026"), ("omar", "Harbour#2026")];

/// Who is signed in. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    users: Arc<Mutex<HashMap<String, OwnerId>>>,
    nexo: Nexo,
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

/// What the service's own pages show of somebody.
#[derive(Serialize)]
struct Me {
    name: OwnerId,
    app_id: AppId,
}

impl Sessions {
    pub(crate) fn new(nexo: Nexo) -> Self {
        Self { users: Arc::default(), nexo }
    }

    /// The service's own endpoints about who somebody is.
    pub(crate) fn routes(self) -> Router {
        Router::new().route("/login", post(login)).route("/me", get(me)).with_state(self)
    }

    /// Whoever signs in again is signed out elsewhere, so there is one session for each user.
    fn open(&self, user: OwnerId) -> String {
        let token = format!("{:032x}", rand::random::<u128>());
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|_, known| *known != user);
        users.insert(token.clone(), user);
        token
    }

    fn find(&self, headers: &HeaderMap) -> Option<OwnerId> {
        let cookies = headers.get(COOKIE)?.to_str().ok()?;
        let token = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("session="))?;
        self.users.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    /// What there is of somebody, who need not have been here before.
    async fn describe(&self, name: OwnerId) -> nexo_core::Result<Me> {
        let app = self.nexo.ensure_app(name.clone(), "Desk", ["concierge"]).await?;
        Ok(Me { name, app_id: app.id })
    }
}

/// What Nexo asks of a login: who sent these headers.
#[async_trait]
impl Authenticator for Sessions {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Principal>, ApiError> {
        Ok(self.find(headers).map(|owner| Principal::Owner { owner, admin: false }))
    }
}

async fn login(
    State(sessions): State<Sessions>,
    Json(login): Json<Login>,
) -> Result<impl IntoResponse, StatusCode> {
    let user = user(&login).ok_or(StatusCode::UNAUTHORIZED)?;
    let me = sessions.describe(user.clone()).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    // Other sites' pages can't have the browser send it along.
    let cookie = format!("session={}; Path=/; HttpOnly; SameSite=Strict", sessions.open(user));
    Ok((AppendHeaders([(SET_COOKIE, cookie)]), Json(me)))
}

fn user(login: &Login) -> Option<OwnerId> {
    let (name, password) = USERS.iter().find(|(name, _)| *name == login.name)?;
    Secret::new(*password).matches(&login.password).then(|| name.parse().ok()).flatten()
}

async fn me(State(sessions): State<Sessions>, headers: HeaderMap) -> Result<Json<Me>, StatusCode> {
    let user = sessions.find(&headers).ok_or(StatusCode::UNAUTHORIZED)?;
    sessions.describe(user).await.map(Json).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}
