//! The neutral version without any framework: behind the HTTP library that axum is made of.
//! What an adapter costs is what comes on top of this.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, BodyStream, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use nexo_core::BoxError;
use nexo_http::{Body, Routes};
use tokio::net::{TcpListener, TcpStream};

use super::World;

type HyperBody = UnsyncBoxBody<Bytes, BoxError>;

/// Serves the endpoints as long as connections can be accepted.
pub async fn serve(world: &World, listener: TcpListener) {
    let routes = world.api().routes();
    while let Ok((stream, peer)) = listener.accept().await {
        tokio::spawn(serve_connection(stream, peer, routes.clone()));
    }
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Routes,
) -> hyper::Result<()> {
    let service = service_fn(move |request| {
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(answer(&routes, peer, request).await) }
    });
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
}

async fn answer(
    routes: &Routes,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<HyperBody> {
    let (parts, body) = request.into_parts();
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().map(str::to_owned));
    let route = routes.find(&path).unwrap_or_else(|| routes.fallback());
    let mut request = nexo_http::Request::new(parts.method, path, query, parts.headers);
    request.peer = Some(peer.ip());
    let pieces = BodyStream::new(body).try_filter_map(async |frame| Ok(frame.into_data().ok()));
    let answer = route.handle(request, pieces.map_err(Into::into).boxed()).await;
    let mut response = Response::new(match answer.body {
        Body::Empty => full(Bytes::new()),
        Body::Full(bytes) => full(bytes),
        Body::Stream(pieces) => StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync(),
    });
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

fn full(bytes: Bytes) -> HyperBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}
