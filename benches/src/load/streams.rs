//! Streams of an agent that speaks like a model: how soon they begin, and how long each delta
//! is on its way.

use std::io;

use nexo_bench::stats::Stats;

use crate::{
    agent::Pace,
    drive::{Call, Crowd, Streamed, streams},
    lab::Lab,
    report,
    rows::{self, Row},
    stage::{MESSAGE, Stage, calls},
};

/// Several for each client: whoever comes to a thread finds the stream of the one before ended,
/// and does not join it.
const THREADS: usize = 1_024;

/// One client alone would have few streams in its time if they were long.
const SHORT: Pace = Pace::new(1, 20);
const LONGER: Pace = Pace::new(16, 20);
const LONG: Pace = Pace::new(64, 20);

pub(crate) async fn measure(lab: &Lab) -> io::Result<()> {
    let stage = Stage::new(lab).await?;
    let runs = calls("GET", &stage.spoken_threads(THREADS).await?, "run/stream", "");
    for (row, clients, pace) in
        [(rows::STREAM, 1, SHORT), (rows::STREAMS, 32, LONGER), (rows::MANY_STREAMS, 256, LONG)]
    {
        let three = Three::measure(lab, &stage, &runs, clients, pace).await?;
        three.print(row, |it| &it.first);
        if clients == 256 {
            three.print(rows::TRANSIT, |it| &it.transit);
            three.print_delivered(clients, pace);
        }
    }
    Ok(())
}

/// The same streams on three ways.
struct Three {
    ours: Streamed,
    direct: Streamed,
    proxied: Streamed,
}

impl Three {
    async fn measure(
        lab: &Lab,
        stage: &Stage,
        runs: &[Call],
        clients: usize,
        pace: Pace,
    ) -> io::Result<Self> {
        stage.use_agent(&lab.agent, &pace.path()).await?;
        let (crowd, call) = (Crowd { clients, time: lab.time }, ("POST", pace.path(), MESSAGE));
        let proxy = lab.proxy().await?;
        Ok(Self {
            ours: streams(&stage.target, crowd, runs.to_vec(), pace).await?,
            direct: streams(&lab.agent.target(), crowd, vec![call.clone()], pace).await?,
            proxied: streams(&proxy.target(), crowd, vec![call], pace).await?,
        })
    }

    fn print(&self, row: Row, part: impl Fn(&Streamed) -> &Stats) {
        let [ours, direct, proxied] = [&self.ours, &self.direct, &self.proxied].map(part);
        report::row(row);
        report::line(report::NEXO, &report::stats(ours));
        report::line("limit: the agent called directly", &report::stats(direct));
        report::line("limit: the same through a bare proxy", &report::stats(proxied));
        report::added("the direct call", ours, direct);
    }

    /// What is sent to clients who begin the next stream as soon as one ends.
    fn print_delivered(&self, clients: usize, pace: Pace) {
        let sent = (clients * pace.tokens) as f64 / pace.length().as_secs_f64();
        let delivered = |streamed: &Streamed| {
            let rate = streamed.transit.rate();
            format!("{rate:>8.0}/s, {:.1} % of {sent:.0}/s", rate / sent * 100.0)
        };
        report::row(rows::TOKENS);
        report::line(report::NEXO, &delivered(&self.ours));
        report::line("limit: the agent called directly", &delivered(&self.direct));
        report::line("limit: the same through a bare proxy", &delivered(&self.proxied));
    }
}
