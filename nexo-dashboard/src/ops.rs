//! What operators ask: is it alive, is it ready, what does it measure.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;
use nexo_core::{Secret, Store};
use nexo_http::{Api, Response};
use tokio_util::sync::CancellationToken;

const TEXT: &str = "text/plain; charset=utf-8";
/// A store that takes longer than this to answer is as good as away.
const PING_PATIENCE: Duration = Duration::from_secs(2);

/// What the answers are made of.
#[derive(Clone)]
pub(crate) struct Ops {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) stop: CancellationToken,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) metrics_token: Option<Secret>,
}

impl Ops {
    /// The API with `/healthz`, `/readyz` and `/metrics` beside it.
    pub(crate) fn beside(self, api: Api) -> Api {
        let (ops, same) = (Arc::new(self.clone()), Arc::new(self));
        api.with_get("/healthz", |_| healthz())
            .with_get("/readyz", move |_| readyz(Arc::clone(&ops)))
            .with_get("/metrics", move |request| {
                let response = same.metrics(&request.headers);
                async { response }
            })
    }
}

/// The process runs and answers; whether the store does is another question, and restarting
/// the server would not help it.
async fn healthz() -> Response {
    Response::full(StatusCode::OK, TEXT, "ok\n")
}

async fn readyz(ops: Arc<Ops>) -> Response {
    let away = |why: &'static str| Response::full(StatusCode::SERVICE_UNAVAILABLE, TEXT, why);
    if ops.stop.is_cancelled() {
        return away("shutting down\n");
    }
    match tokio::time::timeout(PING_PATIENCE, ops.store.ping()).await {
        Ok(Ok(())) => Response::full(StatusCode::OK, TEXT, "ready\n"),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the store does not answer");
            away("the store does not answer\n")
        }
        Err(_) => away("the store does not answer in time\n"),
    }
}

impl Ops {
    fn metrics(&self, headers: &HeaderMap) -> Response {
        if !self.may_read_metrics(headers) {
            let refusal = "a bearer token is needed\n";
            return Response::full(StatusCode::UNAUTHORIZED, TEXT, refusal)
                .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        Response::full(StatusCode::OK, content_type, self.metrics.render())
    }

    fn may_read_metrics(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.metrics_token else { return true };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        given
            .and_then(|value| value.split_once(' '))
            .is_some_and(|(scheme, it)| scheme.eq_ignore_ascii_case("bearer") && token.matches(it))
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http::Method;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use nexo_core::{MemoryStore, Nexo, Principal};
    use nexo_http::{ApiError, Authenticator, Body, Cors, Request, Settings};

    use super::*;

    #[derive(Debug)]
    struct Nobody;

    #[async_trait::async_trait]
    impl Authenticator for Nobody {
        async fn authenticate(&self, _: &HeaderMap) -> Result<Option<Principal>, ApiError> {
            Ok(None)
        }
    }

    async fn answer(ops: &Ops, method: Method, path: &str, headers: HeaderMap) -> Response {
        let settings = Settings { cors: Cors::Any, ..Settings::default() };
        let api = Api::new(Nexo::builder().build(), Arc::new(Nobody));
        let routes = ops.clone().beside(api.with_settings(settings)).routes();
        let route = routes.iter().find(|route| route.path() == path).unwrap();
        let request = Request::new(method, path.into(), None, headers);
        route.handle(request, Box::pin(stream::empty())).await
    }

    async fn status(ops: &Ops, path: &str, token: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let value = HeaderValue::try_from(format!("bearer {token}")).unwrap();
            headers.insert(header::AUTHORIZATION, value);
        }
        answer(ops, Method::GET, path, headers).await.status.as_u16()
    }

    fn ops(metrics_token: Option<&str>) -> Ops {
        Ops {
            store: Arc::new(MemoryStore::new()),
            stop: CancellationToken::new(),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            metrics_token: metrics_token.map(Secret::from),
        }
    }

    #[tokio::test]
    async fn a_wrong_method_is_refused_as_everywhere() {
        let ops = ops(None);
        let origin = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static("http://x"))]);
        for path in ["/healthz", "/readyz", "/metrics"] {
            let refused = answer(&ops, Method::POST, path, origin.clone()).await;

            assert_eq!(refused.status, 405);
            assert_eq!(refused.headers[header::ALLOW], "GET, HEAD");
            assert_eq!(refused.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            assert!(refused.headers.contains_key("x-request-id"));
            let Body::Full(body) = refused.body else { panic!("{path}: no body") };
            assert_eq!(body, r#"{"detail":"Method Not Allowed"}"#);
            let head = answer(&ops, Method::HEAD, path, origin.clone()).await;
            assert_eq!(head.status, 200);
        }
    }

    #[tokio::test]
    async fn a_server_that_shuts_down_is_alive_but_not_ready() {
        let ops = ops(None);
        assert_eq!(status(&ops, "/readyz", None).await, 200);

        ops.stop.cancel();

        assert_eq!(status(&ops, "/readyz", None).await, 503);
        assert_eq!(status(&ops, "/healthz", None).await, 200);
    }

    #[tokio::test]
    async fn metrics_are_open_only_where_there_is_no_token() {
        assert_eq!(status(&ops(None), "/metrics", None).await, 200);
        let guarded = ops(Some("abc"));
        assert_eq!(status(&guarded, "/metrics", None).await, 401);
        assert_eq!(status(&guarded, "/metrics", Some("ab")).await, 401);
        assert_eq!(status(&guarded, "/metrics", Some("abc")).await, 200);
    }
}
