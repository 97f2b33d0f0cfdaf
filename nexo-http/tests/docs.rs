//! The page at `/docs` shows the document, from files of the server itself.
#![cfg(feature = "docs-ui")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderMap, Method};
use nexo_core::{Nexo, Principal};
use nexo_http::{Api, ApiError, Authenticator, Body, Request};

#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Authenticator for Nobody {
    async fn authenticate(&self, _: &HeaderMap) -> Result<Option<Principal>, ApiError> {
        Ok(None)
    }
}

/// The status and the body of what a route answers to a path.
async fn get(pattern: &str, path: &str) -> (u16, String) {
    let api = Api::new(Nexo::builder().build(), Arc::new(Nobody));
    let route = api.routes().iter().find(|route| route.path() == pattern).unwrap();
    let request = Request::new(Method::GET, path.into(), None, HeaderMap::new());
    let response = route.handle(request, Box::pin(futures::stream::empty())).await;
    let Body::Full(body) = response.body else { panic!("{path} has no body") };
    (response.status.as_u16(), String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn every_file_that_the_page_names_is_there() {
    for page in ["/docs", "/redoc"] {
        let (status, html) = get(page, page).await;
        assert_eq!(status, 200);
        let files = html.split('"').filter(|text| text.starts_with("docs/"));
        let files: Vec<&str> = files.collect();
        assert_eq!(files.len(), 4, "{html}");
        for file in files {
            assert_eq!(get("/docs/{file}", &format!("/{file}")).await.0, 200, "{file}");
        }
    }
}

#[tokio::test]
async fn the_page_shows_this_apis_document_and_nothing_else() {
    let (_, script) = get("/docs/{file}", "/docs/swagger-initializer.js").await;
    assert!(script.contains("openapi.json"), "{script}");

    for path in ["/docs/nothing.js", "/docs/..%2fsecrets.toml", "/docs/%00"] {
        assert_eq!(get("/docs/{file}", path).await.0, 404, "{path}");
    }
}
