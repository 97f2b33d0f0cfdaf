//! Cross-origin requests: which browsers' pages may call, said on every response.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::{Request, Response};

const METHODS: HeaderValue =
    HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");
/// What pages may read of our own headers, and would not be shown otherwise.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Idempotency-Replayed, Retry-After, X-Request-Id, X-Run-Id");
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("600");

/// The origins that may call, with credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// Nothing is said about origins: the host application does, or nobody.
    Off,
    /// Any origin.
    Any,
    /// These, exactly.
    Origins(Vec<String>),
}

/// What the request said that its response has to speak to.
pub(crate) struct Caller {
    origin: HeaderValue,
    has_cookie: bool,
}

impl Cors {
    /// The settings for a list of origins, in which `*` stands for any.
    #[must_use]
    pub fn new(origins: impl IntoIterator<Item = String>) -> Self {
        let origins: Vec<_> = origins.into_iter().collect();
        if origins.iter().any(|origin| origin == "*") { Self::Any } else { Self::Origins(origins) }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        match self {
            Self::Off => false,
            Self::Any => true,
            Self::Origins(origins) => {
                origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
            }
        }
    }

    /// Who calls, if it is a page of another origin and it matters.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        if *self == Self::Off {
            return None;
        }
        let origin = headers.get(header::ORIGIN)?.clone();
        Some(Caller { origin, has_cookie: headers.contains_key(header::COOKIE) })
    }

    /// The answer to a browser that asks before it calls.
    pub(crate) fn preflight(&self, request: &Request) -> Option<Response> {
        let headers = &request.headers;
        let asks = request.method == Method::OPTIONS
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let caller = self.caller(headers).filter(|_| asks)?;
        if !self.allows(&caller.origin) {
            let refusal = "This origin is not allowed";
            return Some(Response::full(
                StatusCode::BAD_REQUEST,
                "text/plain; charset=utf-8",
                refusal,
            ));
        }
        let response = Response::full(StatusCode::OK, "text/plain; charset=utf-8", "OK")
            .with(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS)
            .with(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS);
        Some(match headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            Some(wanted) => response.with(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone()),
            None => response,
        })
    }

    /// Says on a response whether the caller's page may read it.
    pub(crate) fn apply(
        &self,
        caller: Option<Caller>,
        preflight: bool,
        response: Response,
    ) -> Response {
        let Some(caller) = caller.filter(|caller| self.allows(&caller.origin)) else {
            return response;
        };
        let credentials = header::ACCESS_CONTROL_ALLOW_CREDENTIALS;
        let mut response = response.with(credentials, HeaderValue::from_static("true"));
        if !preflight {
            response = response.with(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        if *self == Self::Any && !caller.has_cookie && !preflight {
            return response
                .with(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        response
            .with(header::ACCESS_CONTROL_ALLOW_ORIGIN, caller.origin)
            .with(header::VARY, HeaderValue::from_static("Origin"))
    }
}
