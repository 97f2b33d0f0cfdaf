//! Responses, from Nexo's types to actix's.

use std::error::Error;

use actix_web::{
    HttpResponse,
    body::{BodyStream, BoxBody},
    http::{
        StatusCode,
        header::{HeaderName, HeaderValue},
    },
};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, channel::mpsc, stream};
use nexo_http::{Body, BodyStream as Pieces, Response};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

type Piece = <Pieces as Stream>::Item;

/// The response as actix sends it. What it streams is made on the runtime, if there is one.
pub(crate) fn native(response: Response, runtime: Option<&Handle>) -> HttpResponse {
    let body = match response.body {
        Body::Empty => BoxBody::new(()),
        Body::Full(bytes) => BoxBody::new(bytes),
        Body::Stream(pieces) => match runtime {
            None => streamed(pieces),
            Some(runtime) => streamed(made_on(runtime, pieces)),
        },
    };
    let status = StatusCode::from_u16(response.status.as_u16());
    let status = status.expect("a status has three digits in every version of the type");
    let mut answer = HttpResponse::with_body(status, body);
    for (name, value) in &response.headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            answer.headers_mut().append(name, value);
        }
    }
    answer
}

fn streamed(pieces: impl Stream<Item = Piece> + 'static) -> BoxBody {
    // As a sized type, which this error is not.
    BoxBody::new(BodyStream::new(pieces.map_err(|error| error as Box<dyn Error>)))
}

/// The same pieces, each made on the runtime when the one before was taken. Dropping this stops
/// it, and a defect there cuts the stream here.
fn made_on(runtime: &Handle, pieces: Pieces) -> impl Stream<Item = Piece> + use<> {
    let (sender, taken) = mpsc::channel(0);
    // It ends early only if nobody is there to take the rest.
    let making = pieces.map(Ok).forward(sender).map(drop);
    let making = AbortOnDropHandle::new(runtime.spawn(making));
    stream::unfold(Some((taken, making)), async |state| {
        let (mut taken, making) = state?;
        // Two pieces that are ready would go out in one write without a pause between them.
        tokio::task::yield_now().await;
        match taken.next().await {
            Some(piece) => Some((piece, Some((taken, making)))),
            None => making.await.err().map(|error| (Err(error.into()), None)),
        }
    })
}
