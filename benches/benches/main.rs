//! Measures parts of Nexo in one process, each beside a peer that is measured in the same run.
//!
//! ```text
//! cargo bench -p nexo-bench              # everything
//! cargo bench -p nexo-bench -- signature # what has this in its name
//! cargo bench -p nexo-bench -- --test    # each once, without measuring
//! ```
//!
//! What each one measures is in the package's README.

#![allow(clippy::print_stderr, reason = "it says what it leaves out")]

mod dispatch;
mod messages;
mod readers;
mod runs;
mod signature;
mod sse;
mod stores;
mod subscribers;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    // Shorter than what criterion takes by itself: there are many, and what counts is how
    // they stand to each other.
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(50)
        .configure_from_args();
    signature::bench(&mut criterion);
    sse::bench(&mut criterion);
    dispatch::bench(&mut criterion);
    messages::bench(&mut criterion);
    runs::bench(&mut criterion);
    readers::bench(&mut criterion);
    subscribers::bench(&mut criterion);
    criterion.final_summary();
}
