//! What the tests share: serving a router on a socket.

use std::net::SocketAddr;

use axum::{Router, serve::ListenerExt};
use nexo_http::conformance::Server;
use tokio::{net::TcpListener, task::JoinHandle};

/// A server on a port of its own, until it is dropped.
pub(crate) struct Running {
    address: SocketAddr,
    prefix: &'static str,
    serving: JoinHandle<()>,
}

impl Server for Running {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn prefix(&self) -> &str {
        self.prefix
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves a router.
pub(crate) async fn serve_router(router: Router) -> Running {
    serve_below("", router).await
}

/// Serves a router that has the API below a path.
pub(crate) async fn serve_below(prefix: &'static str, router: Router) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = listener.tap_io(|socket| socket.set_nodelay(true).unwrap());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    Running { address, prefix, serving }
}
