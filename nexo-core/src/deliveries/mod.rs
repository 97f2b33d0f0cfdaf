//! Deliveries: what exactly was sent to an agent, and what came back.

mod frames;

use std::{fmt, net::SocketAddr, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use frames::{Frame, Frames, MAX_FRAMES_BYTES};

use crate::{
    AgentId, AppId, Cursor, CursorPage, DeliveryId, ReplayId, Result, RunId, Scope, Timestamp,
};

/// The most bytes of a response that a delivery keeps.
pub const MAX_KEPT_RESPONSE_BYTES: usize = 256 * 1024;

/// One request to an agent: exact bytes, headers without secrets, times.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The delivery's id; agents get it as `X-Delivery-Id`.
    pub id: DeliveryId,
    /// The app.
    pub app: AppId,
    /// The run it was made for, or whose turn was replayed.
    pub run: RunId,
    /// The agent it was sent to.
    pub agent: AgentId,
    /// The replay it was made for, if it was one.
    pub replay: Option<ReplayId>,
    /// The delivery whose bytes were sent again, if it is such a one.
    pub repeats: Option<DeliveryId>,
    /// Which attempt of the run or the replay.
    pub attempt: i32,
    /// Where it went: the address as it was called.
    pub url: String,
    /// The request's headers; the values of secret ones are `***`.
    pub request_headers: Vec<(String, String)>,
    /// The request's body, byte for byte.
    pub request_body: Vec<u8>,
    /// The network address that was dialled, once there was one.
    pub peer: Option<SocketAddr>,
    /// The response's status, once there was one.
    pub status: Option<u16>,
    /// The response's headers.
    pub response_headers: Vec<(String, String)>,
    /// The response's body, up to [`MAX_KEPT_RESPONSE_BYTES`].
    pub response_body: Vec<u8>,
    /// How many bytes came in all.
    pub response_bytes: u64,
    /// When which part of the response's body came.
    pub frames: Frames,
    /// The key of what went wrong, if something did.
    pub error: Option<String>,
    /// What exactly went wrong.
    pub error_detail: Option<String>,
    /// When it was sent.
    pub started_at: Timestamp,
    /// From sending to the response's head.
    pub first_byte_after: Option<Duration>,
    /// From sending to the end.
    pub ended_after: Duration,
}

/// A delivery as it stands in a list: all but headers and bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverySummary {
    /// The delivery's id.
    pub id: DeliveryId,
    /// The app.
    pub app: AppId,
    /// The run it was made for, or whose turn was replayed.
    pub run: RunId,
    /// The agent it was sent to.
    pub agent: AgentId,
    /// The replay it was made for, if it was one.
    pub replay: Option<ReplayId>,
    /// The delivery whose bytes were sent again, if it is such a one.
    pub repeats: Option<DeliveryId>,
    /// Which attempt of the run or the replay.
    pub attempt: i32,
    /// Where it went.
    pub url: String,
    /// How many bytes the request's body had.
    pub request_bytes: u64,
    /// The response's status, once there was one.
    pub status: Option<u16>,
    /// How many bytes of a response came.
    pub response_bytes: u64,
    /// The key of what went wrong, if something did.
    pub error: Option<String>,
    /// When it was sent.
    pub started_at: Timestamp,
    /// From sending to the response's head.
    pub first_byte_after: Option<Duration>,
    /// From sending to the end.
    pub ended_after: Duration,
}

impl From<&Delivery> for DeliverySummary {
    fn from(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id,
            app: delivery.app,
            run: delivery.run,
            agent: delivery.agent,
            replay: delivery.replay,
            repeats: delivery.repeats,
            attempt: delivery.attempt,
            url: delivery.url.clone(),
            request_bytes: delivery.request_body.len() as u64,
            status: delivery.status,
            response_bytes: delivery.response_bytes,
            error: delivery.error.clone(),
            started_at: delivery.started_at,
            first_byte_after: delivery.first_byte_after,
            ended_after: delivery.ended_after,
        }
    }
}

/// Which deliveries of an app to list; every set field narrows.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeliveryFilter {
    /// Only those of this run, its replays' among them.
    pub run: Option<RunId>,
    /// Only those of this replay.
    pub replay: Option<ReplayId>,
    /// Only those to this agent.
    pub agent: Option<AgentId>,
    /// Only those with which something went wrong.
    pub failed: bool,
    /// Only those that were answered with this status.
    pub status: Option<u16>,
    /// Only those sent then or later.
    pub since: Option<Timestamp>,
    /// Only those sent before.
    pub until: Option<Timestamp>,
}

impl DeliveryFilter {
    /// Those of a run.
    #[must_use]
    pub fn of_run(run: RunId) -> Self {
        Self { run: Some(run), ..Self::default() }
    }

    /// Whether a delivery passes.
    #[must_use]
    pub fn takes(&self, delivery: &Delivery) -> bool {
        self.run.is_none_or(|run| delivery.run == run)
            && self.replay.is_none_or(|replay| delivery.replay == Some(replay))
            && self.agent.is_none_or(|agent| delivery.agent == agent)
            && (!self.failed || delivery.error.is_some())
            && self.status.is_none_or(|status| delivery.status == Some(status))
            && self.since.is_none_or(|since| delivery.started_at >= since)
            && self.until.is_none_or(|until| delivery.started_at < until)
    }
}

/// The sort key of a list of deliveries: the newest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeliveryPosition {
    /// When it was sent, in microseconds since the Unix epoch.
    pub at: i64,
    /// Which of those sent then.
    pub id: DeliveryId,
}

impl From<&DeliverySummary> for DeliveryPosition {
    fn from(delivery: &DeliverySummary) -> Self {
        Self { at: delivery.started_at.as_micros(), id: delivery.id }
    }
}

/// Where deliveries are kept, for as long as their run or shorter.
#[async_trait]
pub trait DeliveryStore: fmt::Debug + Send + Sync + 'static {
    /// Keeps a delivery. One whose run is gone meanwhile is dropped without an error.
    async fn record_delivery(&self, delivery: Delivery) -> Result<()>;

    /// Gets a delivery, whole.
    ///
    /// # Errors
    ///
    /// [`crate::Error::DeliveryNotFound`] if the app has no such delivery in the scope.
    async fn get_delivery(
        &self,
        scope: &Scope,
        app: AppId,
        delivery: DeliveryId,
    ) -> Result<Delivery>;

    /// Lists the deliveries of an app, the one sent last first, then by id.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] if there is no such app in the scope,
    /// [`crate::Error::InvalidCursor`] if the cursor holds no [`DeliveryPosition`].
    async fn list_deliveries(
        &self,
        scope: &Scope,
        app: AppId,
        filter: &DeliveryFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<DeliverySummary>>;

    /// Deletes up to `limit` deliveries that were sent longer than `age` ago by the store's
    /// clock, the oldest first, and gives how many it were. Fewer than `limit` means that
    /// nothing is left to delete, or only what somebody else is deleting right now.
    async fn prune_deliveries(&self, age: Duration, limit: u32) -> Result<u64>;
}
