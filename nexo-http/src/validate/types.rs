//! The types that fields of requests have: each knows its rule, and how to document it.

use nexo_core::{
    AgentId, AppConfig, ConfigChange, ConfigViolation, Expected, JsonObject, Overlap, ReplayId,
    RunId, Secret, ThreadStatus, Timestamp,
};
use serde_json::{Value, json};

use super::{Field, Reader};
use crate::auth::email;

/// The longest text of a message, in bytes.
pub(crate) const MAX_CONTENT_BYTES: usize = 256 * 1024;
/// The longest free-form JSON object, in bytes.
pub(crate) const MAX_OBJECT_BYTES: usize = 64 * 1024;
/// The languages there are.
pub(crate) const LOCALES: [&str; 3] = ["en", "es", "pt"];
/// What a set secret is shown as.
pub(crate) const MASK: &str = "••••••";

impl Field for String {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        match value {
            None => reader.missing(),
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => reader.wrong("string_type", "Input should be a valid string", other),
        }
    }
}

/// A text of at most `MAX` characters.
#[derive(Clone, Debug)]
pub(crate) struct Text<const MAX: usize>(pub(crate) String);

impl<const MAX: usize> Field for Text<MAX> {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = String::read(value, reader)?;
        if text.chars().count() > MAX {
            return too_long(MAX, value, reader);
        }
        Some(Self(text))
    }
}

/// The text of a message: at most 256 KiB.
#[derive(Clone, Debug)]
pub(crate) struct Content(pub(crate) String);

impl Field for Content {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = String::read(value, reader)?;
        if text.len() > MAX_CONTENT_BYTES {
            return too_long(MAX_CONTENT_BYTES, None, reader);
        }
        Some(Self(text))
    }
}

/// An entry without the value where that would only repeat a huge body.
fn too_long<T>(max: usize, value: Option<&Value>, reader: &mut Reader<'_>) -> Option<T> {
    let msg = format!("String should have at most {max} characters");
    let ctx = json!({ "max_length": max });
    reader.breaks("string_too_long", msg, value.unwrap_or(&Value::Null), ctx)
}

/// A JSON object of at most 64 KiB.
impl Field for JsonObject {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        let members = match value {
            None => return reader.missing(),
            Some(Value::Object(members)) => members,
            Some(other) => {
                return reader.wrong("dict_type", "Input should be a valid dictionary", other);
            }
        };
        let object = reader.as_written().unwrap_or_else(|| Self::from(members.clone()));
        if object.as_str().len() > MAX_OBJECT_BYTES {
            return reader.too_large(MAX_OBJECT_BYTES);
        }
        Some(object)
    }
}

/// An app's configuration: the keys that are interpreted have usable values.
#[derive(Clone, Debug)]
pub(crate) struct Config(pub(crate) JsonObject);

impl Field for Config {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        let object = JsonObject::read(value, reader)?;
        let violations = AppConfig::check(&object);
        report(&violations, reader);
        violations.is_empty().then_some(Self(object))
    }
}

/// A new configuration, or what to merge into the one there is: the query says which.
impl Field for ConfigChange {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        if !reader.merges {
            return Config::read(value, reader).map(|config| Self::Replace(config.0));
        }
        let patch = JsonObject::read(value, reader)?;
        let violations = AppConfig::check_patch(&patch);
        report(&violations, reader);
        violations.is_empty().then_some(Self::Merge(patch))
    }
}

fn report(violations: &[ConfigViolation], reader: &mut Reader<'_>) {
    for violation in violations {
        let (kind, msg) = expectation(violation.expected, &violation.found);
        reader.breaks_within(&violation.path, kind, msg, &violation.found);
    }
}

fn expectation(expected: Expected, found: &Value) -> (&'static str, String) {
    match expected {
        Expected::Object => ("dict_type", "Input should be a valid dictionary".into()),
        Expected::Text => ("string_type", "Input should be a valid string".into()),
        Expected::OneOf(texts) => {
            ("literal_error", format!("Input should be {}", alternatives(texts)))
        }
        Expected::Bool => ("bool_type", "Input should be a valid boolean".into()),
        Expected::TextOrFalse => ("string_type", "Input should be a text, or false".into()),
        Expected::Texts => ("list_type", "Input should be a list of texts".into()),
        Expected::Integer { min, max } => match found.as_i64() {
            Some(number) if number < min => {
                ("greater_than_equal", format!("Input should be greater than or equal to {min}"))
            }
            Some(_) => ("less_than_equal", format!("Input should be less than or equal to {max}")),
            None => ("int_type", "Input should be a valid integer".into()),
        },
    }
}

/// `'a', 'b' or 'c'`.
fn alternatives(texts: &[&str]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("'{text}'")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// `true` or `false`, also in the spellings that forms have for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag(pub(crate) bool);

impl Field for Flag {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        const PARSING: &str = "Input should be a valid boolean, unable to interpret input";
        match value {
            None => reader.missing(),
            Some(Value::Bool(flag)) => Some(Self(*flag)),
            Some(value @ Value::String(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "on" | "yes" | "t" | "y" => Some(Self(true)),
                "false" | "0" | "off" | "no" | "f" | "n" => Some(Self(false)),
                _ => reader.wrong("bool_parsing", PARSING, value),
            },
            Some(value @ Value::Number(number)) => match number.as_i64() {
                Some(0) => Some(Self(false)),
                Some(1) => Some(Self(true)),
                _ => reader.wrong("bool_parsing", PARSING, value),
            },
            Some(other) => reader.wrong("bool_type", "Input should be a valid boolean", other),
        }
    }
}

/// An e-mail address, trimmed, its domain in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Email(pub(crate) String);

impl Field for Email {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = String::read(value, reader)?;
        match email::parse(&text) {
            Ok(address) => Some(Self(address)),
            Err(reason) => {
                let msg = format!("value is not a valid email address: {reason}");
                reader.breaks("value_error", msg, &text.into(), json!({ "reason": reason }))
            }
        }
    }
}

/// One of the languages there are.
#[derive(Clone, Debug)]
pub(crate) struct Locale(pub(crate) String);

impl Field for Locale {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = String::read(value, reader)?;
        if LOCALES.contains(&text.as_str()) {
            return Some(Self(text));
        }
        let msg = format!("Value error, unsupported locale, use one of {}", LOCALES.join(", "));
        let ctx = json!({ "reason": "unsupported locale" });
        reader.breaks("value_error", msg, &text.into(), ctx)
    }
}

/// One of a few words, found by its name.
fn literal<T>(
    value: Option<&Value>,
    reader: &mut Reader<'_>,
    names: &[&str],
    find: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let Some(value) = value else { return reader.missing() };
    value.as_str().and_then(find).or_else(|| {
        let expected = alternatives(names);
        let msg = format!("Input should be {expected}");
        reader.breaks("literal_error", msg, value, json!({ "expected": expected }))
    })
}

impl Field for ThreadStatus {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        literal(value, reader, &Self::ALL.map(Self::as_str), Self::find)
    }
}

impl Field for Overlap {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        literal(value, reader, &Self::ALL.map(Self::as_str), Self::find)
    }
}

/// What an agent answers: a text, or a number as its text.
#[derive(Clone, Debug)]
pub(crate) struct ReplyText(pub(crate) String);

impl Field for ReplyText {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        match value {
            Some(Value::Number(number)) => Some(Self(number.to_string())),
            value => Content::read(value, reader).map(|content| Self(content.0)),
        }
    }
}

/// A webhook address; empty means none.
#[derive(Clone, Debug)]
pub(crate) struct WebhookUrl(pub(crate) Option<String>);

impl Field for WebhookUrl {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = String::read(value, reader)?;
        if text.is_empty() {
            return Some(Self(None));
        }
        match reader.api.check_webhook_url(&text) {
            Ok(()) => Some(Self(Some(text))),
            Err(failure) => {
                let msg = format!("Value error, {}", failure.detail);
                let ctx = json!({ "reason": failure.kind.key() });
                reader.breaks("value_error", msg, &text.into(), ctx)
            }
        }
    }
}

/// A new secret; empty means none. The mask can't be one.
#[derive(Clone, Debug)]
pub(crate) struct NewSecret(pub(crate) Option<Secret>);

impl Field for NewSecret {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = Text::<255>::read(value, reader)?.0;
        if text == MASK {
            let ctx = json!({ "reason": "this is the mask" });
            return reader.breaks(
                "value_error",
                "Value error, the mask is no secret",
                &text.into(),
                ctx,
            );
        }
        Some(Self((!text.is_empty()).then(|| Secret::new(text))))
    }
}

/// A changed secret: the mask means that it stays as it is.
#[derive(Clone, Debug)]
pub(crate) enum ChangedSecret {
    /// As it is.
    Unchanged,
    /// This one, or none.
    Changed(Option<Secret>),
}

impl Field for ChangedSecret {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        match value {
            Some(Value::String(text)) if text == MASK => Some(Self::Unchanged),
            _ => NewSecret::read(value, reader).map(|secret| Self::Changed(secret.0)),
        }
    }
}

/// A whole number of a query, from `MIN` to `MAX`; absent it is `DEFAULT`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Int<const MIN: i64, const MAX: i64, const DEFAULT: i64>(pub(crate) i64);

impl<const MIN: i64, const MAX: i64, const DEFAULT: i64> Field for Int<MIN, MAX, DEFAULT> {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(value) = value else { return Some(Self(DEFAULT)) };
        let number = i64::read(Some(value), reader)?;
        if number < MIN {
            let msg = format!("Input should be greater than or equal to {MIN}");
            return reader.breaks("greater_than_equal", msg, value, json!({ "ge": MIN }));
        }
        if number > MAX {
            let msg = format!("Input should be less than or equal to {MAX}");
            return reader.breaks("less_than_equal", msg, value, json!({ "le": MAX }));
        }
        Some(Self(number))
    }
}

impl<const MIN: i64, const MAX: i64, const DEFAULT: i64> Int<MIN, MAX, DEFAULT> {
    /// The number, which is never negative nor larger than 32 bits where it is used.
    pub(crate) fn get(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl Field for i64 {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        const MSG: &str = "Input should be a valid integer, unable to parse string as an integer";
        let Some(value) = value else { return reader.missing() };
        let number = value.as_str().and_then(|text| text.trim().parse().ok());
        number.or_else(|| reader.wrong("int_parsing", MSG, value))
    }
}

/// Ids of other things, in any spelling of a UUID.
macro_rules! id_fields {
    ($($id:ty),*) => {$(
        impl Field for $id {
            fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
                let text = String::read(value, reader)?;
                text.parse().map_err(|error| not_a_uuid(&error, text, reader)).ok()
            }
        }
    )*};
}

id_fields! { AgentId, RunId, ReplayId }

fn not_a_uuid(error: &impl std::fmt::Display, text: String, reader: &mut Reader<'_>) {
    let error = error.to_string();
    let msg = format!("Input should be a valid UUID, {error}");
    reader.breaks::<()>("uuid_parsing", msg, &text.into(), json!({ "error": error }));
}

/// An instant, as RFC 3339 writes it.
impl Field for Timestamp {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        const MSG: &str = "Input should be a valid datetime with an offset, as RFC 3339 writes it";
        let text = Value::String(String::read(value, reader)?);
        let instant = serde_json::from_value(text.clone()).ok();
        instant.or_else(|| reader.wrong("datetime_parsing", MSG, &text))
    }
}

/// May be anything: existing clients send it, and it has no effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ignored;

impl Field for Ignored {
    fn read(_: Option<&Value>, _: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// The word `password`, or nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrantType;

impl Field for GrantType {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        match value {
            None => Some(Self),
            Some(Value::String(text)) if text == "password" => Some(Self),
            Some(other) => {
                let msg = "String should match pattern '^password$'";
                let ctx = json!({ "pattern": "^password$" });
                reader.breaks("string_pattern_mismatch", msg, other, ctx)
            }
        }
    }
}
