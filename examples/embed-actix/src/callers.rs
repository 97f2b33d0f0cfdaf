//! The service's own login: programs that call it, each with a key in a header. Nexo knows nothing
//! of it but [`Authenticator`].

use actix_web::{
    HttpRequest,
    error::{ErrorServiceUnavailable, ErrorUnauthorized},
    web::{self, Json, ServiceConfig},
};
use async_trait::async_trait;
use nexo_core::{AppId, Nexo, OwnerId, Principal, Secret};
use nexo_http::{ApiError, Authenticator};
use serde::Serialize;

/// The header that has the key.
const API_KEY: &str = "x-api-key";

/// Whom the service knows. A real one has a table with digests of keys.
const CALLERS: [(&str, &str); 2] =
    [("bakery", "demo-key-of-the-bakery"), ("harbour", "demo-key-of-the-harbour")];

/// Who calls. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Callers {
    nexo: Nexo,
}

/// What the service's own pages show of somebody.
#[derive(Serialize)]
struct Me {
    name: OwnerId,
    app_id: AppId,
}

impl Callers {
    pub(crate) fn new(nexo: Nexo) -> Self {
        Self { nexo }
    }

    /// The service's own endpoint about who somebody is.
    pub(crate) fn routes(self) -> impl FnOnce(&mut ServiceConfig) {
        move |config| {
            config.app_data(web::Data::new(self)).route("/me", web::get().to(me));
        }
    }

    /// What there is of somebody, who need not have been here before.
    async fn describe(&self, name: OwnerId) -> nexo_core::Result<Me> {
        let app = self.nexo.ensure_app(name.clone(), "Desk", ["concierge"]).await?;
        Ok(Me { name, app_id: app.id })
    }
}

/// Whose key it is. A comparison takes the same time wherever the first difference is.
fn find(key: &str) -> Option<OwnerId> {
    let (name, _) = CALLERS.iter().find(|(_, known)| Secret::new(*known).matches(key))?;
    name.parse().ok()
}

/// What Nexo asks of a login: who sent these headers. They are those of the crate `http` 1, while
/// actix's own are of its version 0.2.
#[async_trait]
impl Authenticator for Callers {
    async fn authenticate(&self, headers: &http::HeaderMap) -> Result<Option<Principal>, ApiError> {
        let key = headers.get(API_KEY).and_then(|key| key.to_str().ok());
        Ok(key.and_then(find).map(|owner| Principal::Owner { owner, admin: false }))
    }
}

async fn me(callers: web::Data<Callers>, request: HttpRequest) -> actix_web::Result<Json<Me>> {
    let key = request.headers().get(API_KEY).and_then(|key| key.to_str().ok());
    let name = key.and_then(find).ok_or_else(|| ErrorUnauthorized("who are you?"))?;
    callers.describe(name).await.map(Json).map_err(ErrorServiceUnavailable)
}
