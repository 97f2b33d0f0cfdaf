//! The same on PostgreSQL: `scripts/with-postgres cargo test -p nexo-http-axum`.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;
#[path = "../../nexo-store-postgres/tests/common/mod.rs"]
mod database;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::http::HeaderMap;
use common::serve_router;
use database::Database;
use futures::{StreamExt, future::join_all, stream};
use nexo_core::{
    AgentEvent, AgentStream, AppId, Dispatcher, KeyRing, NewApp, NewMessage, NewThread, Nexo,
    Principal, Role, Scope, Store, ThreadId, Turn,
};
use nexo_http::{Api, ApiError, Authenticator, conformance::Server};
use nexo_store_postgres::{PostgresOptions, PostgresStore};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};

async fn serve(api: Api) -> common::Running {
    serve_router(nexo_http_axum::router(&api)).await
}

nexo_http::http_conformance!(serve, database::fresh_store);

const PATIENCE: Duration = Duration::from_secs(30);
const STREAMS: usize = 50;

/// Everybody is the baker.
#[derive(Debug)]
struct Everybody;

#[async_trait]
impl Authenticator for Everybody {
    async fn authenticate(&self, _: &HeaderMap) -> Result<Option<Principal>, ApiError> {
        Ok(Some(Principal::Owner { owner: "baker".parse().unwrap(), admin: false }))
    }
}

/// An agent that answers when it is let.
#[derive(Clone, Debug)]
struct Slow(Arc<Semaphore>);

impl Dispatcher for Slow {
    fn dispatch(&self, _: Arc<Turn>) -> AgentStream {
        let let_go = Arc::clone(&self.0);
        let answer = async move {
            let_go.acquire().await.expect("it is never closed").forget();
            Ok(AgentEvent::Reply { text: "Yes.".into(), metadata: None })
        };
        stream::once(answer).boxed()
    }
}

/// An app whose agent is called, and threads in which somebody has said something.
async fn asked(store: &dyn Store) -> (AppId, Vec<ThreadId>) {
    let app = NewApp {
        webhook_url: Some("http://agent.example.com/".into()),
        config: r#"{"integration":{"mode":"webhook"}}"#.parse().unwrap(),
        ..NewApp::new("baker".parse().unwrap(), "Bakery")
    };
    let app = store.create_app(app).await.unwrap().id;
    let scope = Scope::App(app);
    let mut threads = Vec::new();
    for _ in 0..STREAMS {
        let (thread, _) = store.create_thread(&scope, app, NewThread::default()).await.unwrap();
        let question = NewMessage::new(Role::User, "Is the rye bread vegan?");
        store.append_message(&scope, app, thread.id, question).await.unwrap();
        threads.push(thread.id);
    }
    (app, threads)
}

async fn get(server: SocketAddr, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// Reads until something was said.
async fn read_to(socket: &mut TcpStream, wanted: &str) {
    let mut read = Vec::new();
    let found = async {
        while !String::from_utf8_lossy(&read).contains(wanted) {
            let count = socket.read_buf(&mut read).await.unwrap();
            assert!(count > 0, "no {wanted}: {}", String::from_utf8_lossy(&read));
        }
    };
    timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{wanted} does not come"));
}

#[tokio::test]
async fn two_connections_serve_fifty_slow_streams_and_reads_beside_them() {
    let database = Database::create().await;
    let options = PostgresOptions::new().with_max_connections(2);
    let keys = KeyRing::generate("k");
    let store = PostgresStore::connect(&database.url(), options, keys).await.unwrap();
    store.migrate().await.unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let (app, threads) = asked(&*store).await;
    let let_go = Arc::new(Semaphore::new(0));
    let slow = Arc::new(Slow(Arc::clone(&let_go)));
    let nexo = Nexo::builder().store(store).dispatcher("webhook", slow).build();
    let api = Api::new(nexo, Arc::new(Everybody));
    let running = serve(api).await;
    let server = running.address();

    let mut streams = join_all(threads.iter().map(async |thread| {
        let mut stream = get(server, &format!("/apps/{app}/threads/{thread}/run/stream")).await;
        read_to(&mut stream, "event: meta").await;
        stream
    }))
    .await;
    for thread in &threads {
        let mut read = get(server, &format!("/threads/{thread}")).await;
        let id = thread.to_string();
        let answered = timeout(Duration::from_secs(5), read_to(&mut read, &id)).await;
        answered.expect("a read waits for the streams");
    }
    let_go.add_permits(STREAMS);

    let ends = streams.iter_mut().map(|stream| read_to(stream, r#""status":"completed""#));
    join_all(ends).await;
}
