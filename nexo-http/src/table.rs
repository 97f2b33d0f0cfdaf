//! The table of routes: every endpoint there is, from which routers and document are made.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use http::{HeaderValue, Method, header};

use crate::{
    Api, ApiError, BodyStream, Request, Response,
    bodies::ReadBody,
    handler::{Erased, Handler},
    input,
    openapi::{Operation, Schemas},
    path,
    request::Content,
    validate,
};

/// Endpoints, in the order in which the document shows them.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    tag: &'static str,
}

/// One endpoint.
pub(crate) struct Row {
    pub(crate) method: Method,
    pub(crate) path: Cow<'static, str>,
    tag: &'static str,
    id: &'static str,
    summary: &'static str,
    documented: bool,
    takes_json: bool,
    takes_body: bool,
    call: Erased,
    describe: fn(&mut Operation<'_>),
}

impl Table {
    /// The rows that follow stand under this heading.
    pub(crate) fn tag(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    pub(crate) fn get<H: Handler<A>, A>(
        self,
        path: impl Into<Cow<'static, str>>,
        handler: H,
    ) -> Self {
        self.row(Method::GET, path, handler)
    }

    pub(crate) fn post<H: Handler<A>, A>(self, path: &'static str, handler: H) -> Self {
        self.row(Method::POST, path, handler)
    }

    pub(crate) fn patch<H: Handler<A>, A>(self, path: &'static str, handler: H) -> Self {
        self.row(Method::PATCH, path, handler)
    }

    pub(crate) fn delete<H: Handler<A>, A>(self, path: &'static str, handler: H) -> Self {
        self.row(Method::DELETE, path, handler)
    }

    /// The last row's operation id, where it is not the function's name.
    pub(crate) fn id(self, id: &'static str) -> Self {
        self.change(|row| row.id = id)
    }

    /// What the last row does, in a few words.
    pub(crate) fn summary(self, summary: &'static str) -> Self {
        self.change(|row| row.summary = summary)
    }

    /// The last row is left out of the document.
    pub(crate) fn undocumented(self) -> Self {
        self.change(|row| row.documented = false)
    }

    fn change(mut self, change: impl FnOnce(&mut Row)) -> Self {
        change(self.rows.last_mut().expect("a row comes before what is said about it"));
        self
    }

    fn row<H: Handler<A>, A>(
        mut self,
        method: Method,
        path: impl Into<Cow<'static, str>>,
        handler: H,
    ) -> Self {
        self.rows.push(Row::new(method, path.into(), self.tag, handler));
        self
    }

    /// All rows of another table, after this one's.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.rows.extend(other.rows);
        self
    }

    /// A host's own endpoint, which is left out of the document.
    pub(crate) fn hosted(mut self, method: Method, path: Cow<'static, str>, call: Erased) -> Self {
        self.rows.push(Row::hosted(method, path, call));
        self
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// The rows, put together by path.
    pub(crate) fn into_resources(self) -> Vec<Resource> {
        let mut by_path: BTreeMap<Cow<'static, str>, Vec<Row>> = BTreeMap::new();
        for row in self.rows {
            by_path.entry(row.path.clone()).or_default().push(row);
        }
        by_path.into_iter().map(|(path, rows)| Resource { path, rows }).collect()
    }
}

impl Row {
    /// # Panics
    ///
    /// If a parameter in the path is taken by no input, or the reverse: building the table
    /// once shows it for every row.
    fn new<H: Handler<A>, A>(
        method: Method,
        path: Cow<'static, str>,
        tag: &'static str,
        handler: H,
    ) -> Self {
        let mut schemas = Schemas::default();
        let mut operation = Operation::new(&mut schemas);
        H::describe(&mut operation);
        let mut taken = operation.path_params.clone();
        let mut named: Vec<_> = path::names(&path).collect();
        taken.sort_unstable();
        named.sort_unstable();
        assert_eq!(taken, named, "{method} {path} and its handler name other parameters");
        Self {
            takes_json: operation.takes_json,
            takes_body: operation.takes_body,
            method,
            path,
            tag,
            id: function_name::<H>(),
            summary: "",
            documented: true,
            call: Arc::new(move |request, api| Box::pin(handler.call(request, api))),
            describe: H::describe,
        }
    }

    fn hosted(method: Method, path: Cow<'static, str>, call: Erased) -> Self {
        Self {
            takes_json: false,
            takes_body: false,
            method,
            path,
            tag: "",
            id: "",
            summary: "",
            documented: false,
            call,
            describe: |_| {},
        }
    }

    pub(crate) fn documented(&self) -> bool {
        self.documented
    }

    pub(crate) fn operation(&self, schemas: &mut Schemas) -> utoipa::openapi::path::Operation {
        let mut operation = Operation::new(schemas);
        (self.describe)(&mut operation);
        operation.build(self.tag, self.id, self.summary)
    }

    /// Reads the body as the row wants it, and calls the handler.
    async fn answer(
        &self,
        mut request: Box<Request>,
        body: BodyStream,
        api: Api,
    ) -> Result<Response, ApiError> {
        if self.takes_body {
            let ReadBody { bytes: body, room } = api.bodies().read(&request, body).await?;
            request.room = room;
            request.content = if self.takes_json && !body.is_empty() && input::is_json(&request) {
                let parsed = validate::parse_json(&body)
                    .map_err(|violation| ApiError::invalid(vec![*violation]))?;
                Content::Json(parsed, body)
            } else {
                Content::Bytes(body)
            };
        }
        Ok((self.call)(*request, api).await)
    }
}

/// The last part of a function's path. The format is not guaranteed, which is why the
/// checked-in document pins what comes out.
fn function_name<H>() -> &'static str {
    std::any::type_name::<H>().rsplit("::").next().unwrap_or_default()
}

/// All endpoints on one path.
pub(crate) struct Resource {
    pub(crate) path: Cow<'static, str>,
    rows: Vec<Row>,
}

impl Resource {
    /// Answers a request to this path: chooses by method, refuses the others.
    pub(crate) async fn dispatch(
        &self,
        mut request: Box<Request>,
        body: BodyStream,
        api: Api,
    ) -> Response {
        let Some(row) = self.rows.iter().find(|row| row.method == request.method) else {
            return self.method_not_allowed();
        };
        request.pattern = self.path.clone();
        row.answer(request, body, api).await.unwrap_or_else(ApiError::into_response)
    }

    fn method_not_allowed(&self) -> Response {
        let methods: Vec<_> = self.rows.iter().map(|row| row.method.as_str()).collect();
        let allow = HeaderValue::try_from(methods.join(", ")).expect("methods are ASCII");
        ApiError::METHOD_NOT_ALLOWED.into_response().with(header::ALLOW, allow)
    }
}
