//! Partners: backends that authenticate with an app's id and secret.

use nexo_core::{AppConfig, AppId, Error, KeyDigest, Scope};

use crate::{Api, ApiError, Request, input};

/// What a request says in a partner's headers; as bytes, since clients send anything.
pub(crate) struct Credentials {
    app: Vec<u8>,
    secret: Vec<u8>,
}

impl Credentials {
    /// The app that the header names, if that is an id.
    pub(crate) fn app(&self) -> Option<AppId> {
        std::str::from_utf8(&self.app).ok()?.trim().parse().ok()
    }
}

/// The partner's headers, if there are both and the app id is not empty.
pub(crate) fn credentials(request: &Request, api: &Api) -> Option<Credentials> {
    let names = &api.settings().headers;
    let app = request.headers.get(&names.app_id)?.as_bytes().to_vec();
    let secret = request.headers.get(&names.app_secret)?.as_bytes().to_vec();
    (!app.is_empty()).then_some(Credentials { app, secret })
}

/// Lets a partner in that names this app, and knows one of its keys.
///
/// An unknown app, one without a key and a wrong secret can't be told apart here; on routes that
/// an app may grant its partners, one that does not grant them answers like one that is unknown.
/// Wrong secrets for one app never keep out the right one, or anybody could lock a partner out.
pub(crate) async fn authenticate(
    request: &Request,
    api: &Api,
    app: AppId,
    credentials: &Credentials,
) -> Result<(), ApiError> {
    let named = credentials.app().ok_or(ApiError::PARTNER_INVALID_APP_HEADER)?;
    if named != app {
        return Err(ApiError::PARTNER_APP_ID_MISMATCH);
    }
    let network = input::network(request, api);
    let throttle = api.throttle();
    throttle.refuse_if_blocked("partner", &network)?;
    if knows_a_key(api, app, &credentials.secret).await? {
        return Ok(());
    }
    throttle.count("partner", &network, |limits| limits.partner_by_network).await?;
    throttle.count("partner-app", &app.to_string(), |limits| limits.partner_by_app).await?;
    Err(ApiError::PARTNER_SECRET_INVALID)
}

/// Compares with every key, so that the time does not tell which it was.
async fn knows_a_key(api: &Api, app: AppId, secret: &[u8]) -> Result<bool, ApiError> {
    let keys = api.store().valid_keys(app).await?;
    let Ok(secret) = std::str::from_utf8(secret) else { return Ok(false) };
    let digest = KeyDigest::of(app, secret);
    Ok(keys.iter().fold(false, |known, key| known | (key.digest == digest)))
}

/// What the app grants its partners beyond the partner routes.
pub(crate) async fn scopes(api: &Api, app: AppId) -> Result<Vec<String>, ApiError> {
    match api.store().get_app(&Scope::Everything, app).await {
        Ok(app) => Ok(AppConfig::read(&app.config).partner_scopes),
        Err(Error::AppNotFound(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}
