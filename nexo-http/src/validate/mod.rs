//! Validation: what is wrong with a request, all of it at once.

mod fields;
mod json;
mod types;

pub(crate) use fields::{Field, FromFields, Given, Reader, fields};
pub(crate) use json::parse as parse_json;
pub(crate) use types::*;

use nexo_core::MAX_CONFIG_BYTES;
use serde_json::{Map, Value, json};

/// What a value is replaced by when it must not be shown.
pub(crate) const REDACTED: &str = "******";

/// Members whose values are never repeated in an answer.
const SECRET_MEMBERS: [&str; 4] = ["password", "token", "webhook_secret", "client_secret"];

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    kind: &'static str,
    loc: Vec<Value>,
    msg: String,
    input: Value,
    ctx: Option<Value>,
}

impl Violation {
    /// A violation of this type at a place: `loc` starts with `body`, `query`, `path` or
    /// `header`.
    #[must_use]
    pub fn new(kind: &'static str, loc: Vec<Value>, msg: impl Into<String>) -> Self {
        Self { kind, loc, msg: msg.into(), input: Value::Null, ctx: None }
    }

    /// The same with what was found there. Nothing within a secret member is kept.
    #[must_use]
    pub fn with_input(mut self, input: impl Into<Value>) -> Self {
        let about_secret = self.loc.iter().filter_map(Value::as_str).any(is_secret);
        self.input = if about_secret && self.kind != "missing" {
            Value::from(REDACTED)
        } else {
            redacted(input.into())
        };
        self
    }

    /// The same with the rule's own figures.
    #[must_use]
    pub fn with_ctx(mut self, ctx: Value) -> Self {
        self.ctx = Some(ctx);
        self
    }

    /// An object with more JSON than is kept; it is not repeated.
    pub(crate) fn too_large(loc: Vec<Value>, max_bytes: usize) -> Self {
        let msg = format!("Object should have at most {max_bytes} bytes of JSON");
        let ctx = json!({ "reason": "too large", "max_bytes": max_bytes });
        Self::new("value_error", loc, msg).with_ctx(ctx)
    }

    /// A configuration that what it was merged with made too large.
    pub(crate) fn config_too_large() -> Self {
        Self::too_large(vec!["body".into(), "config_json".into()], MAX_CONFIG_BYTES)
    }

    pub(crate) fn is_missing(&self) -> bool {
        self.kind == "missing"
    }

    /// The entry as clients see it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut entry = json!({
            "type": self.kind,
            "loc": self.loc,
            "msg": self.msg,
            "input": self.input,
        });
        if let Some(ctx) = &self.ctx {
            entry["ctx"] = ctx.clone();
        }
        entry
    }
}

/// Whether a member of this name has a value that is never repeated.
pub(crate) fn is_secret(member: &str) -> bool {
    SECRET_MEMBERS.contains(&member)
}

/// The same value with every secret member's value replaced, at any depth.
fn redacted(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(redacted_members(members)),
        Value::Array(items) => items.into_iter().map(redacted).collect(),
        other => other,
    }
}

fn redacted_members(members: Map<String, Value>) -> Map<String, Value> {
    members
        .into_iter()
        .map(|(name, value)| {
            let value = if is_secret(&name) { Value::from(REDACTED) } else { redacted(value) };
            (name, value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_entry_repeats_a_secret() {
        let body = json!({"email": 1, "password": "hunter2", "deep": [{"token": "t"}]});

        let about_other = Violation::new("missing", vec!["body".into(), "name".into()], "")
            .with_input(body.clone());
        let about_itself =
            Violation::new("string_type", vec!["body".into(), "password".into()], "")
                .with_input(json!(["hunter2"]));

        assert_eq!(
            about_other.to_json()["input"],
            json!({"email": 1, "password": "******", "deep": [{"token": "******"}]})
        );
        assert_eq!(about_itself.to_json()["input"], "******");
    }
}
