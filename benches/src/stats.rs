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

    /// How many failed: the other figures mean little then.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failed
    }
}
