//! Deliveries: what exactly was sent to an agent, and what came back.

use std::{fmt, net::SocketAddr, time::Duration};

use async_trait::async_trait;

use crate::{AppId, DeliveryId, Result, RunId, Scope, Timestamp};

/// The most bytes of a response that a delivery keeps.
pub const MAX_KEPT_RESPONSE_BYTES: usize = 256 * 1024;

/// One request to an agent: exact bytes, headers without secrets, times.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The delivery's id; agents get it as `X-Delivery-Id`.
    pub id: DeliveryId,
    /// The app.
    pub app: AppId,
    /// The run it was made for.
    pub run: RunId,
    /// Which attempt of the run.
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

/// Where deliveries are kept, for as long as their run or shorter.
#[async_trait]
pub trait DeliveryStore: fmt::Debug + Send + Sync + 'static {
    /// Keeps a delivery. One whose run is gone meanwhile is dropped without an error.
    async fn record_delivery(&self, delivery: Delivery) -> Result<()>;

    /// Lists a run's deliveries, oldest first; none if the run is not in the scope.
    async fn list_deliveries(&self, scope: &Scope, run: RunId) -> Result<Vec<Delivery>>;

    /// Deletes up to `limit` deliveries that were sent longer than `age` ago by the store's
    /// clock, the oldest first, and gives how many it were. Fewer than `limit` means that
    /// nothing is left to delete, or only what somebody else is deleting right now.
    async fn prune_deliveries(&self, age: Duration, limit: u32) -> Result<u64>;
}
