//! Events: what the agents of runs under way have said, for readers on other servers.
//!
//! A run's text is stored in segments, a little after it was shown to those who read it on the
//! run's own server. Once the run has ended, its stored reply is the truth.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{AppId, Result, Run, RunId};

/// The most text that one segment has, in bytes.
pub const MAX_SEGMENT_BYTES: usize = 16 * 1024;

/// A piece of what a run's agent said in one attempt. It is never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The run.
    pub run: RunId,
    /// The run's app.
    pub app: AppId,
    /// Which attempt of the run.
    pub attempt: i32,
    /// How many bytes of the attempt's text come before it.
    pub position: u32,
    /// What was said.
    pub said: Said,
}

/// What a segment says; kept as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The text: not empty, and at most [`MAX_SEGMENT_BYTES`] long.
    pub text: String,
    /// Who says it: told with the first segment of an attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<Speaker>,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speaker {
    /// What kind of agent it is, such as `webhook`.
    pub source: String,
    /// Why it is not the one that was configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Segment {
    /// What is said, as it is kept.
    #[must_use]
    pub fn data(&self) -> String {
        serde_json::to_string(&self.said).expect("texts are always JSON")
    }
}

/// A wish to know how a run stands, and what was said since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowRun {
    /// The run.
    pub run: RunId,
    /// The attempt whose text is known.
    pub attempt: i32,
    /// How many bytes of it are known: all of some segments.
    pub bytes: u32,
}

/// How a run stands, and what there is to know more of it.
#[derive(Clone, Debug, PartialEq)]
pub struct FollowedRun {
    /// The run.
    pub run: Run,
    /// What its current attempt said since, in order.
    pub segments: Vec<Segment>,
}

/// Where the text of runs under way is kept.
#[async_trait]
pub trait EventStore: fmt::Debug + Send + Sync + 'static {
    /// Appends segments of any number of runs, all in one step. One that is there already stays
    /// as it is, so that appending again does no harm. Those of runs that are gone are dropped
    /// without an error; a run's segments go with the run.
    async fn append_segments(&self, segments: &[Segment]) -> Result<()>;

    /// Tells how runs stand, whoever's they are, in one step and in the order of their ids; one
    /// that is missing is gone. With a run that has not ended come the segments of its current
    /// attempt: from the first that is not known, which is its very first if the attempt that is
    /// known is another one.
    ///
    /// Of each run come up to `max_bytes` of text, and at least one segment if there is any. What
    /// is left is for the next time.
    async fn follow_runs(&self, runs: &[FollowRun], max_bytes: u32) -> Result<Vec<FollowedRun>>;

    /// Deletes up to `limit` segments of runs that ended longer than `age` ago by the store's
    /// clock, and gives how many it were. Fewer than `limit` means that nothing is left to
    /// delete, or only what somebody else is deleting right now.
    async fn prune_segments(&self, age: Duration, limit: u32) -> Result<u64>;
}
