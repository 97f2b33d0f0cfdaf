#![doc = include_str!("../README.md")]

use std::net::SocketAddr;

use axum::{
    Router,
    body::Body as AxumBody,
    extract::{ConnectInfo, Request as AxumRequest},
    response::Response as AxumResponse,
    routing::any,
};
use futures::{StreamExt, TryStreamExt};
use nexo_http::{Api, Body, BodyStream, Request, Response, Route};

/// The API as a router: every path registered natively, and a fallback that answers the rest
/// with the API's own errors. It can be nested under the host's own router and middleware.
///
/// Rate limits by network need to know where a client calls from: serve the router with
/// `into_make_service_with_connect_info::<SocketAddr>()`.
pub fn router(api: &Api) -> Router {
    let routes = api.routes();
    let router = routes.iter().fold(Router::new(), |router, route| {
        let path = route.path().to_owned();
        router.route(&path, any(move |request| answer(route.clone(), request)))
    });
    let fallback = routes.fallback();
    router.fallback(move |request| answer(fallback.clone(), request))
}

async fn answer(route: Route, request: AxumRequest) -> AxumResponse {
    let (request, body) = split(request);
    respond(route.handle(request, body).await)
}

fn split(request: AxumRequest) -> (Request, BodyStream) {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().map(str::to_owned);
    let mut request = Request::new(parts.method, path, query, parts.headers);
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    request.peer = peer.map(|ConnectInfo(address)| address.ip());
    (request, body.into_data_stream().map_err(Into::into).boxed())
}

fn respond(response: Response) -> AxumResponse {
    let body = match response.body {
        Body::Empty => AxumBody::empty(),
        Body::Full(bytes) => AxumBody::from(bytes),
        Body::Stream(pieces) => AxumBody::from_stream(pieces),
    };
    let mut answer = AxumResponse::new(body);
    *answer.status_mut() = response.status;
    *answer.headers_mut() = response.headers;
    answer
}
