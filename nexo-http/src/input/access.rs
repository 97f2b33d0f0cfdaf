//! Access: who calls, and how far they can see.
//!
//! The access type in a handler's signature says who may call. Looking up what the path names
//! is left to the store's own method, which goes through the scope; only when a request to a
//! partner route is refused for something else is it looked up here, since "not found" comes
//! first there.

use std::marker::PhantomData;

use nexo_core::{AppId, DeliveryId, Principal, ReplayId, RunId, Scope, SubscriberId, ThreadId};

use super::{Input, Reject, query::cut};
use crate::{
    Api, ApiError, Request,
    auth::partner,
    openapi::Operation,
    request::{Named, Within},
};

/// Who may call a route.
pub(crate) trait Callers: Send + Sync + 'static {
    /// Whether a partner's backend may.
    const PARTNERS: PartnerAccess;
}

/// Whether partners may call a route.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartnerAccess {
    /// They may not; their headers are not even looked at.
    Denied,
    /// They may, in every app.
    Allowed,
    /// They may in apps whose configuration grants this scope.
    Granted(&'static str),
}

impl PartnerAccess {
    /// Whether the route is open to somebody whom the authenticator knows. A partner for
    /// whom it vouches brings its scopes along; the app's configuration is not asked.
    fn admits(self, principal: &Principal) -> bool {
        match (self, principal) {
            (_, Principal::Owner { .. }) | (Self::Allowed, Principal::App { .. }) => true,
            (Self::Granted(name), Principal::App { scopes, .. }) => {
                scopes.iter().any(|scope| scope == name)
            }
            (Self::Denied, Principal::App { .. }) | (_, Principal::Customer { .. }) => false,
        }
    }
}

/// Owners only.
pub(crate) struct OwnerOnly;

impl Callers for OwnerOnly {
    const PARTNERS: PartnerAccess = PartnerAccess::Denied;
}

/// Owners and partners.
pub(crate) struct Partners;

impl Callers for Partners {
    const PARTNERS: PartnerAccess = PartnerAccess::Allowed;
}

/// A scope that an app can grant its partners.
pub(crate) trait PartnerScope: Send + Sync + 'static {
    /// The scope's name.
    const NAME: &'static str;
}

/// Owners, and partners whom the app's configuration grants the scope.
pub(crate) struct PartnersWith<S>(PhantomData<S>);

impl<S: PartnerScope> Callers for PartnersWith<S> {
    const PARTNERS: PartnerAccess = PartnerAccess::Granted(S::NAME);
}

/// An owner, on a route that names nothing by itself.
pub(crate) struct Access {
    pub(crate) principal: Principal,
    pub(crate) scope: Scope,
}

impl Input for Access {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let principal = known(request, api, PartnerAccess::Denied).await?;
        let principal = principal.ok_or(ApiError::UNAUTHORIZED)?;
        Ok(Self { scope: principal.scope(), principal })
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.needs_bearer();
    }
}

/// Somebody who may use an app, which the path names.
pub(crate) struct AppAccess<C> {
    pub(crate) scope: Scope,
    pub(crate) app: AppId,
    callers: PhantomData<C>,
}

impl<C: Callers> Input for AppAccess<C> {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let (scope, app) = authorize::<C>(request, api).await?;
        let app = app?;
        if C::PARTNERS == PartnerAccess::Allowed {
            request.named = Some(Named { scope: scope.clone(), app, within: Within::App });
        }
        Ok(Self { scope, app, callers: PhantomData })
    }

    fn describe(operation: &mut Operation<'_>) {
        describe::<C>(operation);
    }
}

/// Somebody who may use a thread of an app, which the path names both.
pub(crate) struct ThreadAccess<C> {
    pub(crate) scope: Scope,
    pub(crate) app: AppId,
    pub(crate) thread: ThreadId,
    callers: PhantomData<C>,
}

impl<C: Callers> Input for ThreadAccess<C> {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let (scope, app) = authorize::<C>(request, api).await?;
        let thread = cut::<ThreadId>(request);
        if let (PartnerAccess::Allowed, Ok(app)) = (C::PARTNERS, &app) {
            let within = thread.as_ref().map_or(Within::App, |thread| Within::Thread(*thread));
            request.named = Some(Named { scope: scope.clone(), app: *app, within });
        }
        let (app, thread) = both(app, thread)?;
        Ok(Self { scope, app, thread, callers: PhantomData })
    }

    fn describe(operation: &mut Operation<'_>) {
        describe::<C>(operation);
        operation.path_param::<ThreadId>("thread_id");
    }
}

/// Somebody who may see a subscriber of an app, which the path names both.
pub(crate) struct SubscriberAccess<C> {
    pub(crate) scope: Scope,
    pub(crate) app: AppId,
    pub(crate) subscriber: SubscriberId,
    callers: PhantomData<C>,
}

impl<C: Callers> Input for SubscriberAccess<C> {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let (scope, app) = authorize::<C>(request, api).await?;
        let subscriber = cut::<SubscriberId>(request);
        if let (PartnerAccess::Allowed, Ok(app)) = (C::PARTNERS, &app) {
            let within = subscriber.as_ref().map_or(Within::App, |it| Within::Subscriber(*it));
            request.named = Some(Named { scope: scope.clone(), app: *app, within });
        }
        let (app, subscriber) = both(app, subscriber)?;
        Ok(Self { scope, app, subscriber, callers: PhantomData })
    }

    fn describe(operation: &mut Operation<'_>) {
        describe::<C>(operation);
        operation.path_param::<SubscriberId>("subscriber_id");
    }
}

/// Somebody who may use a run of an app, which the path names both.
pub(crate) struct RunAccess<C> {
    pub(crate) scope: Scope,
    pub(crate) app: AppId,
    pub(crate) run: RunId,
    callers: PhantomData<C>,
}

impl<C: Callers> Input for RunAccess<C> {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let (scope, app) = authorize::<C>(request, api).await?;
        let (app, run) = both(app, cut::<RunId>(request))?;
        Ok(Self { scope, app, run, callers: PhantomData })
    }

    fn describe(operation: &mut Operation<'_>) {
        describe::<C>(operation);
        operation.path_param::<RunId>("run_id");
    }
}

/// Somebody who may see a replay of an app, which the path names both.
pub(crate) struct ReplayAccess<C> {
    pub(crate) scope: Scope,
    pub(crate) app: AppId,
    pub(crate) replay: ReplayId,
    callers: PhantomData<C>,
}

impl<C: Callers> Input for ReplayAccess<C> {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let (scope, app) = authorize::<C>(request, api).await?;
        let (app, replay) = both(app, cut::<ReplayId>(request))?;
        Ok(Self { scope, app, replay, callers: PhantomData })
    }

    fn describe(operation: &mut Operation<'_>) {
        describe::<C>(operation);
        operation.path_param::<ReplayId>("replay_id");
    }
}

/// Somebody who may use a delivery of an app, which the path names both.
pub(crate) struct DeliveryAccess<C> {
    pub(crate) scope: Scope,
    pub(crate) app: AppId,
    pub(crate) delivery: DeliveryId,
    callers: PhantomData<C>,
}

impl<C: Callers> Input for DeliveryAccess<C> {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let (scope, app) = authorize::<C>(request, api).await?;
        let (app, delivery) = both(app, cut::<DeliveryId>(request))?;
        Ok(Self { scope, app, delivery, callers: PhantomData })
    }

    fn describe(operation: &mut Operation<'_>) {
        describe::<C>(operation);
        operation.path_param::<DeliveryId>("delivery_id");
    }
}

fn describe<C: Callers>(operation: &mut Operation<'_>) {
    if C::PARTNERS != PartnerAccess::Allowed {
        operation.needs_bearer();
    }
    operation.path_param::<AppId>("app_id");
}

/// Finds out who calls. Where partners may, the app's id is read first, since their headers
/// are compared with it; elsewhere who calls comes before anything in the path, and an id that
/// is none is told together with whatever else is wrong.
async fn authorize<C: Callers>(
    request: &mut Request,
    api: &Api,
) -> Result<(Scope, Result<AppId, Reject>), Reject> {
    match C::PARTNERS {
        PartnerAccess::Denied => {
            let app = cut::<AppId>(request);
            let scope = caller::<C>(request, api, app.as_ref().ok().copied()).await?;
            Ok((scope.ok_or(ApiError::UNAUTHORIZED)?, app))
        }
        PartnerAccess::Allowed => {
            let app = cut::<AppId>(request).map_err(stop)?;
            if let Some(credentials) = partner::credentials(request, api) {
                partner::authenticate(request, api, app, &credentials).await?;
                return Ok((Scope::App(app), Ok(app)));
            }
            let scope = caller::<C>(request, api, Some(app)).await?;
            Ok((scope.ok_or(ApiError::PARTNER_UNAUTHORIZED)?, Ok(app)))
        }
        PartnerAccess::Granted(name) => {
            let app = cut::<AppId>(request);
            if let Some(app) = granted_partner(request, api, name, app.as_ref().ok()).await? {
                return Ok((Scope::App(app), Ok(app)));
            }
            let scope = caller::<C>(request, api, app.as_ref().ok().copied()).await?;
            Ok((scope.ok_or(ApiError::UNAUTHORIZED)?, app))
        }
    }
}

/// The partner's app, if the request has a partner's headers and that app grants the scope.
/// Where it does not, the headers count for nothing. `app` is the one that the path names.
async fn granted_partner(
    request: &Request,
    api: &Api,
    name: &str,
    app: Option<&AppId>,
) -> Result<Option<AppId>, ApiError> {
    let Some(credentials) = partner::credentials(request, api) else { return Ok(None) };
    let Some(app) = app.copied().or_else(|| credentials.app()) else { return Ok(None) };
    if !partner::scopes(api, app).await?.iter().any(|scope| scope == name) {
        return Ok(None);
    }
    partner::authenticate(request, api, app, &credentials).await?;
    Ok(Some(app))
}

/// Somebody who may use a thread, on a route that names no app.
pub(crate) struct OwnThread<S> {
    pub(crate) scope: Scope,
    pub(crate) thread: ThreadId,
    granted: PhantomData<S>,
}

impl<S: PartnerScope> Input for OwnThread<S> {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let scope = match granted_partner(request, api, S::NAME, None).await? {
            Some(app) => Scope::App(app),
            None => {
                let principal = known(request, api, PartnerAccess::Granted(S::NAME)).await?;
                principal.ok_or(ApiError::UNAUTHORIZED)?.scope()
            }
        };
        Ok(Self { scope, thread: cut(request)?, granted: PhantomData })
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.needs_bearer();
        operation.path_param::<ThreadId>("thread_id");
    }
}

/// Whether somebody who was let in may also do what a scope grants partners.
pub(crate) struct May<S> {
    pub(crate) granted: bool,
    scope: PhantomData<S>,
}

impl<S: PartnerScope> Input for May<S> {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let app = cut::<AppId>(request)?;
        let granted = granted_partner(request, api, S::NAME, Some(&app)).await?.is_some()
            || (partner::credentials(request, api).is_none()
                && known(request, api, PartnerAccess::Granted(S::NAME)).await?.is_some());
        Ok(Self { granted, scope: PhantomData })
    }
}

/// How far somebody sees whom the authenticator knows. A partner is nobody where the path
/// names another app than its own.
async fn caller<C: Callers>(
    request: &Request,
    api: &Api,
    app: Option<AppId>,
) -> Result<Option<Scope>, ApiError> {
    let scope = known(request, api, C::PARTNERS).await?.map(|principal| principal.scope());
    Ok(scope.filter(|scope| scope.app().is_none() || scope.app() == app))
}

/// Whom the authenticator knows, if the route is open to them.
async fn known(
    request: &Request,
    api: &Api,
    partners: PartnerAccess,
) -> Result<Option<Principal>, ApiError> {
    let principal = api.authenticator().authenticate(&request.headers).await?;
    Ok(principal.filter(|principal| partners.admits(principal)))
}

/// Two ids of one path, or all that is wrong with them.
fn both<A, B>(first: Result<A, Reject>, second: Result<B, Reject>) -> Result<(A, B), Reject> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(Reject::Invalid(first)), Err(Reject::Invalid(second))) => {
            Err(Reject::Invalid([first, second].concat()))
        }
        (Err(reject), _) | (_, Err(reject)) => Err(reject),
    }
}

/// A violation that ends the request, rather than being collected with others.
fn stop(reject: Reject) -> Reject {
    match reject {
        Reject::Invalid(violations) => Reject::Stop(ApiError::invalid(violations)),
        stop @ Reject::Stop(_) => stop,
    }
}
