//! The same requests to both adapters: the answers are the same bytes, but for the order of
//! their headers.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;
#[path = "../../nexo-http-axum/tests/common/mod.rs"]
mod common_axum;

use std::{sync::Arc, time::Duration};

use actix_web::App;
use async_trait::async_trait;
use common::serve_app;
use http::HeaderMap;
use nexo_core::{NewApp, NewMessage, NewThread, Nexo, Principal, Role, Scope};
use nexo_http::{Api, ApiError, Authenticator, Cors, Settings, conformance::Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
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

/// An API, and the path of a thread in which somebody has said something.
async fn api() -> (Api, String) {
    let nexo = Nexo::builder().build();
    let store = Arc::clone(nexo.store());
    let app = store.create_app(NewApp::new("baker".parse().unwrap(), "Bakery")).await.unwrap();
    let scope = Scope::App(app.id);
    let (thread, _) = store.create_thread(&scope, app.id, NewThread::default()).await.unwrap();
    let question = NewMessage::new(Role::User, "Is the rye bread végan, and is there any left?");
    store.append_message(&scope, app.id, thread.id, question).await.unwrap();
    let api = Api::new(nexo, Arc::new(Everybody));
    let api = api.with_settings(Settings { cors: Cors::Any, ..Settings::default() });
    (api, format!("/apps/{}/threads/{}", app.id, thread.id))
}

/// What comes back: the status line and the headers in order, and the body as it is framed.
async fn exchange(server: &impl Server, request: &str) -> (Vec<String>, String) {
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is reset has said all that it had to say.
    let _ = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("it stays open");
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    let mut head: Vec<String> = head.split("\r\n").map(without_times).collect();
    head[1..].sort_unstable();
    (head, body.to_owned())
}

/// A header, without the value of those that differ each time.
fn without_times(line: &str) -> String {
    let differs = ["date", "x-run-id"].iter().find(|name| line.starts_with(*name));
    differs.map_or(line, |name| name).to_owned()
}

#[tokio::test]
async fn both_adapters_answer_with_the_same_bytes() {
    let (api, thread) = api().await;
    let axum = common_axum::serve_router(nexo_http_axum::router(&api)).await;
    let nexo = nexo_http_actix::configure(&api, Some(Handle::current()));
    let actix = serve_app("", move || App::new().configure(nexo.clone()));
    let bodiless = ["GET", "HEAD", "POST", "PUT", "DELETE", "BREW"];
    let paths = ["/apps/", "/apps", "/nowhere", "/threads/x/", "/apps/x", "/openapi.json", "/%41"];
    let mut requests = Vec::new();
    for path in paths.iter().copied().chain([thread.as_str()]) {
        requests.extend(bodiless.map(|method| format!("{method} {path} HTTP/1.1\r\n\r\n")));
    }
    requests.push(format!("GET {thread}/messages?limit=1&limit=x HTTP/1.1\r\n\r\n"));
    requests.push("OPTIONS /apps/ HTTP/1.1\r\naccess-control-request-method: PUT\r\n\r\n".into());
    requests.push("POST /apps/ HTTP/1.1\r\ncontent-length: 4\r\n\r\n{\"a\"".into());
    requests.push("POST /apps/ HTTP/1.1\r\ncontent-length: 2000000\r\n\r\n".into());
    requests.push(
        "POST /apps/ HTTP/1.1\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx".into(),
    );
    requests.push(format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(5_000)));
    requests.push(format!("GET /apps/ HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(17_000)));

    // Last, since each answers the thread again; its events have the run's id in them.
    let streams = ["GET", "POST"].map(|it| format!("{it} {thread}/run/stream HTTP/1.1\r\n\r\n"));
    let whole = requests.len();
    for (number, request) in requests.into_iter().chain(streams).enumerate() {
        let headers = "\r\nhost: x\r\nconnection: close\r\norigin: http://x\r\nx-request-id: 7\r\n";
        let request = request.replacen("\r\n", headers, 1);
        let mut answers = [exchange(&actix, &request).await, exchange(&axum, &request).await];
        if number >= whole {
            answers.iter_mut().for_each(|(head, body)| {
                head.retain(|line| !line.starts_with("connection: "));
                body.clear();
            });
        }
        assert_eq!(answers[0], answers[1], "{request}");
    }
}
