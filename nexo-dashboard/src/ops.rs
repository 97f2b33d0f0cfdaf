//! What operators ask: is it alive, is it ready, what does it measure.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use nexo_core::{Secret, Store};
use tokio_util::sync::CancellationToken;

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
    /// `/healthz`, `/readyz` and `/metrics`.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self)
    }
}

/// The process runs and answers; whether the store does is another question, and restarting
/// the server would not help it.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(ops): State<Ops>) -> (StatusCode, &'static str) {
    const AWAY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    if ops.stop.is_cancelled() {
        return (AWAY, "shutting down\n");
    }
    match tokio::time::timeout(PING_PATIENCE, ops.store.ping()).await {
        Ok(Ok(())) => (StatusCode::OK, "ready\n"),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the store does not answer");
            (AWAY, "the store does not answer\n")
        }
        Err(_) => (AWAY, "the store does not answer in time\n"),
    }
}

async fn metrics(State(ops): State<Ops>, headers: HeaderMap) -> Response {
    if !ops.may_read_metrics(&headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge, "a bearer token is needed\n").into_response();
    }
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, ops.metrics.render()).into_response()
}

impl Ops {
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
    use axum::{body::Body, extract::Request};
    use metrics_exporter_prometheus::PrometheusBuilder;
    use nexo_core::MemoryStore;
    use tower_service::Service;

    use super::*;

    async fn status(ops: &Ops, path: &str, token: Option<&str>) -> u16 {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("bearer {token}"));
        }
        let request = request.body(Body::empty()).unwrap();
        ops.clone().router().call(request).await.unwrap().status().as_u16()
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
