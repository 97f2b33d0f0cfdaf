//! The router within somebody else's, and what it writes to a connection.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use axum::{Router, http::HeaderMap, routing::get, serve::Listener};
use common::serve_router;
use nexo_core::{AppId, NewApp, NewMessage, NewThread, Nexo, Principal, Role, Scope, ThreadId};
use nexo_http::{Api, ApiError, Authenticator, conformance::Server};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Everybody is the baker.
#[derive(Debug)]
struct Everybody;

#[async_trait]
impl Authenticator for Everybody {
    async fn authenticate(&self, _: &HeaderMap) -> Result<Option<Principal>, ApiError> {
        Ok(Some(Principal::Owner { owner: "baker".parse().unwrap(), admin: false }))
    }
}

/// An API, and a thread in which somebody has said something.
async fn api() -> (Api, AppId, ThreadId) {
    let nexo = Nexo::builder().build();
    let store = Arc::clone(nexo.store());
    let app = store.create_app(NewApp::new("baker".parse().unwrap(), "Bakery")).await.unwrap();
    let scope = Scope::App(app.id);
    let (thread, _) = store.create_thread(&scope, app.id, NewThread::default()).await.unwrap();
    let question = NewMessage::new(Role::User, "Is the rye bread vegan, and is there any left?");
    store.append_message(&scope, app.id, thread.id, question).await.unwrap();
    (Api::new(nexo, Arc::new(Everybody)), app.id, thread.id)
}

/// Everything that comes back for a GET.
async fn fetch(server: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(server).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn the_router_can_stand_below_a_path_of_the_hosts() {
    let (api, app, _) = api().await;
    let host = Router::new()
        .route("/", get(async || "the host's own"))
        .nest("/nexo/v1", nexo_http_axum::router(&api));
    let running = serve_router(host).await;
    let fetch = async |path: &str| fetch(running.address(), path).await;

    assert!(fetch("/").await.ends_with("the host's own"));
    for path in ["/nexo/v1/apps/", "/nexo/v1/apps", &format!("/nexo/v1/apps/{app}")] {
        let answer = fetch(path).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("Bakery"), "{answer}");
    }
    let slash = fetch(&format!("/nexo/v1/apps/{app}/threads/?limit=5")).await;
    assert!(slash.starts_with("HTTP/1.1 307"), "{slash}");
    assert!(slash.contains("\r\nlocation: ../threads?limit=5\r\n"), "{slash}");
    let unknown = fetch("/nexo/v1/nowhere").await;
    assert!(unknown.ends_with(r#"{"detail":"Not Found"}"#), "{unknown}");
}

/// Each write to a connection.
type Writes = Arc<Mutex<Vec<String>>>;

/// Notes what is written to it.
struct Noting(TcpStream, Writes);

impl AsyncRead for Noting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Noting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = written {
            let text = String::from_utf8(bytes[..count].to_vec()).unwrap();
            self.1.lock().unwrap().push(text);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

struct NotingListener(TcpListener, Writes);

impl Listener for NotingListener {
    type Io = Noting;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (socket, address) = self.0.accept().await.unwrap();
        (Noting(socket, Arc::clone(&self.1)), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

#[tokio::test]
async fn every_event_is_written_by_itself() {
    let (api, app, thread) = api().await;
    let writes = Writes::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = NotingListener(listener, Arc::clone(&writes));
    let serving = tokio::spawn(async move {
        axum::serve(listener, nexo_http_axum::router(&api)).await.unwrap();
    });

    let answer = fetch(address, &format!("/apps/{app}/threads/{thread}/run/stream")).await;

    serving.abort();
    let writes = writes.lock().unwrap();
    let events: Vec<&String> = writes.iter().filter(|it| it.contains("event: ")).collect();
    assert_eq!(events.len(), answer.matches("event: ").count());
    assert!(events.len() >= 5, "{events:?}");
    for event in events {
        assert_eq!(event.matches("\n\n").count(), 1, "{event:?}");
        assert!(event.ends_with("\n\n\r\n"), "{event:?}");
    }
}
