//! Runs: the endpoints that have a thread answered, and those that show and stop runs.

mod answer;
mod ask;
mod read;
mod stream;

pub(crate) use answer::{RunResponse, cancel_thread_run, count, outcome, run_stream, run_sync};
pub(crate) use ask::create_run;
pub(crate) use read::{RunRead, cancel_run, get_run, list_runs, list_thread_runs, reply_to_run};
pub(crate) use stream::run_events;

use http::{HeaderName, HeaderValue};
use nexo_core::RunId;

use crate::input::PartnerScope;

pub(crate) const RUN_ID: HeaderName = HeaderName::from_static("x-run-id");

/// Lets partners have threads answered, and stop and answer runs.
pub(crate) struct WriteRuns;

impl PartnerScope for WriteRuns {
    const NAME: &'static str = "runs:write";
}

/// Lets partners see runs.
pub(crate) struct ReadRuns;

impl PartnerScope for ReadRuns {
    const NAME: &'static str = "runs:read";
}

pub(crate) fn run_id(run: RunId) -> HeaderValue {
    HeaderValue::try_from(run.to_string()).expect("an id is ASCII")
}
