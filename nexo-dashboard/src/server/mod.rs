//! The accept loop: connections are taken, bounded in number and time, and ended in good
//! order.

mod places;
mod socket;

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use tracing::{debug, warn};

use self::{places::Places, socket::GuardedSocket};
use crate::{
    config::Listen,
    error::{Context, Failure, Result},
};

/// The API refuses larger heads with an answer; beyond this nobody reads on.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// How long a client may leave what it is sent unread.
const WRITE_STALL: Duration = Duration::from_secs(30);
const HTTP2_STREAMS: u32 = 128;
const HTTP2_PING: Duration = Duration::from_secs(20);
/// When no connection can be taken, trying again at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens where the configuration says.
pub(crate) async fn bind(listen: &Listen) -> Result<TcpListener> {
    let Listen { host, port, .. } = listen;
    match TcpListener::bind((host.as_str(), *port)).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Failure::new(format!(
            "{host}:{port} is taken: another server runs there. Stop it, or choose another PORT"
        ))),
        bound => bound.context(format!("can't listen on {host}:{port}")),
    }
}

/// Takes connections until `stop`; gives those that are open then.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    listen: &Listen,
    stop: &CancellationToken,
) -> GracefulShutdown {
    let connections = GracefulShutdown::new();
    let places = Places::new(listen.max_connections, listen.max_connections_per_address);
    let builder = builder(listen);
    while let Some(place) = stop.run_until_cancelled(places.wait()).await {
        let Some((stream, peer)) = stop.run_until_cancelled(next(&listener)).await else { break };
        let Some(place) = place.with_address(peer.ip()) else {
            debug!("a connection was refused: its address has too many");
            continue;
        };
        let socket = GuardedSocket::new(stream, listen.header_timeout, WRITE_STALL);
        let router = router.clone();
        let service = service_fn(move |request| answer(router.clone(), request, peer));
        let connection = builder.serve_connection(TokioIo::new(socket), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // A client that goes away or talks nonsense is its own business.
            let _ = connection.await;
            drop(place);
        });
    }
    connections
}

fn builder(listen: &Listen) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(listen.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING);
    builder
}

async fn answer(
    mut router: Router,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<hyper::Response<Body>, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    router.call(request).await
}

/// The next connection. Running out of files is no reason to stop, nor to spin.
async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Small pieces of a reply should not wait for one another.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                warn!(%error, "no connection can be taken at the moment");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
