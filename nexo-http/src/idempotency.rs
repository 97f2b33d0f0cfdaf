//! Idempotency keys on the wire: a retry with the same `Idempotency-Key` has no second effect,
//! and its answer says `Idempotency-Replayed`.

use http::{HeaderName, HeaderValue};
use nexo_core::{
    IDEMPOTENCY_KEY_LIFETIME, IdempotencyKey, InvalidIdempotencyKey, KeyedRequest,
    MAX_IDEMPOTENCY_KEY_CHARS, Once,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    Api, Request, Response,
    input::{Input, Reject},
    openapi::Operation,
    output::Output,
    request::Content,
    validate::Violation,
};

const KEY: &str = "Idempotency-Key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The request as its key names it, if it has one. Stands before the body, which it looks at as
/// it was sent.
pub(crate) struct Keyed(pub(crate) Option<KeyedRequest>);

impl Input for Keyed {
    async fn take(request: &mut Request, _: &Api) -> Result<Self, Reject> {
        let mut values = request.headers.get_all(KEY).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        if values.next().is_some() {
            let msg = "Value error, there is more than one key".to_owned();
            let ctx = json!({ "reason": "more than one" });
            return Err(refused(value, "value_error", msg, ctx));
        }
        Ok(Self(Some(KeyedRequest {
            key: key(value)?,
            route: route(request),
            body_sha256: body_sha256(&request.content),
            lifetime: IDEMPOTENCY_KEY_LIFETIME,
        })))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.header_param(KEY);
        operation.fails_validation();
    }
}

/// What is no text is not printable either.
fn key(value: &HeaderValue) -> Result<IdempotencyKey, Reject> {
    let text = value.to_str().unwrap_or("\0");
    text.parse().map_err(|error: InvalidIdempotencyKey| {
        let (kind, ctx) = match error {
            InvalidIdempotencyKey::Empty => ("string_too_short", json!({ "min_length": 1 })),
            InvalidIdempotencyKey::TooLong => {
                ("string_too_long", json!({ "max_length": MAX_IDEMPOTENCY_KEY_CHARS }))
            }
            InvalidIdempotencyKey::NotPrintable => {
                ("value_error", json!({ "reason": "not printable ASCII" }))
            }
        };
        refused(value, kind, error.to_string(), ctx)
    })
}

fn refused(value: &HeaderValue, kind: &'static str, msg: String, ctx: Value) -> Reject {
    let loc = vec!["header".into(), "idempotency-key".into()];
    let shown = String::from_utf8_lossy(value.as_bytes());
    let violation = Violation::new(kind, loc, msg);
    Reject::Invalid(vec![violation.with_input(shown).with_ctx(ctx)])
}

/// What is asked, as it was written: whoever sends a request again sends the same.
fn route(request: &Request) -> String {
    let query = request.query.as_deref().unwrap_or_default();
    format!("{} {}?{query}", request.method, request.path)
}

fn body_sha256(content: &Content) -> [u8; 32] {
    let body = match content {
        Content::Unread => &[],
        Content::Bytes(bytes) | Content::Json(_, bytes) => bytes.as_ref(),
    };
    Sha256::digest(body).into()
}

/// An answer with what the first request made, as it is now; again, it says that.
impl<T: Output> Output for Once<T> {
    fn into_response(self) -> Response {
        let response = self.made.into_response();
        if self.replayed {
            return response.with(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }

    fn describe(operation: &mut Operation<'_>) {
        T::describe(operation);
    }
}
