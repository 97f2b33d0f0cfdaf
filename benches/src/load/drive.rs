//! Many clients at once, each with one request after the other.

use std::{
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use nexo_bench::{client::Client, stats::Stats};
use tokio::time::sleep;

use crate::{agent::Pace, process::Process, stage::Target, stamps::Stamps};

/// One request: method, path, body.
pub(crate) type Call = (&'static str, String, &'static str);

/// How many clients there are, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    pub(crate) clients: usize,
    pub(crate) time: Duration,
}

/// What requests took.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) stats: Stats,
    /// What each took of the processor, by the process that answered.
    pub(crate) processor: Option<Duration>,
}

/// What streams took.
#[derive(Debug)]
pub(crate) struct Streamed {
    /// Until the first delta came.
    pub(crate) first: Stats,
    /// What each delta was on its way, and how many came a second while all clients were there.
    pub(crate) transit: Stats,
}

/// What clients take turns at.
#[derive(Clone, Debug)]
struct Turns {
    calls: Arc<Vec<Call>>,
    next: Arc<AtomicUsize>,
    until: Instant,
}

impl Turns {
    fn next(&self) -> Option<&Call> {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.calls.len();
        (Instant::now() < self.until).then(|| &self.calls[next])
    }
}

/// Sends requests and measures the whole answers.
pub(crate) async fn requests(
    target: &Target,
    crowd: Crowd,
    calls: Vec<Call>,
) -> io::Result<Figures> {
    let before = processor_time(target)?;
    let started = Instant::now();
    let done =
        each_client(
            target,
            crowd,
            calls,
            |_, client, turns| async move { ask(client, turns).await },
        );
    let (mut latencies, mut failed) = (Vec::new(), 0);
    for (some, wrong) in done.await? {
        latencies.extend(some);
        failed += wrong;
    }
    let count = u32::try_from(latencies.len()).unwrap_or(u32::MAX).max(1);
    let stats = Stats::new(latencies, started.elapsed(), failed);
    let spent = before.zip(processor_time(target)?).map(|(before, now)| now - before);
    Ok(Figures { stats, processor: spent.map(|spent| spent / count) })
}

fn processor_time(target: &Target) -> io::Result<Option<Duration>> {
    target.process.map(Process::processor_time).transpose()
}

/// A failed request ends the client.
async fn ask(mut client: Client, turns: Turns) -> (Vec<Duration>, usize) {
    let mut latencies = Vec::new();
    while let Some((method, path, body)) = turns.next() {
        let sent = Instant::now();
        match client.send(method, path, body).await {
            Ok(answer) if answer.status == 200 => latencies.push(sent.elapsed()),
            _ => return (latencies, 1),
        }
    }
    (latencies, 0)
}

/// Has streams of this pace sent, and measures each delta.
///
/// Streams of equal length that begin together go on beginning together, and what they would
/// measure is a crowd at the door: so the clients come one after the other, within a stream's
/// length. Nothing is counted before the last one has had a whole stream.
pub(crate) async fn streams(
    target: &Target,
    crowd: Crowd,
    calls: Vec<Call>,
    pace: Pace,
) -> io::Result<Streamed> {
    let (window, warm_up) = (crowd.time, 2 * pace.length());
    let from = Instant::now() + warm_up;
    let crowd = Crowd { time: window + warm_up, ..crowd };
    let done = each_client(target, crowd, calls, move |place, client, turns| async move {
        sleep(pace.length().mul_f64(place)).await;
        listen(client, turns, pace, from).await
    });
    let mut all = Heard::default();
    for heard in done.await? {
        all.add(heard);
    }
    let first = Stats::new(all.first, window, all.failed);
    Ok(Streamed { first, transit: Stats::new(all.transit, window, all.failed) })
}

/// What a client heard.
#[derive(Debug, Default)]
struct Heard {
    first: Vec<Duration>,
    transit: Vec<Duration>,
    failed: usize,
}

impl Heard {
    fn add(&mut self, other: Self) {
        self.first.extend(other.first);
        self.transit.extend(other.transit);
        self.failed += other.failed;
    }
}

/// A failed stream ends the client: so does one of which a token is missing.
async fn listen(mut client: Client, turns: Turns, pace: Pace, from: Instant) -> Heard {
    let mut heard = Heard::default();
    while let Some(call) = turns.next() {
        match listen_once(&mut client, call, &mut heard, from..turns.until).await {
            Ok(tokens) if tokens == pace.tokens => {}
            _ => {
                heard.failed += 1;
                break;
            }
        }
    }
    heard
}

/// Gives how many tokens came.
async fn listen_once(
    client: &mut Client,
    (method, path, body): &Call,
    heard: &mut Heard,
    counted: Range<Instant>,
) -> io::Result<usize> {
    let (sent, mut tokens, mut stamps) = (Instant::now(), 0, Stamps::default());
    client.open_stream(method, path, body).await?;
    while let Some(piece) = client.next_piece().await? {
        let ages = stamps.read(&piece);
        if tokens == 0 && !ages.is_empty() && counted.contains(&sent) {
            heard.first.push(sent.elapsed());
        }
        tokens += ages.len();
        if counted.contains(&Instant::now()) {
            heard.transit.extend(ages);
        }
    }
    Ok(tokens)
}

/// Lets each client work: it is told its place among all, from 0 to 1.
async fn each_client<W, F>(
    target: &Target,
    crowd: Crowd,
    calls: Vec<Call>,
    work: W,
) -> io::Result<Vec<F::Output>>
where
    W: Fn(f64, Client, Turns) -> F,
    F: Future<Output: Send> + Send + 'static,
{
    let until = Instant::now() + crowd.time;
    let turns = Turns { calls: Arc::new(calls), next: Arc::default(), until };
    let mut tasks = Vec::with_capacity(crowd.clients);
    for number in 0..crowd.clients {
        let place = number as f64 / crowd.clients as f64;
        tasks.push(tokio::spawn(work(place, target.client().await?, turns.clone())));
    }
    let mut done = Vec::with_capacity(tasks.len());
    for task in tasks {
        done.push(task.await.map_err(io::Error::other)?);
    }
    Ok(done)
}
