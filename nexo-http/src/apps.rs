//! Apps: the endpoints under `/apps/`.

use nexo_core::{
    App, AppChanges, AppId, ConfigChange, Error, JsonObject, NewApp, OwnerId, PageRequest,
    Principal, Scope,
};

use crate::{
    Api, ApiError, Request,
    input::{Access, AppAccess, Input, JsonBody, OwnerOnly, Query, Reject, State},
    openapi::{Operation, wire},
    output::Json,
    pages::{NumberedPage, Paged},
    validate::{
        ChangedSecret, Config, Flag, Given, Int, MASK, NewSecret, Text, WebhookUrl, fields,
    },
};

wire! {
    /// An app, as shown.
    pub(crate) struct AppRead {
        /// The app's id; doubles as the partner's App ID.
        id: AppId,
        /// Who owns it.
        user_id: OwnerId,
        /// Its name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// Where its agent is called in webhook mode.
        webhook_url: Option<String>,
        /// Six dots if there is a secret; the secret itself is never shown.
        webhook_secret: Option<&'static str>,
        /// Free-form configuration.
        config_json: JsonObject,
    }
}

impl Paged for AppRead {
    const NAME: &'static str = "AppRead";
}

impl From<App> for AppRead {
    fn from(app: App) -> Self {
        Self {
            id: app.id,
            user_id: app.owner,
            name: app.name,
            description: app.description,
            webhook_url: app.webhook_url,
            webhook_secret: app.webhook_secret.map(|_| MASK),
            config_json: app.config,
        }
    }
}

fields! {
    /// What a new app is made of.
    pub(crate) body AppCreate as "AppCreate" {
        /// Its name.
        name: Text<255>,
        /// What it is for.
        description: Option<String>,
        /// Where its agent is called in webhook mode.
        webhook_url: Option<WebhookUrl>,
        /// What webhooks are signed with; a partner authenticates with it as well.
        webhook_secret: Option<NewSecret>,
        /// Free-form configuration.
        config_json: Given<Config>,
    }
}

fields! {
    /// What to change about an app. What is absent stays; null clears.
    pub(crate) body AppUpdate as "AppUpdate" {
        /// A new name.
        name: Given<Text<255>>,
        /// A new description.
        description: Given<Option<String>>,
        /// A new webhook address.
        webhook_url: Given<Option<WebhookUrl>>,
        /// A new secret. The six dots mean that it stays.
        webhook_secret: Given<Option<ChangedSecret>>,
        /// A new configuration, whole; if it is merged, what to change, and null removes.
        config_json: Given<ConfigChange>,
    }
}

fields! {
    /// Which page of the apps.
    pub(crate) query AppsQuery as "AppsQuery" {
        /// The page, from 1.
        page: Int<1, { i32::MAX as i64 }, 1>,
        /// How many a page has.
        size: Int<1, 100, 10>,
    }
}

fields! {
    /// How an app is changed.
    pub(crate) query UpdateQuery as "UpdateQuery" {
        /// Whether `config_json` is merged (RFC 7396) instead of replaced.
        merge: Option<Flag>,
    }
}

/// Whether the configuration is merged. The body that is taken next is read accordingly.
pub(crate) struct Merging;

impl Input for Merging {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let Query(query) = Query::<UpdateQuery>::take(request, api).await?;
        request.merges = query.merge.is_some_and(|flag| flag.0);
        Ok(Self)
    }

    fn describe(operation: &mut Operation<'_>) {
        Query::<UpdateQuery>::describe(operation);
    }
}

wire! {
    /// That something was done.
    pub(crate) struct ActionResponse {
        /// What was done.
        message: &'static str,
    }
}

/// Lists the caller's apps, oldest first.
pub(crate) async fn read_app(
    State(api): State,
    access: Access,
    Query(query): Query<AppsQuery>,
) -> Result<Json<NumberedPage<AppRead>>, ApiError> {
    let request = PageRequest { page: query.page.get(), size: query.size.get() };
    let page = api.store().list_apps(&owner(access.principal)?, request).await?;
    Ok(Json(NumberedPage::new(page, request)))
}

/// Creates an app, with the agent that answers in it.
pub(crate) async fn create_app(
    State(api): State,
    access: Access,
    JsonBody(body): JsonBody<AppCreate>,
) -> Result<Json<AppRead>, ApiError> {
    let app = NewApp {
        owner: owner(access.principal)?,
        name: body.name.0,
        description: body.description,
        webhook_url: body.webhook_url.and_then(|url| url.0),
        webhook_secret: body.webhook_secret.and_then(|secret| secret.0),
        config: body.config_json.0.map(|config| config.0).unwrap_or_default(),
    };
    let app = api.store().create_app(app).await?;
    if !api.is_owner_there(&app.owner).await {
        // Their deletion may not have seen this one.
        return match api.store().delete_app(&Scope::App(app.id), app.id).await {
            Ok(()) | Err(Error::AppNotFound(_)) => Err(ApiError::UNAUTHORIZED),
            Err(error) => Err(error.into()),
        };
    }
    Ok(Json(app.into()))
}

/// Gets an app.
pub(crate) async fn get_app(
    State(api): State,
    access: AppAccess<OwnerOnly>,
) -> Result<Json<AppRead>, ApiError> {
    Ok(Json(api.store().get_app(&access.scope, access.app).await?.into()))
}

/// Changes an app.
pub(crate) async fn update_app(
    State(api): State,
    access: AppAccess<OwnerOnly>,
    _: Merging,
    JsonBody(body): JsonBody<AppUpdate>,
) -> Result<Json<AppRead>, ApiError> {
    let changes = AppChanges {
        name: body.name.0.map(|name| name.0),
        description: body.description.0,
        webhook_url: body.webhook_url.0.map(|url| url.and_then(|url| url.0)),
        webhook_secret: match body.webhook_secret.0 {
            None | Some(Some(ChangedSecret::Unchanged)) => None,
            Some(None) => Some(None),
            Some(Some(ChangedSecret::Changed(secret))) => Some(secret),
        },
        secret_overlap: api.settings().secret_overlap,
        config: body.config_json.0,
    };
    Ok(Json(api.store().update_app(&access.scope, access.app, changes).await?.into()))
}

/// Deletes an app with all that belongs to it.
pub(crate) async fn delete_app(
    State(api): State,
    access: AppAccess<OwnerOnly>,
) -> Result<Json<ActionResponse>, ApiError> {
    api.store().delete_app(&access.scope, access.app).await?;
    Ok(Json(ActionResponse { message: "ACTION_APP_DELETED" }))
}

fn owner(principal: Principal) -> Result<OwnerId, ApiError> {
    match principal {
        Principal::Owner { owner, .. } => Ok(owner),
        Principal::App { .. } | Principal::Customer { .. } => Err(ApiError::UNAUTHORIZED),
    }
}
