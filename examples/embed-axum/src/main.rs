//! Nexo inside an axum service that has its own login, pages and middleware.
//!
//! ```sh
//! cargo run -p embed-axum
//! ```
//!
//! Whoever has signed in owns an app in which [`concierge`] answers, under `/chat`. Everything
//! is kept in one SQLite file. Sign in, and say something:
//!
//! ```sh
//! curl -si localhost:3000/login -H 'content-type: application/json' \
//!   -d '{"name": "nora", "password": "Bakery#2026"}' # gives a cookie and the app's id
//! curl -s localhost:3000/chat/apps/ -H "cookie: session=$SESSION"
//! curl -s localhost:3000/chat/openapi.json            # what else there is
//! ```
//!
//! | Variable | |
//! | --- | --- |
//! | `PORT` | where it listens on 127.0.0.1 (3000) |
//! | `DATA_DIR` | where the database lies, and the keys that seal its secrets (`data-embed-axum`) |

mod sessions;

use std::{
    env, error::Error, fs, future::IntoFuture, io, path::PathBuf, sync::Arc, time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header::X_CONTENT_TYPE_OPTIONS},
    middleware::{Next, from_fn},
    response::Response,
    routing::get,
    serve::ListenerExt,
};
use futures::FutureExt;
use nexo_core::{BoxError, KeyRing, LiveTurn, Nexo, Retention};
use nexo_http::Api;
use nexo_store_sqlite::SqliteStore;
use sessions::Sessions;
use tokio::{net::TcpListener, signal::unix, sync::oneshot, time::sleep};

/// How long runs under way may take to end when the service is told to.
const GRACE: Duration = Duration::from_secs(10);
/// How long connections may stay open after that.
const LINGER: Duration = Duration::from_secs(5);

/// The agent: any `async fn`. What it says is streamed as it says it.
async fn concierge(turn: LiveTurn) -> Result<String, BoxError> {
    turn.say("One moment. ").await;
    let before = turn.message.seq - 1;
    Ok(format!("You said “{}”, after {before} messages of ours.", turn.text()))
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "says where it listens to whoever started it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(env::var("DATA_DIR").unwrap_or("data-embed-axum".to_owned()));
    fs::create_dir_all(&directory)?;
    let keys = KeyRing::in_file(directory.join("keys"))?;
    let store = SqliteStore::open(directory.join("nexo.db"), keys).await?;
    store.migrate().await?;
    let nexo = Nexo::builder().store(Arc::new(store.clone())).agent("concierge", concierge).build();
    // What was under way when the service was last ended goes on from here.
    nexo.engine().sign_on().await?;
    // And what only serves to look back goes after a while.
    tokio::spawn(nexo.retain(Retention::default()));

    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("embed-axum listens on port {}", listener.local_addr()?.port());
    serve(nexo, listener).await?;
    store.close().await;
    Ok(())
}

/// Serves until it is told to end, and a little longer.
async fn serve(nexo: Nexo, listener: TcpListener) -> io::Result<()> {
    // Deltas are small writes, which must not wait for each other.
    let listener = listener.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    let routes = routes(&nexo);
    let (end, is_over) = oneshot::channel();
    let ended = async move {
        ended(nexo).await;
        let _ = end.send(());
    };
    let served = axum::serve(listener, routes).with_graceful_shutdown(ended).into_future();
    // axum itself waits for ever for a client that says half of something, or reads nothing.
    let given_up = is_over.then(async |_| sleep(LINGER).await);
    tokio::select! {
        served = served => served,
        () = given_up => Ok(()),
    }
}

/// The service's own routes, and Nexo's below `/chat`. All of it is behind the same middleware,
/// and one login says who somebody is.
fn routes(nexo: &Nexo) -> Router {
    let sessions = Sessions::new(nexo.clone());
    let api = Api::new(nexo.clone(), Arc::new(sessions.clone()));
    Router::new()
        .route("/", get(async || "The bakery. Its desk is at /chat."))
        .merge(sessions.routes())
        .nest("/chat", nexo_http_axum::router(&api))
        .layer(from_fn(without_sniffing))
}

/// A middleware of the service's own: it sees Nexo's answers like any others.
async fn without_sniffing(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Waits for Ctrl-C or SIGTERM, and then for the runs under way: their streams end with them,
/// and what is not done by then goes on with the next start. After that axum takes no more
/// connections, and ends those that there are.
async fn ended(nexo: Nexo) {
    let mut terminate =
        unix::signal(unix::SignalKind::terminate()).expect("signals can be listened for");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    nexo.engine().shutdown(GRACE).await;
}
