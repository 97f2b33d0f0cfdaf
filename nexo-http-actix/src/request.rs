//! Requests, from actix's types to Nexo's.

use std::pin::pin;

use actix_web::{
    HttpRequest,
    dev::{Payload, RequestHead},
    error::PayloadError,
};
use bytes::Bytes;
use futures::{
    SinkExt, StreamExt,
    channel::mpsc::{self, Receiver, Sender},
    future::{Either, select},
    stream,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use nexo_http::{BodyStream, Request};

/// The request without its body.
pub(crate) fn neutral(request: &HttpRequest) -> Request {
    let head = request.head();
    let method = Method::from_bytes(head.method.as_str().as_bytes());
    let path = head.uri.path().to_owned();
    let query = head.uri.query().map(str::to_owned);
    let mut request = Request::new(
        method.expect("a method is a token in every version of the type"),
        path,
        query,
        headers(head),
    );
    request.peer = head.peer_addr.map(|address| address.ip());
    request
}

/// Each header as often as it came, whatever bytes are in it.
fn headers(head: &RequestHead) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(head.headers.len());
    for (name, value) in &head.headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// A request's body, and what passes it on: actix's stream of it can't leave its thread. It is
/// passed on piece by piece, one at a time.
pub(crate) fn body(payload: Payload) -> (BodyStream, Option<impl Future<Output = ()>>) {
    if matches!(payload, Payload::None) {
        return (stream::empty().boxed(), None);
    }
    let (sender, receiver) = mpsc::channel(0);
    (passed_on(receiver), Some(pass_on(payload, sender)))
}

/// Passes the body on as long as the answer is waited for.
pub(crate) async fn while_passing<F: Future + Unpin>(
    passing: Option<impl Future<Output = ()>>,
    answering: F,
) -> F::Output {
    let Some(passing) = passing else { return answering.await };
    match select(answering, pin!(passing)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), answering)) => answering.await,
    }
}

/// What is passed on of a body: a piece, why there is none, or nothing after the last.
type Passed = Result<Option<Bytes>, PayloadError>;

async fn pass_on(mut payload: Payload, mut to: Sender<Passed>) {
    while let Some(piece) = payload.next().await {
        if to.send(piece.map(Some)).await.is_err() {
            return;
        }
    }
    let _ = to.send(Ok(None)).await;
}

/// The body that is passed on. If that ends too early, so does the connection, and what has
/// come so far must not be taken for the whole.
fn passed_on(from: Receiver<Passed>) -> BodyStream {
    let next = async |from: Option<Receiver<Passed>>| {
        let mut from = from?;
        match from.next().await {
            Some(Ok(piece)) => piece.map(|piece| (Ok(piece), Some(from))),
            Some(Err(error)) => Some((Err(error.into()), None)),
            None => Some((Err("the connection has ended".into()), None)),
        }
    };
    stream::unfold(Some(from), next).boxed()
}
