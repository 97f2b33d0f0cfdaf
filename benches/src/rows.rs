//! The rows: what is measured, in which setting.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use nexo_bench::{
    account,
    client::{Client, text},
    stats::Stats,
};
use serde_json::json;

const THREADS: usize = 256;
const LONG_THREAD: usize = 1_000;
/// About how long a stream of the agent takes.
const STREAM: Duration = Duration::from_millis(1_280);
const MESSAGE: &str = r#"{"content":"Is the rye bread vegan?"}"#;

/// One request of a row: method, path, body.
type Call = (&'static str, String, &'static str);

/// A server that is measured, with an account and an app of its own.
struct Stage {
    server: String,
    token: String,
    app: String,
}

/// Measures every row for so long.
pub(crate) async fn measure(server: &str, agent: SocketAddr, time: Duration) -> io::Result<()> {
    let stage = Stage::new(server).await?;
    println!("C = concurrent clients, {} s for each row", time.as_secs());
    reads(&stage, time).await?;
    appends(&stage, time).await?;
    runs(&stage, agent, time).await?;
    streams(&stage, agent, time).await
}

async fn reads(stage: &Stage, time: Duration) -> io::Result<()> {
    let get = |path: String| move |_| ("GET", path.clone(), "");
    stage.row("limit: GET /healthz, C=32", 32, time, get("/healthz".into())).await?;
    stage.row("GET /users/me, C=32", 32, time, get("/users/me".into())).await?;
    let thread = stage.thread().await?;
    let mut client = stage.client().await?;
    for _ in 0..LONG_THREAD {
        client.send("POST", &stage.path(&thread, "messages"), MESSAGE).await?;
    }
    let page = stage.path(&thread, "messages?limit=50");
    stage.row("GET 50 of 1,000 messages, C=32", 32, time, get(page)).await?;
    Ok(())
}

async fn appends(stage: &Stage, time: Duration) -> io::Result<()> {
    let paths = stage.threads("messages").await?;
    let append = |n: usize| ("POST", paths[n % THREADS].clone(), MESSAGE);
    stage.row("POST message, 256 threads, C=32", 32, time, append).await?;
    stage.row("POST message, C=1", 1, time, append).await?;
    let one = |_| ("POST", paths[0].clone(), MESSAGE);
    stage.row("POST message, one thread, C=32", 32, time, one).await?;
    Ok(())
}

async fn runs(stage: &Stage, agent: SocketAddr, time: Duration) -> io::Result<()> {
    let paths = stage.spoken_threads("run").await?;
    let run = |n: usize| ("POST", paths[n % THREADS].clone(), "");
    stage.row("run, simulator, C=32", 32, time, run).await?;
    let direct = Stage { server: format!("http://{agent}"), ..stage.same() };
    let call = |_| ("POST", "/".to_owned(), MESSAGE);
    let limit = direct.row("limit: direct call of the agent, C=1", 1, time, call).await?;
    stage.use_webhook(&format!("http://{agent}/")).await?;
    let one = stage.row("run, webhook, C=1", 1, time, run).await?;
    println!("    added to the direct call: {:.2} ms", one.percentile(0.5) - limit.percentile(0.5));
    stage.row("run, webhook, C=32", 32, time, run).await?;
    Ok(())
}

async fn streams(stage: &Stage, agent: SocketAddr, time: Duration) -> io::Result<()> {
    stage.use_webhook(&format!("http://{agent}/stream")).await?;
    let paths = stage.spoken_threads("run/stream").await?;
    let direct = Stage { server: format!("http://{agent}"), ..stage.same() };
    for clients in [1, 32, 256] {
        let call = |_| ("POST", "/stream".to_owned(), MESSAGE);
        direct
            .first_delta(&format!("limit: first delta, direct, C={clients}"), clients, time, call)
            .await?;
        let stream = |n: usize| ("GET", paths[n % THREADS].clone(), "");
        stage
            .first_delta(&format!("first delta of a stream, C={clients}"), clients, time, stream)
            .await?;
    }
    Ok(())
}

impl Stage {
    /// Registers an account and creates an app for it.
    async fn new(server: &str) -> io::Result<Self> {
        let token = account::sign_up(server, "load").await?;
        let mut client = Client::connect(server, Some(&token)).await?;
        let app = client.send("POST", "/apps/", r#"{"name":"load"}"#).await?.json()?;
        Ok(Self { server: server.to_owned(), token, app: text(&app["id"])? })
    }

    fn same(&self) -> Self {
        let Self { server, token, app } = self;
        Self { server: server.clone(), token: token.clone(), app: app.clone() }
    }

    async fn client(&self) -> io::Result<Client> {
        Client::connect(&self.server, Some(&self.token)).await
    }

    fn path(&self, thread: &str, rest: &str) -> String {
        format!("/apps/{}/threads/{thread}/{rest}", self.app)
    }

    async fn thread(&self) -> io::Result<String> {
        let path = format!("/apps/{}/threads", self.app);
        let created = self.client().await?.send("POST", &path, "{}").await?.json()?;
        text(&created["thread"]["id"])
    }

    /// The same path below each of many new threads.
    async fn threads(&self, rest: &str) -> io::Result<Vec<String>> {
        let mut paths = Vec::with_capacity(THREADS);
        for _ in 0..THREADS {
            paths.push(self.path(&self.thread().await?, rest));
        }
        Ok(paths)
    }

    /// The same for threads in which a customer has spoken.
    async fn spoken_threads(&self, rest: &str) -> io::Result<Vec<String>> {
        let mut client = self.client().await?;
        let paths = self.threads("messages").await?;
        for path in &paths {
            client.send("POST", path, MESSAGE).await?;
        }
        Ok(paths.into_iter().map(|path| path.replace("messages", rest)).collect())
    }

    async fn use_webhook(&self, url: &str) -> io::Result<()> {
        let config = json!({"integration": {"mode": "webhook"}});
        let body = json!({"webhook_url": url, "config_json": config}).to_string();
        let answer =
            self.client().await?.send("PATCH", &format!("/apps/{}", self.app), &body).await?;
        if answer.status == 200 { Ok(()) } else { Err(io::Error::other("the webhook was refused")) }
    }

    /// Sends requests from many clients for so long, and measures the whole answers.
    async fn row(
        &self,
        name: &str,
        clients: usize,
        time: Duration,
        call: impl Fn(usize) -> Call,
    ) -> io::Result<Stats> {
        self.drive(name, clients, time, call, false).await
    }

    /// The same for streams, measured until the first delta.
    async fn first_delta(
        &self,
        name: &str,
        clients: usize,
        time: Duration,
        call: impl Fn(usize) -> Call,
    ) -> io::Result<Stats> {
        self.drive(name, clients, time, call, true).await
    }

    async fn drive(
        &self,
        name: &str,
        clients: usize,
        time: Duration,
        call: impl Fn(usize) -> Call,
        stream: bool,
    ) -> io::Result<Stats> {
        let calls: Arc<Vec<Call>> = Arc::new((0..THREADS).map(&call).collect());
        let (next, started) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        let mut tasks = Vec::with_capacity(clients);
        for number in 0..clients {
            let client = self.client().await?;
            let (calls, next) = (Arc::clone(&calls), Arc::clone(&next));
            let late = if stream { stagger(number, clients) } else { Duration::ZERO };
            tasks.push(tokio::spawn(async move {
                tokio::time::sleep(late).await;
                work(client, calls, next, started + time, stream).await
            }));
        }
        let (mut latencies, mut failed) = (Vec::new(), 0);
        for task in tasks {
            let (more, wrong) = task.await.map_err(io::Error::other)?;
            latencies.extend(more);
            failed += wrong;
        }
        let stats = Stats::new(latencies, started.elapsed(), failed);
        stats.print(name);
        Ok(stats)
    }
}

/// Streams of equal length that begin together go on beginning together: what they would
/// measure is a crowd at the door.
fn stagger(number: usize, clients: usize) -> Duration {
    STREAM.mul_f64(number as f64 / clients as f64)
}

/// One client's requests, one after the other. A failed one ends the client.
async fn work(
    mut client: Client,
    calls: Arc<Vec<Call>>,
    next: Arc<AtomicUsize>,
    until: Instant,
    stream: bool,
) -> (Vec<Duration>, usize) {
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let (method, path, body) = &calls[next.fetch_add(1, Ordering::Relaxed) % calls.len()];
        let sent = Instant::now();
        let latency = if stream {
            first_delta(&mut client, method, path, body, sent).await
        } else {
            let answer = client.send(method, path, body).await;
            answer.ok().filter(|answer| answer.status == 200).map(|_| sent.elapsed())
        };
        match latency {
            Some(latency) => latencies.push(latency),
            None => return (latencies, 1),
        }
    }
    (latencies, 0)
}

async fn first_delta(
    client: &mut Client,
    method: &str,
    path: &str,
    body: &str,
    sent: Instant,
) -> Option<Duration> {
    let mut first = None;
    client
        .stream(method, path, body, || {
            first.get_or_insert_with(|| sent.elapsed());
        })
        .await
        .ok()?;
    first
}
