//! The whole document, made from the table of routes.

use serde_json::{Value, json};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Paths,
    path::HttpMethod,
    schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type},
    security::{Flow, OAuth2, Password, Scopes, SecurityScheme},
};

use super::{Schemas, operation::BEARER};
use crate::table::Table;

/// The document of a table.
pub(crate) fn document(table: &Table) -> OpenApi {
    let mut schemas = Schemas::default();
    errors(&mut schemas);
    let mut paths = Paths::new();
    for row in table.rows().filter(|row| row.documented()) {
        let operation = row.operation(&mut schemas);
        paths.add_path_operation(&*row.path, vec![method(&row.method)], operation);
    }
    let flow = Flow::Password(Password::new("auth/jwt/login", Scopes::new()));
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas.into_iter())
        .security_scheme(BEARER, SecurityScheme::OAuth2(OAuth2::new([flow])))
        .build();
    let info = InfoBuilder::new().title("Nexo").version(env!("CARGO_PKG_VERSION")).build();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

fn method(method: &http::Method) -> HttpMethod {
    match method.as_str() {
        "POST" => HttpMethod::Post,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        "PUT" => HttpMethod::Put,
        _ => HttpMethod::Get,
    }
}

/// The shapes that errors have.
fn errors(schemas: &mut Schemas) {
    let any = || ObjectBuilder::new().schema_type(SchemaType::AnyValue);
    let text = || ObjectBuilder::new().schema_type(Type::String);
    schemas.named(
        "ErrorModel",
        ObjectBuilder::new().title(Some("ErrorModel")).property("detail", any()).required("detail"),
    );
    schemas.named(
        "ValidationError",
        ObjectBuilder::new()
            .title(Some("ValidationError"))
            .property("loc", ArrayBuilder::new().items(any()))
            .property("msg", text())
            .property("type", text())
            .property("input", any())
            .property("ctx", ObjectBuilder::new().schema_type(Type::Object))
            .required("loc")
            .required("msg")
            .required("type"),
    );
    let entries =
        ArrayBuilder::new().items(utoipa::openapi::Ref::from_schema_name("ValidationError"));
    schemas.named(
        "HTTPValidationError",
        ObjectBuilder::new().title(Some("HTTPValidationError")).property("detail", entries),
    );
}

/// The document with the tags cut off from the operation ids, for generators of clients.
pub(crate) fn without_tags(document: &OpenApi) -> Value {
    let mut value = serde_json::to_value(document).expect("a document is plain data");
    let paths = value["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    for operation in paths.flat_map(|path| path.as_object_mut().into_iter().flatten()) {
        let (_, operation) = operation;
        let tag = operation["tags"][0].as_str().unwrap_or_default().to_owned();
        let id = operation["operationId"].as_str().unwrap_or_default();
        let stripped = id.strip_prefix(&format!("{tag}-")).unwrap_or(id);
        operation["operationId"] = json!(stripped);
    }
    value
}
