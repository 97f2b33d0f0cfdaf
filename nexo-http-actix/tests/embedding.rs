//! The API within somebody else's application, and what it writes to a connection.
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

use actix_http::HttpService;
use actix_service::map_config;
use actix_web::{
    App, Error, HttpResponse, HttpServer,
    body::MessageBody,
    dev::{AppConfig, Service, ServiceFactory, ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::{Next, from_fn},
    web,
};
use async_trait::async_trait;
use common::serve_app;
use http::HeaderMap;
use nexo_core::{AppId, NewApp, NewMessage, NewThread, Nexo, Principal, Role, Scope, ThreadId};
use nexo_http::{Api, ApiError, Authenticator, conformance::Server};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::Notify,
    task::LocalSet,
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
async fn api(name: &str) -> (Api, AppId, ThreadId) {
    let nexo = Nexo::builder().build();
    let store = Arc::clone(nexo.store());
    let app = store.create_app(NewApp::new("baker".parse().unwrap(), name)).await.unwrap();
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

/// A middleware of the host's.
async fn marked(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    let mark = HeaderName::from_static("x-host");
    response.headers_mut().insert(mark, HeaderValue::from_static("bakery"));
    Ok(response)
}

#[tokio::test]
async fn the_api_can_stand_in_a_scope_of_the_hosts() {
    let (api, app, _) = api("Bakery").await;
    let nexo = nexo_http_actix::configure(&api, Some(Handle::current()));
    let running = serve_app("/nexo/v1", move || {
        App::new()
            .wrap(from_fn(marked))
            .route("/", web::get().to(async || "the host's own"))
            .service(web::scope("/nexo/v1").configure(nexo.clone()))
            .default_service(web::to(async || HttpResponse::NotFound().body("not the host's")))
    });
    let fetch = async |path: &str| fetch(running.address(), path).await;

    assert!(fetch("/").await.ends_with("the host's own"));
    assert!(fetch("/nowhere").await.ends_with("not the host's"));
    for path in ["/nexo/v1/apps/", "/nexo/v1/apps", &format!("/nexo/v1/apps/{app}")] {
        let answer = fetch(path).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("Bakery"), "{answer}");
        assert!(answer.contains("\r\nx-host: bakery\r\n"), "{answer}");
    }
    let slash = fetch(&format!("/nexo/v1/apps/{app}/threads/?limit=5")).await;
    assert!(slash.starts_with("HTTP/1.1 307"), "{slash}");
    assert!(slash.contains("\r\nlocation: ../threads?limit=5\r\n"), "{slash}");
    let unknown = fetch("/nexo/v1/nowhere").await;
    assert!(unknown.ends_with(r#"{"detail":"Not Found"}"#), "{unknown}");
}

#[tokio::test]
async fn a_host_may_answer_itself_what_the_api_does_not_know() {
    let (api, app, _) = api("Bakery").await;
    let nexo = nexo_http_actix::configure(&api, Some(Handle::current()));
    let running = serve_app("", move || {
        App::new()
            .configure(nexo.clone())
            .default_service(web::to(async || HttpResponse::NotFound().body("the host's own")))
    });

    let known = fetch(running.address(), &format!("/apps/{app}")).await;
    let unknown = fetch(running.address(), "/nowhere").await;

    assert!(known.contains("Bakery"), "{known}");
    assert!(unknown.ends_with("the host's own"), "{unknown}");
}

/// A middleware that tells which pattern a path has, as one for metrics does.
async fn named(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    let pattern = response.request().match_pattern().unwrap_or_default();
    let pattern = HeaderValue::from_str(&pattern).unwrap();
    response.headers_mut().insert(HeaderName::from_static("x-pattern"), pattern);
    Ok(response)
}

#[tokio::test]
async fn the_host_sees_the_pattern_of_each_path() {
    let (api, app, thread) = api("Bakery").await;
    let nexo = nexo_http_actix::configure(&api, Some(Handle::current()));
    // The second is mounted under a word with which the API's own paths begin, too.
    for mount in ["", "/apps"] {
        let nexo = nexo.clone();
        let running = serve_app(mount, move || {
            App::new().wrap(from_fn(named)).service(web::scope(mount).configure(nexo.clone()))
        });
        for (path, pattern) in [
            ("/apps/".to_owned(), "/apps/"),
            (format!("/apps/{app}"), "/apps/{app_id}"),
            (
                format!("/apps/{app}/threads/{thread}/messages"),
                "/apps/{app_id}/threads/{thread_id}/messages",
            ),
        ] {
            let answer = fetch(running.address(), &format!("{mount}{path}")).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{mount}{path}: {answer}");
            let header = format!("\r\nx-pattern: {mount}{pattern}\r\n");
            assert!(answer.contains(&header), "{mount}{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_host_may_have_paths_that_begin_like_the_apis() {
    let (api, app, _) = api("Bakery").await;
    let nexo = nexo_http_actix::configure(&api, Some(Handle::current()));
    let running = serve_app("", move || {
        App::new()
            .route("/apps/{name}/runs", web::get().to(async || "before it"))
            .configure(nexo.clone())
            .route("/apps/{name}/price/today", web::get().to(async || "after it"))
    });
    let fetch = async |path: &str| fetch(running.address(), path).await;

    assert!(fetch("/apps/rye/runs").await.ends_with("before it"));
    assert!(fetch("/apps/rye/price/today").await.ends_with("after it"));
    assert!(fetch(&format!("/apps/{app}")).await.contains("Bakery"));
    assert!(fetch("/apps/rye/price").await.ends_with(r#"{"detail":"Not Found"}"#));
}

#[tokio::test]
async fn two_in_one_process_do_not_meet() {
    let (bakery, bread, _) = api("Bakery").await;
    let (brewery, beer, _) = api("Brewery").await;
    let configure = |api| nexo_http_actix::configure(api, Some(Handle::current()));
    let (bakery, brewery) = (configure(&bakery), configure(&brewery));
    let running = serve_app("", move || {
        App::new()
            .service(web::scope("/bakery").configure(bakery.clone()))
            .service(web::scope("/brewery").configure(brewery.clone()))
    });
    let fetch = async |path: String| fetch(running.address(), &path).await;

    for (own, foreign, name, other) in
        [("/bakery", beer, "Bakery", "Brewery"), ("/brewery", bread, "Brewery", "Bakery")]
    {
        let list = fetch(format!("{own}/apps/")).await;
        assert!(list.contains(name) && !list.contains(other), "{list}");
        let foreign = fetch(format!("{own}/apps/{foreign}")).await;
        assert!(foreign.ends_with(r#"{"detail":"ERROR_APP_NOT_FOUND"}"#), "{foreign}");
    }
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

/// Serves one connection to its end.
async fn serve_one(api: &Api, runtime: Option<Handle>, listener: &TcpListener, writes: Writes) {
    let app = App::new().configure(nexo_http_actix::configure(api, runtime));
    let app = map_config(app, |()| AppConfig::default());
    let service = HttpService::build().h1(app).new_service(()).await.unwrap();
    let (socket, peer) = listener.accept().await.unwrap();
    let _ = service.call((Noting(socket, writes), Some(peer))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_written_by_itself() {
    for runtime in [Some(Handle::current()), None] {
        let (api, app, thread) = api("Bakery").await;
        let writes = Writes::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let path = format!("/apps/{app}/threads/{thread}/run/stream");
        let reading = tokio::spawn(async move { fetch(address, &path).await });

        let noted = Arc::clone(&writes);
        LocalSet::new().run_until(serve_one(&api, runtime, &listener, noted)).await;

        let answer = reading.await.unwrap();
        let writes = writes.lock().unwrap();
        let events: Vec<&String> = writes.iter().filter(|it| it.contains("event: ")).collect();
        assert_eq!(events.len(), answer.matches("event: ").count());
        assert!(events.len() >= 5, "{events:?}");
        for event in events {
            assert_eq!(event.matches("\n\n").count(), 1, "{event:?}");
            assert!(event.ends_with("\n\n\r\n"), "{event:?}");
        }
    }
}

/// Thinks about who calls for ever, and tells when it begins and when it is stopped.
#[derive(Debug)]
struct Pensive {
    began: Arc<Notify>,
    stopped: Arc<Notify>,
}

struct Told(Arc<Notify>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[async_trait]
impl Authenticator for Pensive {
    async fn authenticate(&self, _: &HeaderMap) -> Result<Option<Principal>, ApiError> {
        let _told = Told(Arc::clone(&self.stopped));
        self.began.notify_one();
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_may_have_actix_notice_at_once_that_a_client_is_gone() {
    for runtime in [Some(Handle::current()), None] {
        let (began, stopped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let login = Pensive { began: Arc::clone(&began), stopped: Arc::clone(&stopped) };
        let api = Api::new(Nexo::builder().build(), Arc::new(login));
        let nexo = nexo_http_actix::configure(&api, runtime);
        let server = HttpServer::new(move || App::new().configure(nexo.clone()))
            .workers(1)
            .disable_signals()
            .h1_allow_half_closed(false)
            .bind("127.0.0.1:0")
            .unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        let serving = tokio::spawn(server);
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"GET /apps/ HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        timeout(PATIENCE, began.notified()).await.unwrap();

        drop(socket);

        timeout(PATIENCE, stopped.notified()).await.expect("it goes on");
        handle.stop(false).await;
        serving.await.unwrap().unwrap();
    }
}
