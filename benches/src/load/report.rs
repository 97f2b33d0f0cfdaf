//! What is printed: each row with its aim, ours, and its limit.

use std::time::Duration;

use nexo_bench::stats::Stats;

use crate::{drive::Figures, rows::Row};

/// Who it is that we measure.
pub(crate) const NEXO: &str = "Nexo";

/// Begins a row.
pub(crate) fn row(row: Row) {
    println!("\n{}\n    {:<44}{}", row.name, "aim", row.aim);
}

/// A line of the row: whose it is, and what was measured.
pub(crate) fn line(who: &str, what: &str) {
    println!("    {who:<44}{what}");
}

/// A line of figures.
pub(crate) fn figures(who: &str, figures: &Figures) {
    let processor =
        figures.processor.map(|each| format!("  processor {:.3} ms each", milliseconds(each)));
    line(who, &(stats(&figures.stats) + &processor.unwrap_or_default()));
}

/// Rate, latencies and failures in words.
pub(crate) fn stats(stats: &Stats) -> String {
    let failed = match stats.failed() {
        0 => String::new(),
        failed => format!("  {failed} FAILED"),
    };
    let [half, most] = [0.5, 0.99].map(|part| stats.percentile(part));
    format!("{:>8.0}/s  p50 {half:>8.2} ms  p99 {most:>8.2} ms{failed}", stats.rate())
}

/// How much of the limit's rate ours is.
pub(crate) fn share(ours: &Stats, limit: &Stats) {
    line("share of the limit", &format!("{:>8.1} %", ours.rate() / limit.rate() * 100.0));
}

/// How much longer ours takes than the limit.
pub(crate) fn added(to: &str, ours: &Stats, limit: &Stats) {
    let [half, most] = [0.5, 0.99].map(|part| ours.percentile(part) - limit.percentile(part));
    let who = format!("added to {to}");
    line(&who, &format!("{:>10}  p50 {half:>8.2} ms  p99 {most:>8.2} ms", ""));
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
