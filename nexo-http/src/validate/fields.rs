//! Reads bodies, queries and forms field by field.
//!
//! `Deserialize` stops at the first error and can't tell an absent member from `null`; here
//! every violation is collected, and a field's type says what may be absent or null.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use nexo_core::JsonObject;
use serde_json::{Map, Value, json, value::RawValue};

use super::{Violation, json::nul};
use crate::{Api, openapi::Describe};

/// A type that a field of a request can have.
pub(crate) trait Field: Describe + Sized {
    /// Reads the field; `None` stands for an absent one. Reports what is wrong and gives
    /// nothing then.
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self>;
}

/// A body, query or form that is read field by field.
pub(crate) trait FromFields: Describe + Sized {
    /// Whether the fields stand for themselves rather than for one thing: an absent one is
    /// then reported without the object around it.
    const SEPARATE: bool;

    /// Reads all fields, also when an earlier one was wrong.
    fn from_fields(fields: &Map<String, Value>, reader: &mut Reader<'_>) -> Option<Self>;
}

/// Where reading has come to, and what was wrong so far.
pub(crate) struct Reader<'a> {
    pub(crate) api: &'a Api,
    /// Whether an object is a merge patch (RFC 7396).
    pub(crate) merges: bool,
    /// The body as it was written, if it is JSON.
    text: Bytes,
    loc: Vec<Value>,
    around: Value,
    violations: Vec<Violation>,
}

impl<'a> Reader<'a> {
    /// Starts at `body` or `query`.
    pub(crate) fn new(api: &'a Api, source: &'static str) -> Self {
        let loc = vec![source.into()];
        Self {
            api,
            merges: false,
            text: Bytes::new(),
            loc,
            around: Value::Null,
            violations: Vec::new(),
        }
    }

    /// Reads objects as merge patches, if it is so.
    pub(crate) fn merging(mut self, merges: bool) -> Self {
        self.merges = merges;
        self
    }

    /// Remembers how the fields were written.
    pub(crate) fn with_text(mut self, text: Bytes) -> Self {
        self.text = text;
        self
    }

    /// The present field, an object, as it was written: a parsed one has its members sorted
    /// and its numbers rounded.
    pub(crate) fn as_written(&self) -> Option<JsonObject> {
        let [_, Value::String(name)] = self.loc.as_slice() else { return None };
        let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(&self.text).ok()?;
        let object = JsonObject::compact(fields.get(name.as_str())?.get()).ok()?;
        // Of members that are written twice only the last was checked.
        (!object.as_str().contains("\\u0000")).then_some(object)
    }

    /// Reads everything, or gives all that is wrong.
    pub(crate) fn read<T: FromFields>(
        mut self,
        fields: Map<String, Value>,
    ) -> Result<T, Vec<Violation>> {
        let read = T::from_fields(&fields, &mut self);
        if read.is_none() && !T::SEPARATE && self.violations.iter().any(Violation::is_missing) {
            self.around = Value::Object(fields);
            self.show_what_is_around();
        }
        match read {
            Some(read) if self.violations.is_empty() => Ok(read),
            _ => Err(self.violations),
        }
    }

    /// Reads one field.
    pub(crate) fn field<T: Field>(
        &mut self,
        fields: &Map<String, Value>,
        name: &'static str,
    ) -> Option<T> {
        self.loc.push(name.into());
        let read = match fields.get(name) {
            Some(Value::String(text)) if text.contains('\0') => {
                self.violations.push(nul(self.loc.clone()));
                None
            }
            value => T::read(value, self),
        };
        self.loc.pop();
        read
    }

    /// Reports that the present field is absent.
    pub(crate) fn missing<T>(&mut self) -> Option<T> {
        self.refuse(Violation::new("missing", self.loc.clone(), "Field required"))
    }

    /// Reports that the present field's value is of a wrong type.
    pub(crate) fn wrong<T>(&mut self, kind: &'static str, msg: &str, value: &Value) -> Option<T> {
        let violation = Violation::new(kind, self.loc.clone(), msg).with_input(value.clone());
        self.refuse(violation)
    }

    /// Reports that the present field's value breaks a rule with figures of its own.
    pub(crate) fn breaks<T>(
        &mut self,
        kind: &'static str,
        msg: impl Into<String>,
        value: &Value,
        ctx: Value,
    ) -> Option<T> {
        let violation =
            Violation::new(kind, self.loc.clone(), msg).with_input(value.clone()).with_ctx(ctx);
        self.refuse(violation)
    }

    /// Reports that the present field's value is an object with too much in it.
    pub(crate) fn too_large<T>(&mut self, max_bytes: usize) -> Option<T> {
        self.refuse(Violation::too_large(self.loc.clone(), max_bytes))
    }

    /// The same one level deeper, at a path within the present field.
    pub(crate) fn breaks_within(
        &mut self,
        path: &[&str],
        kind: &'static str,
        msg: String,
        value: &Value,
    ) {
        let loc = self.loc.iter().cloned().chain(path.iter().map(|step| json!(step))).collect();
        self.violations.push(Violation::new(kind, loc, msg).with_input(value.clone()));
    }

    fn refuse<T>(&mut self, violation: Violation) -> Option<T> {
        self.violations.push(violation);
        None
    }

    fn show_what_is_around(&mut self) {
        for violation in self.violations.iter_mut().filter(|violation| violation.is_missing()) {
            *violation = violation.clone().with_input(self.around.clone());
        }
    }
}

/// May be absent or null, which mean the same.
impl<T: Field> Field for Option<T> {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        match value {
            None | Some(Value::Null) => Some(None),
            Some(_) => T::read(value, reader).map(Some),
        }
    }
}

/// May be absent, which means "as it is"; what is given counts.
#[derive(Clone, Debug)]
pub(crate) struct Given<T>(pub(crate) Option<T>);

impl<T: Field> Field for Given<T> {
    fn read(value: Option<&Value>, reader: &mut Reader<'_>) -> Option<Self> {
        match value {
            None => Some(Self(None)),
            Some(_) => T::read(value, reader).map(|read| Self(Some(read))),
        }
    }
}

/// Declares a body, query or form: the struct, how it is read, and how it is documented.
macro_rules! fields {
    (
        $(#[doc = $doc:literal])*
        $vis:vis $kind:ident $name:ident as $schema:literal {
            $($(#[doc = $field_doc:literal])* $field:ident: $type:ty),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        $vis struct $name {
            $($(#[doc = $field_doc])* pub(crate) $field: $type),*
        }

        impl $crate::validate::FromFields for $name {
            const SEPARATE: bool = $crate::validate::fields!(@separate $kind);

            fn from_fields(
                fields: &serde_json::Map<String, serde_json::Value>,
                reader: &mut $crate::validate::Reader<'_>,
            ) -> Option<Self> {
                $(let $field = reader.field::<$type>(fields, stringify!($field));)*
                Some(Self { $($field: $field?),* })
            }
        }

        impl $crate::openapi::Describe for $name {
            fn describe(schemas: &mut $crate::openapi::Schemas) -> $crate::openapi::SchemaRef {
                schemas.object($schema, &[$($doc),*], |object| {
                    $(object.member::<$type>(stringify!($field));)*
                })
            }

            fn members(visit: &mut dyn FnMut($crate::openapi::Member)) {
                $(visit($crate::openapi::Member::of::<$type>(
                    stringify!($field),
                    &[$($field_doc),*],
                ));)*
            }
        }
    };
    (@separate body) => { false };
    (@separate query) => { true };
    (@separate form) => { true };
    (@separate separate) => { true };
}
pub(crate) use fields;
