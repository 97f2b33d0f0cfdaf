//! The rows: what is measured, and what we aim at.
//!
//! The aims are for a machine of two cores that server, database, agent and client share, with
//! a PostgreSQL that waits for the disk.

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) aim: &'static str,
}

const fn row(name: &'static str, aim: &'static str) -> Row {
    Row { name, aim }
}

pub(crate) const SLOW_STREAMS: Row = row(
    "slow streams, 4,000 opened within 10 s",
    "all held without an error; at most 24 KiB each, given back afterwards",
);
pub(crate) const ME: Row =
    row("GET /users/me, C=32", "at least 15,000/s, at most 0.06 ms of the processor each");
pub(crate) const MESSAGES: Row = row("GET 50 of 1,000 messages, C=32", "at least 4,000/s");
pub(crate) const APPEND: Row = row(
    "POST message, 256 threads, C=32",
    "at least 3,500/s, p50 at most 9 ms, at most 0.12 ms of the processor each",
);
pub(crate) const APPEND_ALONE: Row = row("POST message, C=1", "p50 at most 0.8 ms");
pub(crate) const APPEND_CONTENDED: Row = row("POST message, one thread, C=32", "at least 1,200/s");
pub(crate) const SIMULATED_RUN: Row = row("run, simulator, C=32", "at least 1,500/s");
pub(crate) const WEBHOOK_RUN: Row =
    row("run, webhook, C=1", "at most 2 ms added to the direct call");
pub(crate) const WEBHOOK_RUNS: Row = row("run, webhook, C=32", "at least 1,200/s");
pub(crate) const STREAM: Row = row("first delta of a stream, C=1", "p50 at most 2 ms");
pub(crate) const STREAMS: Row = row("first delta of a stream, C=32", "p50 at most 5 ms");
pub(crate) const MANY_STREAMS: Row = row("first delta of a stream, C=256", "p50 at most 25 ms");
pub(crate) const TRANSIT: Row =
    row("a delta's way from the agent, C=256", "p99 at most 6 ms more than directly");
pub(crate) const TOKENS: Row = row("tokens delivered, C=256, one per 20 ms", "all that are sent");
pub(crate) const FIRST_PAGE: Row =
    row("first page of 50 of 100,000 subscribers, C=1", "p50 at most 2 ms");
pub(crate) const DEEP_PAGE: Row =
    row("page of 50 in the middle of 100,000 subscribers, C=1", "p50 at most 2 ms");
