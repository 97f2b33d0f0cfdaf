//! What each type looks like in the document.

use std::collections::BTreeMap;

use nexo_core::{
    AgentId, AppId, ConfigChange, DeliveryId, JsonObject, MessageId, Overlap, OwnerId, ReplayId,
    RunId, SubscriberId, ThreadId, ThreadStatus, Timestamp, UserId,
};
use serde_json::Value;
use utoipa::openapi::{
    KnownFormat, ObjectBuilder, Ref, RefOr, Schema, SchemaFormat, Type,
    schema::{AdditionalProperties, AnyOfBuilder, ArrayBuilder, SchemaType},
};

use crate::validate::{
    ChangedSecret, Config, Content, Email, Flag, Given, GrantType, Ignored, Int, LOCALES, Locale,
    NewSecret, ReplyText, Text, WebhookUrl,
};

/// A schema, or where it stands.
pub(crate) type SchemaRef = RefOr<Schema>;

/// A type that has a place in the document.
pub(crate) trait Describe {
    /// The type's schema. Named ones are entered once, and referred to.
    fn describe(schemas: &mut Schemas) -> SchemaRef;

    /// Whether a field of this type has to be present.
    fn required() -> bool {
        true
    }

    /// The fields, where there are any.
    fn members(_visit: &mut dyn FnMut(Member)) {}
}

/// A field in the document.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) description: String,
    pub(crate) required: bool,
    pub(crate) schema: fn(&mut Schemas) -> SchemaRef,
}

impl Member {
    pub(crate) fn of<T: Describe>(name: &'static str, doc: &[&str]) -> Self {
        Self { name, description: text(doc), required: T::required(), schema: T::describe }
    }
}

/// The named schemas of the document.
#[derive(Default)]
pub(crate) struct Schemas(BTreeMap<String, SchemaRef>);

impl Schemas {
    /// Enters an object under its name, and gives the reference to it.
    pub(crate) fn object(
        &mut self,
        name: &str,
        doc: &[&str],
        members: impl FnOnce(&mut ObjectSchema<'_>),
    ) -> SchemaRef {
        if !self.0.contains_key(name) {
            let builder = ObjectBuilder::new().title(Some(name)).description(Some(text(doc)));
            let mut object = ObjectSchema { schemas: self, builder: Some(builder) };
            members(&mut object);
            let builder = object.builder.take().expect("it is put back after every member");
            self.0.insert(name.to_owned(), RefOr::T(Schema::Object(builder.build())));
        }
        RefOr::Ref(Ref::from_schema_name(name))
    }

    /// Enters a schema under its name, and gives the reference to it.
    pub(crate) fn named(&mut self, name: &str, schema: impl Into<Schema>) -> SchemaRef {
        self.0.entry(name.to_owned()).or_insert_with(|| RefOr::T(schema.into()));
        RefOr::Ref(Ref::from_schema_name(name))
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = (String, SchemaRef)> {
        self.0.into_iter()
    }
}

/// An object that is being described.
pub(crate) struct ObjectSchema<'a> {
    schemas: &'a mut Schemas,
    builder: Option<ObjectBuilder>,
}

impl ObjectSchema<'_> {
    /// Adds a member of this type.
    pub(crate) fn member<T: Describe>(&mut self, name: &str) {
        let schema = T::describe(self.schemas);
        self.builder = self.builder.take().map(|builder| {
            let builder = builder.property(name, schema);
            if T::required() { builder.required(name) } else { builder }
        });
    }
}

fn text(doc: &[&str]) -> String {
    doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

fn plain(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}

fn string() -> ObjectBuilder {
    plain(Type::String)
}

fn formatted(format: KnownFormat) -> ObjectBuilder {
    string().format(Some(SchemaFormat::KnownFormat(format)))
}

fn free_form() -> ObjectBuilder {
    plain(Type::Object).additional_properties(Some(AdditionalProperties::FreeForm(true)))
}

fn built(builder: ObjectBuilder) -> SchemaRef {
    RefOr::T(Schema::Object(builder.build()))
}

impl<T: Describe> Describe for Option<T> {
    fn describe(schemas: &mut Schemas) -> SchemaRef {
        let inner = T::describe(schemas);
        let either = AnyOfBuilder::new().item(inner).item(plain(Type::Null));
        RefOr::T(Schema::AnyOf(either.build()))
    }

    fn required() -> bool {
        false
    }
}

impl<T: Describe> Describe for Given<T> {
    fn describe(schemas: &mut Schemas) -> SchemaRef {
        T::describe(schemas)
    }

    fn required() -> bool {
        false
    }
}

impl<T: Describe> Describe for Vec<T> {
    fn describe(schemas: &mut Schemas) -> SchemaRef {
        let items = T::describe(schemas);
        RefOr::T(Schema::Array(ArrayBuilder::new().items(items).build()))
    }
}

macro_rules! describe {
    ($($type:ty => $builder:expr),* $(,)?) => {$(
        impl Describe for $type {
            fn describe(_: &mut Schemas) -> SchemaRef {
                built($builder)
            }
        }
    )*};
}

describe! {
    AppId => formatted(KnownFormat::Uuid),
    AgentId => formatted(KnownFormat::Uuid),
    UserId => formatted(KnownFormat::Uuid),
    ThreadId => formatted(KnownFormat::Uuid),
    MessageId => formatted(KnownFormat::Uuid),
    SubscriberId => formatted(KnownFormat::Uuid),
    RunId => formatted(KnownFormat::Uuid),
    ReplayId => formatted(KnownFormat::Uuid),
    DeliveryId => formatted(KnownFormat::Uuid),
    OwnerId => string(),
    Timestamp => formatted(KnownFormat::DateTime),
    String => string(),
    &'static str => string(),
    () => plain(Type::Null),
    bool => plain(Type::Boolean),
    i64 => plain(Type::Integer),
    u64 => plain(Type::Integer),
    u32 => plain(Type::Integer),
    u16 => plain(Type::Integer),
    Value => ObjectBuilder::new().schema_type(SchemaType::AnyValue),
    JsonObject => free_form(),
    Config => free_form(),
    ConfigChange => free_form(),
    Content => string(),
    Email => formatted(KnownFormat::Email),
    Locale => string().enum_values(Some(LOCALES)),
    ThreadStatus => string().enum_values(Some(ThreadStatus::ALL.map(ThreadStatus::as_str))),
    Overlap => string().enum_values(Some(Overlap::ALL.map(Overlap::as_str))),
    ReplyText => ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Number])),
    WebhookUrl => string(),
    NewSecret => string(),
    ChangedSecret => string(),
}

impl Describe for Flag {
    fn describe(schemas: &mut Schemas) -> SchemaRef {
        bool::describe(schemas)
    }
}

impl Describe for Ignored {
    fn describe(schemas: &mut Schemas) -> SchemaRef {
        Value::describe(schemas)
    }

    fn required() -> bool {
        false
    }
}

impl Describe for GrantType {
    fn describe(_: &mut Schemas) -> SchemaRef {
        built(string().pattern(Some("^password$")))
    }

    fn required() -> bool {
        false
    }
}

impl<const MAX: usize> Describe for Text<MAX> {
    fn describe(_: &mut Schemas) -> SchemaRef {
        built(string().max_length(Some(MAX)))
    }
}

impl<const MIN: i64, const MAX: i64, const DEFAULT: i64> Describe for Int<MIN, MAX, DEFAULT> {
    fn describe(_: &mut Schemas) -> SchemaRef {
        let range = plain(Type::Integer).minimum(Some(MIN as f64)).maximum(Some(MAX as f64));
        built(range.default(Some(DEFAULT.into())))
    }

    fn required() -> bool {
        false
    }
}

/// Declares what a response carries: the struct, and how it is documented.
macro_rules! wire {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident {
            $($(#[doc = $field_doc:literal])* $field:ident: $type:ty),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, serde::Serialize)]
        $vis struct $name {
            $($(#[doc = $field_doc])* pub(crate) $field: $type),*
        }

        impl $crate::openapi::Describe for $name {
            fn describe(schemas: &mut $crate::openapi::Schemas) -> $crate::openapi::SchemaRef {
                schemas.object(stringify!($name), &[$($doc),*], |object| {
                    $(object.always::<$type>(stringify!($field));)*
                })
            }
        }
    };
}
pub(crate) use wire;

impl ObjectSchema<'_> {
    /// Adds a member that is always there, if only as null.
    pub(crate) fn always<T: Describe>(&mut self, name: &str) {
        let schema = T::describe(self.schemas);
        self.builder =
            self.builder.take().map(|builder| builder.property(name, schema).required(name));
    }
}
