//! Replays: what an agent says if it is asked again what it, or another, was asked before.
//!
//! A replay is put beside the thread, never into it: its reply is not spoken, it waits for no
//! run and no run waits for it, and nobody takes it over. What is left of it is this record.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    AgentId, AppId, Cursor, CursorPage, Failure, ReplayId, Reply, Result, RunId, Scope, Timestamp,
};

/// What came of a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The replay's id; agents get it as `webhook-id`.
    pub id: ReplayId,
    /// The app.
    pub app: AppId,
    /// The run whose turn it was.
    pub run: RunId,
    /// The agent that was asked.
    pub agent: AgentId,
    /// What it said; after a failure, what came before it.
    pub reply: Option<Reply>,
    /// Why it failed; the detail is not for clients.
    pub failure: Option<Failure>,
    /// When it began.
    pub created_at: Timestamp,
    /// When the first piece of its text came.
    pub first_delta_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// The sort key of a list of replays: the newest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayPosition {
    /// Which it is; ids rise with time.
    pub id: ReplayId,
}

impl From<&Replay> for ReplayPosition {
    fn from(replay: &Replay) -> Self {
        Self { id: replay.id }
    }
}

/// Where replays are kept, for as long as their run.
///
/// Every method is one atomic step, done whole or not at all.
#[async_trait]
pub trait ReplayStore: fmt::Debug + Send + Sync + 'static {
    /// Keeps a replay. One whose run is gone meanwhile is dropped without an error.
    async fn record_replay(&self, replay: Replay) -> Result<()>;

    /// Gets a replay.
    ///
    /// # Errors
    ///
    /// [`crate::Error::ReplayNotFound`] if the app has no such replay in the scope.
    async fn get_replay(&self, scope: &Scope, app: AppId, replay: ReplayId) -> Result<Replay>;

    /// Lists the replays of a run, the newest first.
    ///
    /// # Errors
    ///
    /// [`crate::Error::RunNotFound`] if the app has no such run in the scope,
    /// [`crate::Error::InvalidCursor`] if the cursor holds no [`ReplayPosition`].
    async fn list_replays(
        &self,
        scope: &Scope,
        app: AppId,
        run: RunId,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<Replay>>;
}
