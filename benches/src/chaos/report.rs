//! What the experiments found, as a table of promises and figures.

use std::{fmt::Display, time::Duration};

use nexo_bench::stats::Stats;

use crate::{history::Promise, judge::Verdict};

pub(crate) const GIVEN_UP: &str = "runs given up after three lost servers";
/// How many of those things are shown that should not be.
const SHOWN: usize = 10;

/// What one experiment found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    title: String,
    rows: Vec<Row>,
    broken: Vec<String>,
}

#[derive(Debug)]
struct Row {
    name: String,
    figure: String,
    holds: bool,
}

impl Report {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// A figure beside which there is no limit.
    pub(crate) fn figure(&mut self, name: &str, figure: impl Display) {
        self.promise(name, figure, true);
    }

    /// A figure, and whether it is as promised.
    pub(crate) fn promise(&mut self, name: &str, figure: impl Display, holds: bool) {
        self.rows.push(Row { name: name.to_owned(), figure: figure.to_string(), holds });
    }

    /// How long something took, the limit being for nearly all.
    pub(crate) fn times(&mut self, name: &str, times: Vec<Duration>, limit: Duration) {
        let count = times.len();
        let stats = Stats::new(times, Duration::ZERO, 0);
        let [middle, last, most] = [0.5, 0.99, 1.0].map(|part| stats.percentile(part) / 1_000.0);
        let limit = limit.as_secs_f64();
        let figure = format!(
            "p50 {middle:.2} s  p99 {last:.2} s  max {most:.2} s  of {count}, limit {limit} s"
        );
        self.promise(name, figure, last <= limit);
    }

    /// What is promised whatever happens.
    pub(crate) fn verdict(&mut self, verdict: &Verdict) {
        for (promise, name, count) in [
            (Promise::Messages, "acknowledged messages lost or doubled", verdict.acknowledged),
            (Promise::Replies, "replies doubled, or not the last attempt's", verdict.replies),
            (Promise::Ends, "runs without an end and a reply", verdict.runs),
            (Promise::Streams, "streams unlike the stored message", verdict.readings),
        ] {
            let broken = verdict.broken(promise);
            self.promise(name, format!("{broken} of {count}"), broken == 0 && count > 0);
        }
        self.figure("messages of which nobody was told", verdict.unknown);
        let answers = verdict.broken(Promise::Answers);
        self.promise("answers that nobody can do anything with", answers, answers == 0);
        let shown = verdict.wrongs.iter().take(SHOWN);
        self.broken.extend(shown.map(|it| format!("{:?}: {}", it.promise, it.what)));
    }

    /// Where no server is lost three times over, no run is given up because of that.
    pub(crate) fn nothing_given_up(&mut self, verdict: &Verdict) {
        self.promise(GIVEN_UP, verdict.given_up, verdict.given_up == 0);
    }

    /// Something that went wrong with the experiment itself.
    pub(crate) fn failed(mut self, why: impl Display) -> Self {
        self.promise("the experiment broke off", why, false);
        self
    }

    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.holds)
    }

    pub(crate) fn print(&self) {
        println!("\n{}", self.title);
        for Row { name, figure, holds } in &self.rows {
            let mark = if *holds { "" } else { "  BROKEN" };
            println!("  {name:<46} {figure}{mark}");
        }
        for broken in &self.broken {
            println!("    {broken}");
        }
    }
}
