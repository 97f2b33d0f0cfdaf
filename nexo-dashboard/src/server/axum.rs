//! Connections on axum, by way of hyper, on the server's own runtime.

use std::{convert::Infallible, net::SocketAddr};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, Response, body::Incoming, server::conn::http1::Builder, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use nexo_http::Api;
use tower_service::Service;

use super::{Connection, GuardedSocket, WRITE_STALL};
use crate::config::Listen;

/// The API refuses larger heads with an answer; beyond this nobody reads on.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The connections.
pub(crate) struct Connections {
    router: Router,
    builder: Builder,
    open: GracefulShutdown,
}

impl Connections {
    pub(super) fn new(api: &Api, listen: &Listen) -> Self {
        Self {
            router: nexo_http_axum::router(api),
            builder: builder(listen),
            open: GracefulShutdown::new(),
        }
    }

    pub(super) fn add(&self, connection: Connection) {
        let Connection { stream, peer, place } = connection;
        let socket = GuardedSocket::new(stream, WRITE_STALL);
        let router = self.router.clone();
        let service = service_fn(move |request| answer(router.clone(), request, peer));
        let connection = self.builder.serve_connection(TokioIo::new(socket), service);
        let connection = self.open.watch(connection);
        tokio::spawn(async move {
            // A client that goes away or talks nonsense is its own business.
            let _ = connection.await;
            drop(place);
        });
    }

    pub(super) async fn end(self) {
        self.open.shutdown().await;
    }
}

fn builder(listen: &Listen) -> Builder {
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(listen.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
}

async fn answer(
    mut router: Router,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Body>, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    router.call(request).await
}
