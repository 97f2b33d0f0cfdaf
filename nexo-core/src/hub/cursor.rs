//! Cursors of runs: what a reader has seen of one.

use std::{fmt, str::FromStr};

use crate::{MAX_REPLY_BYTES, Run, RunId};

/// What a reader has seen of a run: `<run id>.<attempt>.<bytes>.<events>`.
///
/// Bytes are those of the reply's text in UTF-8, events are all others but the first. How the
/// text was cut into deltas does not matter, so that a cursor means the same on every server
/// and after the run's end.
///
/// ```
/// use nexo_core::RunCursor;
///
/// let cursor: RunCursor = "018f2d3e-9f5a-7c1b-8d2e-3f4a5b6c7d8e.1.120.0".parse().unwrap();
/// assert_eq!((cursor.attempt, cursor.bytes, cursor.events), (1, 120, 0));
/// assert_eq!(cursor.to_string().parse(), Ok(cursor));
/// assert!("018f2d3e-9f5a-7c1b-8d2e-3f4a5b6c7d8e.1.+1.0".parse::<RunCursor>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunCursor {
    /// Which run.
    pub run: RunId,
    /// Which attempt of it; 0 before the first began.
    pub attempt: i32,
    /// How many bytes of the reply's text.
    pub bytes: u32,
    /// How many other events.
    pub events: u32,
}

/// A text that is no cursor of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no cursor of a run")]
pub struct InvalidRunCursor;

impl RunCursor {
    /// Whether a reader can have seen so much of a run that stands like this. An attempt says
    /// nothing before it begins, and no more than an agent may; another event than text comes
    /// once the run has ended, and its end is stored before anybody is told.
    pub(crate) fn fits(&self, run: &Run) -> bool {
        let is_over = run.state.is_terminal() && self.attempt == run.attempt;
        let has_begun = self.attempt > 0 || (self.bytes == 0 && (self.events == 0 || is_over));
        let is_short = is_over || self.bytes as usize <= MAX_REPLY_BYTES;
        let is_early = self.attempt == run.attempt && !is_over;
        self.attempt <= run.attempt && has_begun && is_short && (self.events == 0 || !is_early)
    }
}

impl fmt::Display for RunCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.run, self.attempt, self.bytes, self.events)
    }
}

impl FromStr for RunCursor {
    type Err = InvalidRunCursor;

    /// Takes only what [`RunCursor`] writes.
    fn from_str(text: &str) -> Result<Self, InvalidRunCursor> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(InvalidRunCursor);
        let cursor = Self {
            run: next()?.parse().map_err(|_| InvalidRunCursor)?,
            attempt: next()?.parse().map_err(|_| InvalidRunCursor)?,
            bytes: next()?.parse().map_err(|_| InvalidRunCursor)?,
            events: next()?.parse().map_err(|_| InvalidRunCursor)?,
        };
        let exact = cursor.attempt >= 0 && cursor.to_string() == text;
        exact.then_some(cursor).ok_or(InvalidRunCursor)
    }
}
