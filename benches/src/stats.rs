//! Figures of one row: how many there were, and how long they took.

use std::time::Duration;

/// What was measured of one kind of request.
#[derive(Debug)]
pub struct Stats {
    latencies: Vec<Duration>,
    elapsed: Duration,
    failed: usize,
}

impl Stats {
    /// Those of requests that took so long each, over so much time; the failed ones are only counted.
    #[must_use]
    pub fn new(mut latencies: Vec<Duration>, elapsed: Duration, failed: usize) -> Self {
        latencies.sort_unstable();
        Self { latencies, elapsed, failed }
    }

    /// How many a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency below which this part of the requests lay, in milliseconds.
    #[must_use]
    pub fn percentile(&self, part: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        self.latencies.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1_000.0)
    }

    /// Prints the row. A row with failures says so: its figures mean nothing then.
    #[allow(clippy::print_stdout, reason = "printing is what it is for")]
    pub fn print(&self, name: &str) {
        let failed =
            if self.failed > 0 { format!("  {} FAILED", self.failed) } else { String::new() };
        println!(
            "{name:<46} {:>9.0}/s  p50 {:>8.2} ms  p99 {:>8.2} ms{failed}",
            self.rate(),
            self.percentile(0.5),
            self.percentile(0.99),
        );
    }
}
