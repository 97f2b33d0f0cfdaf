//! Errors, as clients see them: a status and a key.

use std::borrow::Cow;

use http::{HeaderValue, StatusCode, header};
use nexo_core::{Error, ErrorKind, RunId};
use serde_json::{Value, json};
use tracing::{error, warn};

use crate::{
    Response,
    runs::{RUN_ID, run_id},
    validate::Violation,
};

/// Why a request is refused, ready to be sent.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    detail: Detail,
    retry_after_seconds: Option<u64>,
    /// The run that goes on all the same.
    run: Option<RunId>,
}

/// What stands in the body's `detail`.
#[derive(Debug)]
enum Detail {
    Key(Cow<'static, str>),
    Reasons { code: &'static str, reasons: Vec<String> },
    Violations(Vec<Violation>),
}

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident = $status:ident $key:literal),* $(,)?) => {
        impl ApiError {$(
            $(#[$doc])*
            pub const $name: Self = Self::key(StatusCode::$status, $key);
        )*}
    };
}

keys! {
    /// No such path, or nothing the caller may know of.
    NOT_FOUND = NOT_FOUND "Not Found",
    /// The path does not answer this method.
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED "Method Not Allowed",
    /// No valid token.
    UNAUTHORIZED = UNAUTHORIZED "Unauthorized",
    /// A valid token of somebody who may not.
    FORBIDDEN = FORBIDDEN "Forbidden",
    /// The body is larger than allowed.
    PAYLOAD_TOO_LARGE = PAYLOAD_TOO_LARGE "ERROR_PAYLOAD_TOO_LARGE",
    /// The body is compressed.
    UNSUPPORTED_ENCODING = UNSUPPORTED_MEDIA_TYPE "ERROR_UNSUPPORTED_ENCODING",
    /// The body took too long.
    REQUEST_TIMEOUT = REQUEST_TIMEOUT "ERROR_REQUEST_TIMEOUT",
    /// The body broke off.
    BROKEN_BODY = BAD_REQUEST "ERROR_BROKEN_BODY",
    /// The address is too long.
    URI_TOO_LONG = URI_TOO_LONG "ERROR_URI_TOO_LONG",
    /// The headers are too long.
    HEADERS_TOO_LARGE = REQUEST_HEADER_FIELDS_TOO_LARGE "ERROR_HEADERS_TOO_LARGE",
    /// Something failed that should not have.
    INTERNAL = INTERNAL_SERVER_ERROR "ERROR_INTERNAL",
    /// The server is too busy, or its storage is away.
    UNAVAILABLE = SERVICE_UNAVAILABLE "ERROR_UNAVAILABLE",
    /// What comes of the request with this idempotency key is not known yet.
    IN_PROGRESS = CONFLICT "ERROR_IDEMPOTENCY_IN_PROGRESS",
    /// Neither partner headers nor a valid token.
    PARTNER_UNAUTHORIZED = UNAUTHORIZED "ERROR_PARTNER_API_UNAUTHORIZED",
    /// The app-id header is no UUID.
    PARTNER_INVALID_APP_HEADER = UNAUTHORIZED "ERROR_PARTNER_API_INVALID_APP_HEADER",
    /// The app-id header is not the path's app.
    PARTNER_APP_ID_MISMATCH = UNAUTHORIZED "ERROR_PARTNER_API_APP_ID_MISMATCH",
    /// The app is unknown, has no secret, or has another one.
    PARTNER_SECRET_INVALID = UNAUTHORIZED "ERROR_PARTNER_API_APP_OR_SECRET_INVALID",
}

impl ApiError {
    const fn new(status: StatusCode, detail: Detail) -> Self {
        Self { status, detail, retry_after_seconds: None, run: None }
    }

    /// An error with a key that clients translate.
    #[must_use]
    pub const fn key(status: StatusCode, key: &'static str) -> Self {
        Self::new(status, Detail::Key(Cow::Borrowed(key)))
    }

    /// A bad request with a key.
    #[must_use]
    pub const fn bad_request(key: &'static str) -> Self {
        Self::key(StatusCode::BAD_REQUEST, key)
    }

    /// A bad request with a key and a sentence for each thing that is wrong.
    #[must_use]
    pub const fn with_reasons(code: &'static str, reasons: Vec<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Detail::Reasons { code, reasons })
    }

    /// A request that does not fit what the endpoint takes.
    #[must_use]
    pub const fn invalid(violations: Vec<Violation>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, Detail::Violations(violations))
    }

    /// Too many requests; the next is welcome after so many seconds.
    #[must_use]
    pub fn rate_limited(retry_after_seconds: u64) -> Self {
        Self::key(StatusCode::TOO_MANY_REQUESTS, "ERROR_RATE_LIMITED").retrying(retry_after_seconds)
    }

    /// The same for whom trying again after so many seconds may help.
    pub(crate) const fn retrying(mut self, after_seconds: u64) -> Self {
        self.retry_after_seconds = Some(after_seconds);
        self
    }

    /// The same where a run was made, and goes on: clients need not ask for another.
    pub(crate) const fn of_run(mut self, run: RunId) -> Self {
        self.run = Some(run);
        self
    }

    /// The status that it is sent with.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The response that tells it.
    #[must_use]
    pub fn into_response(self) -> Response {
        let detail = match self.detail {
            Detail::Key(key) => Value::from(key),
            Detail::Reasons { code, reasons } => json!({"code": code, "reason": reasons}),
            Detail::Violations(violations) => violations.iter().map(Violation::to_json).collect(),
        };
        let mut response = Response::json(self.status, &json!({"detail": detail}));
        if let Some(seconds) = self.retry_after_seconds {
            response = response.with(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(run) = self.run {
            response = response.with(RUN_ID, run_id(run));
        }
        response
    }
}

/// Each kind of error has its status and key here, and nowhere else.
impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        use StatusCode as S;
        let (status, key) = match error.kind() {
            ErrorKind::UserNotFound => (S::NOT_FOUND, "Not Found"),
            ErrorKind::AppNotFound => (S::NOT_FOUND, "ERROR_APP_NOT_FOUND"),
            ErrorKind::AgentNotFound => (S::NOT_FOUND, "ERROR_AGENT_NOT_FOUND"),
            ErrorKind::SubscriberNotFound => (S::NOT_FOUND, "ERROR_SUBSCRIBER_NOT_FOUND"),
            ErrorKind::ThreadNotFound => (S::NOT_FOUND, "ERROR_THREAD_NOT_FOUND"),
            ErrorKind::MessageNotFound => (S::NOT_FOUND, "ERROR_MESSAGE_NOT_FOUND"),
            ErrorKind::RunNotFound => (S::NOT_FOUND, "ERROR_RUN_NOT_FOUND"),
            ErrorKind::DeliveryNotFound => (S::NOT_FOUND, "ERROR_DELIVERY_NOT_FOUND"),
            ErrorKind::ReplayNotFound => (S::NOT_FOUND, "ERROR_REPLAY_NOT_FOUND"),
            ErrorKind::NoUserMessages => (S::BAD_REQUEST, "ERROR_NO_USER_MESSAGES"),
            ErrorKind::InvalidCursor => (S::BAD_REQUEST, "ERROR_INVALID_CURSOR"),
            ErrorKind::EmailTaken => (S::BAD_REQUEST, "UPDATE_USER_EMAIL_ALREADY_EXISTS"),
            ErrorKind::ConfigTooLarge => return Self::invalid(vec![Violation::config_too_large()]),
            ErrorKind::RunActive => (S::CONFLICT, "ERROR_RUN_ACTIVE"),
            ErrorKind::MessageOutdated => (S::CONFLICT, "ERROR_MESSAGE_OUTDATED"),
            ErrorKind::NotSent(kind) => (S::CONFLICT, kind.key()),
            ErrorKind::RunEnded => (S::CONFLICT, "ERROR_RUN_ENDED"),
            ErrorKind::RunNotWaiting => (S::CONFLICT, "ERROR_RUN_NOT_WAITING"),
            ErrorKind::ThreadHeld => (S::CONFLICT, "ERROR_THREAD_HELD"),
            ErrorKind::IdempotencyKeyReused => {
                (S::UNPROCESSABLE_ENTITY, "ERROR_IDEMPOTENCY_KEY_REUSED")
            }
            ErrorKind::RequestInProgress => return Self::IN_PROGRESS.retrying(1),
            ErrorKind::Conflict => (S::CONFLICT, "ERROR_CONFLICT"),
            ErrorKind::Fenced => (S::CONFLICT, "ERROR_RUN_ENDED"),
            ErrorKind::Unavailable => return Self::unavailable(&error),
            ErrorKind::OutcomeUnknown => return Self::unavailable(&error),
            ErrorKind::Full => (S::INSUFFICIENT_STORAGE, "ERROR_STORAGE_FULL"),
            ErrorKind::Internal => return Self::internal(&error),
        };
        Self::key(status, key)
    }
}

impl ApiError {
    /// Shown as `ERROR_INTERNAL`, logged whole.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        error!(error = %chain(error), "a request failed");
        Self::INTERNAL
    }

    fn unavailable(error: &dyn std::error::Error) -> Self {
        warn!(error = %chain(error), "the storage is unavailable");
        Self::UNAVAILABLE.retrying(1)
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
