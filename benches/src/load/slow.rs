//! Many slow streams at once: how many are held, and what each takes.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexo_bench::client::Client;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    agent::Pace,
    drive::Call,
    lab::Lab,
    process::{Process, open_files},
    report, rows,
    stage::{MESSAGE, Stage, Target, calls},
    stamps::Stamps,
};

const STREAMS: usize = 4_000;
/// If so many files can't be open.
const FEWER_STREAMS: usize = 2_000;
/// This program has both ends of each stream, and something else besides.
const OTHER_FILES: u64 = 500;
const OPENED_WITHIN: Duration = Duration::from_secs(10);
/// They are ended long before.
const PACE: Pace = Pace::new(100, 5_000);
/// How long the last ones have to begin.
const SETTLING: Duration = Duration::from_secs(2);
/// How long all have to end.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn measure(lab: &Lab) -> io::Result<()> {
    let (count, proxy) = (possible()?, lab.proxy().await?);
    let stage = Stage::new(lab).await?;
    stage.use_agent(&lab.agent, &PACE.path()).await?;
    let runs = calls("GET", &stage.spoken_threads(count).await?, "run/stream", "");
    let direct = vec![("POST", PACE.path(), MESSAGE); count];
    let ours = Held::measure(lab, &stage.target, runs).await?;
    let limit = Held::measure(lab, &proxy.target(), direct).await?;
    report::row(rows::SLOW_STREAMS);
    if count < STREAMS {
        report::line("only so many", &format!("{count:>8}, since too few files may be open"));
    }
    report::line(report::NEXO, &ours.to_string());
    report::line("limit: a bare proxy", &limit.to_string());
    Ok(())
}

fn possible() -> io::Result<usize> {
    let needed = |streams: usize| 2 * streams as u64 + OTHER_FILES;
    let files = open_files()?;
    [STREAMS, FEWER_STREAMS].into_iter().find(|count| needed(*count) <= files).ok_or_else(|| {
        io::Error::other(format!("{files} open files are too few; raise `ulimit -n`"))
    })
}

/// How it went.
#[derive(Debug)]
struct Held {
    streams: usize,
    failed: usize,
    /// In KiB: before, while they were held, and when they had ended.
    resident: Option<[u64; 3]>,
}

/// What the streams tell of themselves.
#[derive(Debug, Default)]
struct Counts {
    held: AtomicUsize,
    failed: AtomicUsize,
    are_told_to_end: AtomicBool,
}

impl Held {
    async fn measure(lab: &Lab, target: &Target, calls: Vec<Call>) -> io::Result<Self> {
        let before = resident(target)?;
        let counts = Arc::new(Counts::default());
        let streams = open(target, calls, &counts).await;
        sleep(SETTLING).await;
        let (held, during) = (counts.held.load(Ordering::Relaxed), resident(target)?);
        counts.are_told_to_end.store(true, Ordering::Relaxed);
        lab.agent.end_streams();
        if timeout(PATIENCE, streams.join_all()).await.is_err() {
            return Err(io::Error::other("streams that were ended do not end"));
        }
        sleep(SETTLING).await;
        let resident = before.zip(during).zip(resident(target)?);
        Ok(Self {
            streams: held,
            failed: counts.failed.load(Ordering::Relaxed),
            resident: resident.map(|((before, during), after)| [before, during, after]),
        })
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} held, {} failed", self.streams, self.failed)?;
        let Some([before, during, after]) = self.resident else { return Ok(()) };
        let each = during.saturating_sub(before) as f64 / self.streams.max(1) as f64;
        let [before, during, after] = [before, during, after].map(|kib| kib as f64 / 1_024.0);
        write!(f, "; {each:.1} KiB each; resident {before:.1} MiB before, ")?;
        write!(f, "{during:.1} while held, {after:.1} afterwards")
    }
}

fn resident(target: &Target) -> io::Result<Option<u64>> {
    target.process.map(Process::resident_kib).transpose()
}

/// Opens one after the other.
async fn open(target: &Target, calls: Vec<Call>, counts: &Arc<Counts>) -> JoinSet<()> {
    let (mut streams, mut pace) = (JoinSet::new(), tokio::time::interval(pause(calls.len())));
    for call in calls {
        pace.tick().await;
        let (target, counts) = (target.clone(), Arc::clone(counts));
        streams.spawn(async move {
            if !follow(&target, &call, &counts).await {
                counts.failed.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    streams
}

fn pause(count: usize) -> Duration {
    OPENED_WITHIN.div_f64(count as f64)
}

/// Whether a stream began, and ended only when it was told to.
async fn follow(target: &Target, call: &Call, counts: &Counts) -> bool {
    let Ok(client) = begin(target, call).await else { return false };
    counts.held.fetch_add(1, Ordering::Relaxed);
    let has_ended = read_on(client).await.is_ok();
    counts.held.fetch_sub(1, Ordering::Relaxed);
    has_ended && counts.are_told_to_end.load(Ordering::Relaxed)
}

/// Opens a stream and reads its first token.
async fn begin(target: &Target, (method, path, body): &Call) -> io::Result<Client> {
    let mut client = target.client().await?;
    client.open_stream(method, path, body).await?;
    let mut stamps = Stamps::default();
    while let Some(piece) = client.next_piece().await? {
        if !stamps.read(&piece).is_empty() {
            return Ok(client);
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

async fn read_on(mut client: Client) -> io::Result<()> {
    while client.next_piece().await?.is_some() {}
    Ok(())
}
