//! Routes: what an adapter registers, and all that happens around every request.

use std::{fmt, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use futures::FutureExt;
use http::{HeaderName, HeaderValue, StatusCode, header};
use matchit::Router;
use tracing::{Instrument, error, info_span};

use crate::{
    Api, ApiError, Body, BodyStream, Request, Response, path,
    table::{Resource, Table},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_BYTES: usize = 128;
const MAX_URL_BYTES: usize = 4 * 1024;
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Every route there is. An adapter registers each with its framework, and the rest as
/// [`Routes::fallback`]; what a client sees is decided here.
#[derive(Clone)]
pub struct Routes {
    api: Api,
    resources: Arc<[Arc<Resource>]>,
    by_path: Arc<Router<usize>>,
}

/// The endpoints on one path.
#[derive(Clone)]
pub struct Route {
    api: Api,
    resource: Option<Arc<Resource>>,
    all: Arc<[Arc<Resource>]>,
}

impl Routes {
    pub(crate) fn new(table: Table, api: Api) -> Self {
        let resources: Arc<[_]> = table.into_resources().into_iter().map(Arc::new).collect();
        let mut by_path = Router::new();
        for (nth, resource) in resources.iter().enumerate() {
            by_path.insert(&*resource.path, nth).expect("no two paths of the table are the same");
        }
        Self { api, resources, by_path: Arc::new(by_path) }
    }

    /// One route for each path.
    pub fn iter(&self) -> impl Iterator<Item = Route> {
        self.resources.iter().map(|resource| self.route(Some(Arc::clone(resource))))
    }

    /// The route of a path, without the prefix under which the API is mounted.
    ///
    /// For frameworks that have no router, or a slow one: it takes less than a microsecond.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Route> {
        let nth = *self.by_path.at(path).ok()?.value;
        Some(self.route(Some(Arc::clone(&self.resources[nth]))))
    }

    /// Answers what no route does.
    #[must_use]
    pub fn fallback(&self) -> Route {
        self.route(None)
    }

    fn route(&self, resource: Option<Arc<Resource>>) -> Route {
        Route { api: self.api.clone(), resource, all: Arc::clone(&self.resources) }
    }
}

impl Route {
    /// The path, with parameters in braces: `/apps/{app_id}`.
    ///
    /// # Panics
    ///
    /// If this is the fallback, which has none.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.resource.as_ref().expect("the fallback has no path").path
    }

    /// Answers a request. Its body is read only if the endpoint wants one.
    pub async fn handle(&self, mut request: Request, body: BodyStream) -> Response {
        if let Some(page) = self.api.page(&request) {
            return page;
        }
        let started = Instant::now();
        request.request_id = request_id(&request);
        let id = HeaderValue::try_from(&request.request_id).expect("a request id is ASCII");
        let (method, cors) = (request.method.clone(), &self.api.settings().cors);
        let caller = cors.caller(&request.headers);
        let path = self.resource.as_ref().map_or("", |resource| &*resource.path);
        let span = info_span!("request", %method, path, id = request.request_id);
        let (preflight, response) = match cors.preflight(&request) {
            Some(response) => (true, response),
            // In a box, since each future on the way to the handler would have room for it.
            None => (false, self.answer(Box::new(request), body).instrument(span.clone()).await),
        };
        span.in_scope(|| record(&method, path, response.status, started));
        cors.apply(caller, preflight, response).with(REQUEST_ID, id)
    }

    /// A panic is a defect of ours, and ends this request only.
    async fn answer(&self, request: Box<Request>, body: BodyStream) -> Response {
        if let Some(refusal) = oversized(&request) {
            return refusal.into_response();
        }
        let answer = AssertUnwindSafe(self.dispatch(request, body)).catch_unwind().await;
        answer.unwrap_or_else(|_| {
            error!("a handler panicked");
            ApiError::INTERNAL.into_response()
        })
    }

    async fn dispatch(&self, request: Box<Request>, body: BodyStream) -> Response {
        match &self.resource {
            Some(resource) if path::is_filled(&resource.path, &request.path) => {
                resource.dispatch(request, body, self.api.clone()).await
            }
            Some(_) => ApiError::NOT_FOUND.into_response(),
            None => self.unknown(&request),
        }
    }

    /// Leads from a path with a slash too many to the one without; else there is nothing.
    fn unknown(&self, request: &Request) -> Response {
        let path = request.path.strip_suffix('/').filter(|path| !path.ends_with('/'));
        let known = path.filter(|path| self.knows(path));
        let Some(name) = known.and_then(|path| path.rsplit('/').next()) else {
            return ApiError::NOT_FOUND.into_response();
        };
        let query = request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        match HeaderValue::try_from(format!("../{name}{query}")) {
            Ok(location) => {
                Response::empty(StatusCode::TEMPORARY_REDIRECT).with(header::LOCATION, location)
            }
            Err(_) => ApiError::NOT_FOUND.into_response(),
        }
    }

    fn knows(&self, path: &str) -> bool {
        self.all.iter().any(|resource| matches(&resource.path, path))
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.resources.iter().map(|resource| &resource.path)).finish()
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.resource.as_ref().map(|resource| &resource.path);
        f.debug_struct("Route").field("path", &path).finish_non_exhaustive()
    }
}

/// Whether a path ends as a pattern says, whatever prefix a host application put before.
fn matches(pattern: &str, path: &str) -> bool {
    let mut wanted = pattern.trim_start_matches('/').rsplit('/');
    let mut found = path.rsplit('/');
    loop {
        match (wanted.next(), found.next()) {
            (None, _) => return true,
            (Some(_), None) => return false,
            (Some(name), Some(segment)) if name == segment => {}
            (Some(name), Some(segment)) if name.starts_with('{') && !segment.is_empty() => {}
            _ => return false,
        }
    }
}

fn oversized(request: &Request) -> Option<ApiError> {
    let url = request.path.len() + request.query.as_ref().map_or(0, String::len);
    if url > MAX_URL_BYTES {
        return Some(ApiError::URI_TOO_LONG);
    }
    let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let headers: usize = request.headers.iter().map(size).sum();
    (headers > MAX_HEADER_BYTES).then_some(ApiError::HEADERS_TOO_LARGE)
}

/// The client's own id for its request if that is short visible ASCII, else a new one.
fn request_id(request: &Request) -> String {
    let given = request.header(REQUEST_ID.as_str()).filter(|id| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_graphic())
    });
    given.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

fn record(method: &http::Method, path: &str, status: StatusCode, started: Instant) {
    let elapsed = started.elapsed();
    let method = known_method(method);
    let labels = [
        ("method", method.to_owned()),
        ("path", path.to_owned()),
        ("status", status.as_str().to_owned()),
    ];
    metrics::counter!("nexo_http_requests_total", &labels).increment(1);
    metrics::histogram!("nexo_http_request_seconds", "method" => method, "path" => path.to_owned())
        .record(elapsed.as_secs_f64());
    tracing::debug!(status = status.as_u16(), elapsed_us = elapsed.as_micros(), "answered");
}

/// A client can invent methods; a metric's label must not grow with them.
fn known_method(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "PUT" => "PUT",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

impl Response {
    /// Whether the body comes piece by piece, and how long it takes is not known.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self.body, Body::Stream(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_matches_from_the_right() {
        for (pattern, path, expected) in [
            ("/users/me", "/users/me", true),
            ("/users/me", "/api/v1/users/me", true),
            ("/apps/{app_id}/threads", "/apps/1/threads", true),
            ("/apps/{app_id}/threads", "/apps//threads", false),
            ("/apps/", "", false),
            ("/users/me", "/me", false),
            ("/users/me", "/users/you", false),
            ("/apps/", "/apps/", true),
            ("/apps/", "/apps", false),
            ("/apps/", "/nowhere", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
