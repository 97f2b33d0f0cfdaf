//! What a host serves beside the API, and streams that end otherwise than they were meant to.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use nexo_core::BoxError;
use tokio::{sync::Notify, time::timeout};

use super::{Setup, client::PATIENCE};
use crate::{Body, Response};

fn streaming(pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Response {
    let pieces = stream::unfold(pieces, |mut pieces| async {
        tokio::task::yield_now().await;
        Some((Ok::<_, BoxError>(pieces.next()?), pieces))
    });
    let body = Body::Stream(pieces.boxed());
    Response { status: StatusCode::OK, headers: HeaderMap::new(), body }
}

pub(super) async fn a_host_has_endpoints_beside_the_api(setup: Setup) {
    let hello = || Response::full(StatusCode::OK, "text/plain", "hello");
    let world =
        setup.start_serving(|api| api.with_get("/hello", move |_| async move { hello() })).await;

    let get = world.nobody().get("/hello").await;
    let head = world.nobody().call("HEAD", "/hello").send().await;
    let post = world.nobody().call("POST", "/hello").send().await;

    assert_eq!((get.status, &*get.body), (200, &b"hello"[..]));
    for name in ["content-type", "content-length"] {
        assert_eq!(head.header(name), get.header(name));
    }
    assert!(get.header("x-request-id").is_some());
    post.fails(405, "Method Not Allowed");
}

pub(super) async fn a_host_has_pages_on_the_apis_own_paths(setup: Setup) {
    let world = setup
        .start_serving(|api| {
            api.with_pages(|request| {
                let wants_page = request.headers.get(header::ACCEPT)?.as_bytes() == b"text/html";
                wants_page.then(|| Response::full(StatusCode::OK, "text/html", "<p>a page"))
            })
        })
        .await;

    for path in ["/users/me", "/nowhere"] {
        let page = world.nobody().with("accept", "text/html").get(path).await;
        assert_eq!((page.status, &*page.body), (200, &b"<p>a page"[..]));
    }
    world.nobody().with("accept", "*/*").get("/users/me").await.fails(401, "Unauthorized");
}

/// Tells when it is dropped.
struct Told(Arc<Notify>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

pub(super) async fn a_stream_that_nobody_reads_is_let_go(setup: Setup) {
    let gone = Arc::new(Notify::new());
    let told = Arc::clone(&gone);
    let endless = move |_| {
        let told = Told(Arc::clone(&told));
        let pieces = std::iter::repeat_with(move || {
            let _ = &told;
            Bytes::from_static(b": x\n\n")
        });
        async { streaming(pieces) }
    };
    let world = setup.start_serving(|api| api.with_get("/endless", endless)).await;
    let mut stream = world.nobody().call("GET", "/endless").open().await;
    assert_eq!(stream.chunk().await.unwrap(), b": x\n\n");

    drop(stream);

    timeout(PATIENCE, gone.notified()).await.expect("it goes on");
}

/// Else what has come of it would be taken for the whole.
pub(super) async fn a_stream_with_a_defect_is_cut(setup: Setup) {
    let made = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&made);
    let broken = move |_| {
        let counting = Arc::clone(&counting);
        let pieces =
            std::iter::repeat_with(move || match counting.fetch_add(1, Ordering::Relaxed) {
                0 => Bytes::from_static(b": x\n\n"),
                _ => panic!("the cause"),
            });
        async { streaming(pieces) }
    };
    let world = setup.start_serving(|api| api.with_get("/broken", broken)).await;

    let answer = world.nobody().call("GET", "/broken").bytes_of_answer().await;

    assert!(answer.contains(": x\n\n"), "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n") && !answer.contains("cause"), "{answer}");
    world.nobody().get("/users/me").await.fails(401, "Unauthorized");
}
