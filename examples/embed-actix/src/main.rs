//! Nexo inside an actix service that has its own login, pages and middleware.
//!
//! ```sh
//! cargo run -p embed-actix
//! ```
//!
//! Its callers are programs, each with a key. Whoever has one owns an app in which [`concierge`]
//! answers, under `/chat`. Everything is kept in one SQLite file.
//!
//! ```sh
//! curl -s localhost:3001/me -H 'x-api-key: demo-key-of-the-bakery'      # gives the app's id
//! curl -s localhost:3001/chat/apps/ -H 'x-api-key: demo-key-of-the-bakery'
//! curl -s localhost:3001/chat/openapi.json                              # what else there is
//! ```
//!
//! | Variable | |
//! | --- | --- |
//! | `PORT` | where it listens on 127.0.0.1 (3001) |
//! | `DATA_DIR` | where the database lies, and the keys that seal its secrets (`data-embed-actix`) |

mod callers;

use std::{env, error::Error, fs, net::TcpListener, path::PathBuf, sync::Arc, time::Duration};

use actix_web::{
    App, HttpServer,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS},
    middleware::{Next, from_fn},
    web,
};
use callers::Callers;
use nexo_core::{BoxError, KeyRing, LiveTurn, Nexo, Retention};
use nexo_http::Api;
use nexo_store_sqlite::SqliteStore;
use tokio::{runtime::Handle, signal::unix};

/// How long runs under way may take to end when the service is told to.
const GRACE: Duration = Duration::from_secs(10);
/// How long connections may stay open after that.
const LINGER_SECONDS: u64 = 5;

/// The agent: any `async fn`. What it says is streamed as it says it.
async fn concierge(turn: LiveTurn) -> Result<String, BoxError> {
    turn.say("One moment. ").await;
    let before = turn.message.seq - 1;
    Ok(format!("You said “{}”, after {before} messages of ours.", turn.text()))
}

/// The runtime is tokio's, with actix's workers beside it: what Nexo opens, such as the
/// database, belongs to a runtime that does not end with a worker.
#[tokio::main]
#[expect(clippy::print_stdout, reason = "says where it listens to whoever started it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(env::var("DATA_DIR").unwrap_or("data-embed-actix".to_owned()));
    fs::create_dir_all(&directory)?;
    let keys = KeyRing::in_file(directory.join("keys"))?;
    let store = SqliteStore::open(directory.join("nexo.db"), keys).await?;
    store.migrate().await?;
    let nexo = Nexo::builder().store(Arc::new(store.clone())).agent("concierge", concierge).build();
    // What was under way when the service was last ended goes on from here.
    nexo.engine().sign_on().await?;
    // And what only serves to look back goes after a while.
    tokio::spawn(nexo.retain(Retention::default()));

    let port = env::var("PORT").map_or(Ok(3001), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("embed-actix listens on port {}", listener.local_addr()?.port());
    serve(&nexo, listener).await?;
    store.close().await;
    Ok(())
}

/// Serves the service's own routes, and Nexo's below `/chat`. All of it is behind the same
/// middleware, and one login says who somebody is.
async fn serve(nexo: &Nexo, listener: TcpListener) -> std::io::Result<()> {
    let callers = Callers::new(nexo.clone());
    let api = Api::new(nexo.clone(), Arc::new(callers.clone()));
    let chat = nexo_http_actix::configure(&api, Some(Handle::current()));
    let app = move || {
        App::new()
            .wrap(from_fn(without_sniffing))
            .route("/", web::get().to(async || "The bakery. Its desk is at /chat."))
            .service(web::scope("/chat").configure(chat.clone()))
            .configure(callers.clone().routes())
    };
    let server = HttpServer::new(app)
        // Deltas are small writes, which must not wait for each other.
        .tcp_nodelay(true)
        .shutdown_timeout(LINGER_SECONDS)
        // Runs end before connections do: see below.
        .disable_signals()
        .listen(listener)?
        .run();
    let handle = server.handle();
    let ended = async {
        told_to_end().await;
        // Streams end with their runs; what is not done by then goes on with the next start.
        nexo.engine().shutdown(GRACE).await;
        handle.stop(true).await;
    };
    tokio::select! {
        served = server => served,
        () = ended => Ok(()),
    }
}

/// A middleware of the service's own: it sees Nexo's answers like any others.
async fn without_sniffing(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let mut response = next.call(request).await?;
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    Ok(response)
}

/// Waits for Ctrl-C or SIGTERM.
async fn told_to_end() {
    let mut terminate =
        unix::signal(unix::SignalKind::terminate()).expect("signals can be listened for");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
