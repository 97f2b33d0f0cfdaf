//! Both versions without any framework, behind the HTTP library that axum is made of: they
//! tell what the table costs by itself.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, BodyStream, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use nexo_core::{AppId, BoxError, ThreadId};
use nexo_http::{Body, Routes};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};

use super::{Pong, USER_HEADER, World};

type HyperBody = UnsyncBoxBody<Bytes, BoxError>;

/// Serves the endpoints by hand, as long as connections can be accepted.
pub async fn native(world: &World, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let world = world.clone();
        tokio::spawn(serve(stream, move |request| answer_by_hand(world.clone(), request)));
    }
}

/// Serves the endpoints through Nexo's table, and all the others that stand in it.
pub async fn neutral(world: &World, listener: TcpListener) {
    let routes = world.api().routes();
    while let Ok((stream, peer)) = listener.accept().await {
        let routes = routes.clone();
        tokio::spawn(serve(stream, move |request| answer(routes.clone(), peer, request)));
    }
}
async fn serve<F>(
    stream: TcpStream,
    answer: impl Fn(Request<Incoming>) -> F + Send,
) -> hyper::Result<()>
where
    F: Future<Output = Response<HyperBody>> + Send,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
}

async fn answer_by_hand(world: World, request: Request<Incoming>) -> Response<HyperBody> {
    let found = match find(request.uri().path()) {
        Some(found) => found,
        None => return status(StatusCode::NOT_FOUND),
    };
    let user = request.headers().get(USER_HEADER).and_then(|user| user.to_str().ok());
    let answered = match (request.method(), found) {
        (&Method::GET, Found::Ping) => Ok(json(&Pong::default())),
        (&Method::GET, Found::App(app)) => world.read_app(user, app).await.map(|it| json(&it)),
        (&Method::POST, Found::Messages(ids)) => {
            let user = user.map(str::to_owned);
            append(&world, user, ids, request).await
        }
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    };
    answered.unwrap_or_else(status)
}

enum Found {
    Ping,
    App(AppId),
    Messages((AppId, ThreadId)),
}

fn find(path: &str) -> Option<Found> {
    let mut segments = path.split('/').skip(1);
    match (segments.next(), segments.next(), segments.next(), segments.next(), segments.next()) {
        (Some("ping"), None, ..) => Some(Found::Ping),
        (Some("apps"), Some(app), None, ..) => Some(Found::App(app.parse().ok()?)),
        (Some("apps"), Some(app), Some("threads"), Some(thread), Some("messages")) => {
            Some(Found::Messages((app.parse().ok()?, thread.parse().ok()?)))
        }
        _ => None,
    }
}

async fn append(
    world: &World,
    user: Option<String>,
    ids: (AppId, ThreadId),
    request: Request<Incoming>,
) -> Result<Response<HyperBody>, StatusCode> {
    let body = request.into_body().collect().await.map_err(|_| StatusCode::BAD_REQUEST)?;
    let body = serde_json::from_slice(&body.to_bytes());
    let body = body.map_err(|_| StatusCode::UNPROCESSABLE_ENTITY)?;
    world.append(user.as_deref(), ids, body).await.map(|it| json(&it))
}

fn json(view: &impl Serialize) -> Response<HyperBody> {
    let Ok(body) = serde_json::to_vec(view) else {
        return status(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut response = Response::new(full(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn status(status: StatusCode) -> Response<HyperBody> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}

async fn answer(
    routes: Routes,
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
