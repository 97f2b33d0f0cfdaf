//! One operation of the document, while its handler's types describe it.

use std::collections::BTreeMap;

use http::StatusCode;
use utoipa::openapi::{
    Content, Ref, RefOr, Required, ResponseBuilder, ResponsesBuilder, SecurityRequirement,
    path::{OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
};

use super::{Describe, Member, SchemaRef, Schemas};

/// The security scheme of bearer tokens.
pub(crate) const BEARER: &str = "OAuth2PasswordBearer";

/// A description, and what the body has: one of several kinds.
type Described = (String, Vec<(&'static str, SchemaRef)>);

/// What a handler's inputs and output say about it.
pub(crate) struct Operation<'a> {
    pub(crate) schemas: &'a mut Schemas,
    /// The names of the path parameters that were taken.
    pub(crate) path_params: Vec<&'static str>,
    /// Whether a JSON body is taken: it is then parsed before anything else is looked at.
    pub(crate) takes_json: bool,
    /// Whether any body is taken.
    pub(crate) takes_body: bool,
    builder: OperationBuilder,
    responses: BTreeMap<u16, Described>,
}

impl<'a> Operation<'a> {
    pub(crate) fn new(schemas: &'a mut Schemas) -> Self {
        Self {
            schemas,
            path_params: Vec::new(),
            takes_json: false,
            takes_body: false,
            builder: OperationBuilder::new(),
            responses: BTreeMap::new(),
        }
    }

    fn change(&mut self, change: impl FnOnce(OperationBuilder) -> OperationBuilder) {
        self.builder = change(std::mem::take(&mut self.builder));
    }

    /// The operation takes this path parameter.
    pub(crate) fn path_param<T: Describe>(&mut self, name: &'static str) {
        self.path_params.push(name);
        let schema = T::describe(self.schemas);
        let param = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(schema));
        self.change(|builder| builder.parameter(param));
        self.fails_validation();
    }

    /// The operation takes these query parameters.
    pub(crate) fn query_params<T: Describe>(&mut self) {
        let mut members: Vec<Member> = Vec::new();
        T::members(&mut |member| members.push(member));
        for member in members {
            let required = if member.required { Required::True } else { Required::False };
            let param = ParameterBuilder::new()
                .name(member.name)
                .description(Some(member.description))
                .parameter_in(ParameterIn::Query)
                .required(required)
                .schema(Some((member.schema)(self.schemas)));
            self.change(|builder| builder.parameter(param));
        }
        self.fails_validation();
    }

    /// The operation reads this header if it is there.
    pub(crate) fn header_param(&mut self, name: &str) {
        let param = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .schema(Some(String::describe(self.schemas)));
        self.change(|builder| builder.parameter(param));
    }

    /// The operation takes a body of this content type.
    pub(crate) fn body<T: Describe>(&mut self, content_type: &str) {
        self.takes_body = true;
        self.takes_json |= content_type == "application/json";
        let content = Content::new(Some(T::describe(self.schemas)));
        let body = RequestBodyBuilder::new()
            .content(content_type, content)
            .required(Some(Required::True))
            .build();
        self.change(|builder| builder.request_body(Some(body)));
        self.fails_validation();
    }

    /// The operation needs a bearer token.
    pub(crate) fn needs_bearer(&mut self) {
        let requirement = SecurityRequirement::new(BEARER, Vec::<String>::new());
        self.change(|builder| builder.security(requirement));
        let schema = RefOr::Ref(Ref::from_schema_name("ErrorModel"));
        let content = Some(("application/json", schema));
        self.response(StatusCode::UNAUTHORIZED, "No valid token", content);
    }

    /// The operation answers with this.
    pub(crate) fn answers<T: Describe>(&mut self, status: StatusCode) {
        let schema = T::describe(self.schemas);
        self.response(status, "Successful Response", Some(("application/json", schema)));
    }

    /// The operation answers with an event stream.
    pub(crate) fn answers_stream(&mut self) {
        let schema = String::describe(self.schemas);
        self.response(StatusCode::OK, "Successful Response", Some(("text/event-stream", schema)));
    }

    /// The operation answers without a body.
    pub(crate) fn answers_nothing(&mut self, status: StatusCode) {
        self.response(status, "Successful Response", None);
    }

    /// The operation refuses what does not fit.
    pub(crate) fn fails_validation(&mut self) {
        let schema = RefOr::Ref(Ref::from_schema_name("HTTPValidationError"));
        let content = Some(("application/json", schema));
        self.response(StatusCode::UNPROCESSABLE_ENTITY, "Validation Error", content);
    }

    fn response(
        &mut self,
        status: StatusCode,
        description: &str,
        content: Option<(&'static str, SchemaRef)>,
    ) {
        let new = || (description.to_owned(), Vec::new());
        let (_, contents) = self.responses.entry(status.as_u16()).or_insert_with(new);
        if let Some((content_type, schema)) = content {
            contents.retain(|(known, _)| *known != content_type);
            contents.push((content_type, schema));
        }
    }

    /// The finished operation.
    pub(crate) fn build(
        self,
        tag: &str,
        id: &str,
        summary: &str,
    ) -> utoipa::openapi::path::Operation {
        let mut responses = ResponsesBuilder::new();
        for (status, (description, contents)) in self.responses {
            let mut response = ResponseBuilder::new().description(description);
            for (content_type, schema) in contents {
                response = response.content(content_type, Content::new(Some(schema)));
            }
            responses = responses.response(status.to_string(), response.build());
        }
        self.builder
            .tag(tag)
            .operation_id(Some(format!("{tag}-{id}")))
            .summary(Some(summary))
            .responses(responses.build())
            .build()
    }
}
