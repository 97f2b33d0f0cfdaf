//! The API's own documentation: the OpenAPI document, and a page to read it in a browser.
//!
//! The page's scripts come from the server itself, so that it works without a network.

use http::StatusCode;

use crate::{Response, input::State};

/// The OpenAPI document.
pub(crate) async fn openapi(State(api): State) -> Response {
    Response::full(StatusCode::OK, "application/json", api.document())
}

#[cfg(feature = "docs-ui")]
pub(crate) use ui::{docs, docs_file};

#[cfg(feature = "docs-ui")]
mod ui {
    use std::sync::Arc;

    use http::{HeaderValue, StatusCode, header};
    use utoipa_swagger_ui::Config;

    use crate::{
        ApiError, Response,
        input::{DocsFile, State},
    };

    const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Nexo API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/swagger-ui-standalone-preset.js"></script>
<script src="docs/swagger-initializer.js"></script>
</body>
</html>
"#;

    /// The page that shows the document.
    pub(crate) async fn docs() -> Response {
        Response::full(StatusCode::OK, "text/html; charset=utf-8", PAGE)
    }

    /// A file that the page loads.
    pub(crate) async fn docs_file(
        State(api): State,
        DocsFile(name): DocsFile,
    ) -> Result<Response, ApiError> {
        let document = api.settings().openapi_path.trim_start_matches('/');
        let config = Arc::new(Config::from(document));
        let file = utoipa_swagger_ui::serve(&name, config).ok().flatten();
        let file = file.ok_or(ApiError::NOT_FOUND)?;
        let content_type = HeaderValue::try_from(&file.content_type);
        let content_type = content_type.map_err(|error| ApiError::internal(&error))?;
        let mut response = Response::empty(StatusCode::OK);
        response.body = crate::Body::Full(file.bytes.into_owned().into());
        Ok(response.with(header::CONTENT_TYPE, content_type))
    }
}
