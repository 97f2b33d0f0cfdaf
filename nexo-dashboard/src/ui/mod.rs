//! The dashboard's pages, carried inside the executable, on the API's own origin.
//!
//! Some paths are both a page and an endpoint: `/auth/register` is a form for a browser that
//! asks for HTML, and an endpoint for everything else. Without a build of the pages there is
//! one that leads to the API's documentation.

mod files;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use nexo_http::{Request, Response};

const AUTH_PAGES: [&str; 5] = ["login", "register", "forgot-password", "reset-password", "verify"];

/// Nothing from elsewhere runs in the pages, and the token in a link from a mail is told to
/// nobody.
const SECURITY: [(header::HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
             object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// Whether this build carries the dashboard.
pub(crate) fn is_built() -> bool {
    files::are_there()
}

/// Where a browser can sign in: in the dashboard, or else where the API is tried.
pub(crate) fn sign_in_path() -> &'static str {
    if is_built() { "/auth/login" } else { "/docs" }
}

/// Answers with a page or a file of the dashboard where one is asked for.
pub(crate) fn answer(request: &Request) -> Option<Response> {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return None;
    }
    let path = request.path.as_str();
    if is_page(path) && wants_html(&request.headers) {
        return Some(respond(files::page(), "text/html; charset=utf-8", "no-cache"));
    }
    let (file, content_type) = files::asset(path.strip_prefix('/')?)?;
    Some(respond(file, content_type, cache_rule(path)))
}

fn is_page(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    let auth = path.strip_prefix("/auth/").is_some_and(|page| AUTH_PAGES.contains(&page));
    path.is_empty() || auth || path == "/dashboard" || path.starts_with("/dashboard/")
}

fn wants_html(headers: &HeaderMap) -> bool {
    let mut accepted =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.to_ascii_lowercase().contains("text/html"))
}

/// Files under `assets` have a hash of their content in their name.
fn cache_rule(path: &str) -> &'static str {
    if path.contains("/assets/") { "public, max-age=31536000, immutable" } else { "no-cache" }
}

fn respond(body: Bytes, content_type: &'static str, cache: &'static str) -> Response {
    let mut response = Response::full(StatusCode::OK, content_type, body);
    response.headers.extend(SECURITY);
    // The same path is something else to a client that accepts something else.
    response
        .with(header::VARY, HeaderValue::from_static("accept"))
        .with(header::CACHE_CONTROL, HeaderValue::from_static(cache))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_answered(method: Method, path: &str, accept: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        answer(&Request::new(method, path.into(), None, headers)).is_some()
    }

    #[test]
    fn a_browser_gets_the_page_and_everybody_else_the_api() {
        let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
        for path in ["/", "/auth/login", "/auth/reset-password", "/dashboard/apps/1"] {
            assert!(is_answered(Method::GET, path, browser), "{path}");
            assert!(!is_answered(Method::GET, path, "application/json"), "{path}");
            assert!(!is_answered(Method::POST, path, browser), "{path}");
        }
        for path in ["/apps", "/docs", "/auth/jwt/login", "/dashboards", "/auth/"] {
            assert!(!is_answered(Method::GET, path, browser), "{path}");
        }
    }
}
