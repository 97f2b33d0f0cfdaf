//! A bare server: what the HTTP library alone can do with answers of this shape.

use std::{convert::Infallible, io};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::helper;

/// What it is called as a process.
pub(crate) const ROLE: &str = "bare-server";

/// Answers everything with this JSON.
pub(crate) async fn serve(body: &str) -> io::Result<()> {
    let (listener, body) = (helper::listen().await?, Bytes::from(body.to_owned()));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve_connection(stream, body.clone()));
    }
}

async fn serve_connection(stream: TcpStream, body: Bytes) -> hyper::Result<()> {
    let service = service_fn(move |_: hyper::Request<Incoming>| {
        let body = body.clone();
        async move { Ok::<_, Infallible>(answer(body)) }
    });
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
}

fn answer(body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
