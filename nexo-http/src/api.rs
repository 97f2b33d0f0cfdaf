//! The API's state and settings.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, Method};
use nexo_core::{
    AppId, Engine, Failure, Feed, Hint, Nexo, OwnerId, Store, ThreadId, Topic,
    dispatch::webhook::{Guard, WebhookDispatcher},
};

use crate::{
    ApiError, Request, Response,
    auth::{Accounts, Authenticator, Throttle},
    bodies::Bodies,
    cors::Cors,
    handler::Erased,
    request::{Named, Within},
    routes::Routes,
    table::Table,
};

const MAX_BODY_BYTES: usize = 1024 * 1024;
const MAX_BODIES_BYTES: usize = 64 * 1024 * 1024;
const RUN_WAIT: Duration = Duration::from_secs(60);
const FEED_LIFETIME: Duration = Duration::from_secs(15 * 60);
const HEARTBEAT: Duration = Duration::from_secs(15);
const GREETING: &str = "Welcome! How can I help you today?";

/// What a host decides about its API; everything else is the same for every client.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The names of the headers that partners send.
    pub headers: PartnerHeaders,
    /// The origins whose pages may call; off unless it is set, since the host application
    /// may have rules of its own.
    pub cors: Cors,
    /// The most bytes that a request's body may have.
    pub max_body_bytes: usize,
    /// For how many bytes of bodies there is room at once; those of at most 16 KiB are not
    /// counted. A request that finds none within 5 s is refused with 503.
    pub max_bodies_bytes: usize,
    /// After how much silence an event stream carries a comment.
    pub heartbeat: Duration,
    /// After how long streams of threads, apps and runs break off: who comes back shows again that
    /// they may watch. Those by which an answer is asked for do not.
    pub feed_lifetime: Duration,
    /// For how long `POST …/run` waits for an agent that answers later, also where the run has to
    /// wait for that of another.
    pub run_wait: Duration,
    /// For how long a replaced webhook secret stays valid beside the new one.
    pub secret_overlap: Duration,
    /// Whether messages may go to threads that are labelled deleted.
    pub post_to_deleted: bool,
    /// How a new thread is greeted where the app says nothing else.
    pub greeting: String,
    /// Whether the nearest proxy's `X-Forwarded-For` says where a client calls from.
    pub trust_forwarded_for: bool,
    /// Where the OpenAPI document is served; empty turns it and the pages off.
    pub openapi_path: Cow<'static, str>,
}

/// The names of the headers that partners send.
#[derive(Clone, Debug)]
pub struct PartnerHeaders {
    /// Names the app.
    pub app_id: HeaderName,
    /// Shows that the partner knows its secret.
    pub app_secret: HeaderName,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            headers: PartnerHeaders {
                app_id: HeaderName::from_static("x-app-id"),
                app_secret: HeaderName::from_static("x-app-secret"),
            },
            cors: Cors::Off,
            max_body_bytes: MAX_BODY_BYTES,
            max_bodies_bytes: MAX_BODIES_BYTES,
            heartbeat: HEARTBEAT,
            feed_lifetime: FEED_LIFETIME,
            run_wait: RUN_WAIT,
            secret_overlap: Duration::from_secs(3_600),
            post_to_deleted: true,
            greeting: GREETING.to_owned(),
            trust_forwarded_for: false,
            openapi_path: Cow::Borrowed("/openapi.json"),
        }
    }
}

/// The REST API of one [`Nexo`]. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    nexo: Nexo,
    authenticator: Arc<dyn Authenticator>,
    accounts: Option<Accounts>,
    throttle: Throttle,
    settings: Settings,
    bodies: Bodies,
    /// What the host serves beside the API.
    hosted: Vec<(Cow<'static, str>, Erased)>,
    pages: Option<Pages>,
    document: OnceLock<Bytes>,
}

/// Answers what the host has pages for.
type Pages = Arc<dyn Fn(&Request) -> Option<Response> + Send + Sync>;

impl Api {
    /// The API of `nexo` with somebody else's login.
    #[must_use]
    pub fn new(nexo: Nexo, authenticator: Arc<dyn Authenticator>) -> Self {
        let settings = Settings::default();
        let inner = Inner {
            bodies: Bodies::new(&settings),
            nexo,
            authenticator,
            accounts: None,
            throttle: Throttle::off(),
            settings,
            hosted: Vec::new(),
            pages: None,
            document: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The API of `nexo` with the built-in accounts: adds the endpoints under `/auth` and
    /// `/users`.
    #[must_use]
    pub fn with_accounts(nexo: Nexo, accounts: Accounts) -> Self {
        let mut api = Self::new(nexo, Arc::new(accounts.clone()));
        api.change(|inner| inner.accounts = Some(accounts));
        api
    }

    /// With these settings.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.change(|inner| {
            inner.bodies = Bodies::new(&settings);
            inner.settings = settings;
        });
        self
    }

    /// With these rate limits; without, nothing is limited.
    #[must_use]
    pub fn with_throttle(mut self, throttle: Throttle) -> Self {
        self.change(|inner| inner.throttle = throttle);
        self
    }

    /// With one more endpoint, of the host: it answers `GET` and `HEAD` at this path with all
    /// that surrounds the API's own (CORS, request id, metrics, refused methods), and is left
    /// out of the document.
    #[must_use]
    pub fn with_get<F>(
        mut self,
        path: impl Into<Cow<'static, str>>,
        handler: impl Fn(Request) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let handler: Erased = Arc::new(move |request, _| Box::pin(handler(request)));
        self.change(|inner| inner.hosted.push((path.into(), handler)));
        self
    }

    /// With pages of the host on the API's own paths: what `pages` answers is sent as it is,
    /// before anything else is looked at; the rest is the API's.
    #[must_use]
    pub fn with_pages(
        mut self,
        pages: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        self.change(|inner| inner.pages = Some(Arc::new(pages)));
        self
    }

    /// Changes this one; clones stay as they are.
    fn change(&mut self, change: impl FnOnce(&mut Inner)) {
        let inner = Arc::make_mut(&mut self.inner);
        inner.document = OnceLock::new();
        change(inner);
    }

    /// The routes, for an adapter to register.
    #[must_use]
    pub fn routes(&self) -> Routes {
        Routes::new(self.table(), self.clone())
    }

    /// The OpenAPI document, with operation ids as they are served.
    #[must_use]
    pub fn openapi(&self) -> serde_json::Value {
        let document = crate::openapi::document(&self.table());
        serde_json::to_value(document).expect("a document is plain data")
    }

    /// The OpenAPI document for generators of clients: the tags are cut off from the
    /// operation ids.
    #[must_use]
    pub fn openapi_for_clients(&self) -> serde_json::Value {
        crate::openapi::without_tags(&crate::openapi::document(&self.table()))
    }

    /// The OpenAPI document as it is served, made once.
    pub(crate) fn document(&self) -> Bytes {
        let make = || serde_json::to_vec(&self.openapi()).expect("a document is plain data");
        self.inner.document.get_or_init(|| make().into()).clone()
    }

    fn table(&self) -> Table {
        let inner = &self.inner;
        let table = crate::table(inner.accounts.is_some(), inner.settings.openapi_path.clone());
        inner.hosted.iter().fold(table, |table, (path, handler)| {
            table.hosted(Method::GET, path.clone(), Arc::clone(handler)).hosted(
                Method::HEAD,
                path.clone(),
                Arc::clone(handler),
            )
        })
    }

    /// What the host shows instead of the API's answer.
    pub(crate) fn page(&self, request: &Request) -> Option<Response> {
        self.inner.pages.as_ref()?(request)
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &**self.inner.nexo.store()
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.inner.nexo.engine()
    }

    pub(crate) fn feed(&self) -> &Feed {
        self.inner.nexo.feed()
    }

    /// Lets everybody who waits for it know of a change that the engine did not make.
    pub(crate) fn tell(&self, app: AppId, thread: ThreadId, topic: Topic) {
        self.inner.nexo.hub().tell(Hint { app, thread, topic });
    }

    pub(crate) fn webhooks(&self) -> &WebhookDispatcher {
        self.inner.nexo.webhooks()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(crate) fn bodies(&self) -> &Bodies {
        &self.inner.bodies
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.inner.throttle
    }

    pub(crate) fn authenticator(&self) -> &dyn Authenticator {
        &*self.inner.authenticator
    }

    /// The built-in accounts.
    pub(crate) fn accounts(&self) -> &Accounts {
        self.inner.accounts.as_ref().expect("rows that need accounts are there only with them")
    }

    /// Whether an owner has not been deleted, as far as it can be told. With a login of the host's,
    /// that is the host's to know.
    pub(crate) async fn is_owner_there(&self, owner: &OwnerId) -> bool {
        let user = self.inner.accounts.as_ref().zip(owner.as_str().parse().ok());
        let Some((accounts, user)) = user else { return true };
        !matches!(accounts.store().find_user(user).await, Ok(None))
    }

    /// Looks up what a path names, for a request that is about to be refused for something
    /// else: that it does not exist for the caller comes first.
    pub(crate) async fn confirm(&self, named: &Named) -> Result<(), ApiError> {
        let Named { scope, app, within } = named;
        self.store().get_app(scope, *app).await?;
        match *within {
            Within::App => {}
            Within::Subscriber(subscriber) => {
                self.store().get_subscriber(scope, *app, subscriber).await?;
            }
            Within::Thread(thread) => {
                self.store().get_thread(scope, thread).await?.of(*app)?;
            }
        }
        Ok(())
    }

    /// Whether a webhook address may be stored. Names are resolved only when it is called.
    pub(crate) fn check_webhook_url(&self, url: &str) -> Result<(), Failure> {
        let guard: &Guard = self.webhooks().guard();
        guard.check_url(url).map(drop)
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}
