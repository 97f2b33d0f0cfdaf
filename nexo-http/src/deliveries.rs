//! Deliveries: the endpoints that show what was sent to agents and what came back, and that
//! send it again.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nexo_core::{
    AgentId, AppId, Delivery, DeliveryFilter, DeliveryId, Frame, ReplayId, RunId, Timestamp,
};

use crate::{
    ApiError,
    input::{AppAccess, DeliveryAccess, PartnersWith, Query, RunAccess, State},
    openapi::wire,
    output::Json,
    pages::{Continued, Paged, cursor},
    runs::{ReadRuns, WriteRuns, count},
    validate::{Flag, Int, fields},
};

wire! {
    /// A delivery in a list: one request to an agent, without what was said.
    pub(crate) struct DeliverySummary {
        /// The delivery's id; agents get it as `X-Delivery-Id`.
        id: DeliveryId,
        /// The app it belongs to.
        app_id: AppId,
        /// The run it was made for, or whose turn was replayed.
        run_id: RunId,
        /// The agent it was sent to.
        agent_id: AgentId,
        /// The replay it was made for.
        replay_id: Option<ReplayId>,
        /// The delivery whose bytes were sent again.
        repeats_id: Option<DeliveryId>,
        /// Which attempt of the run or the replay.
        attempt: i64,
        /// Where it went.
        url: String,
        /// How many bytes the request's body had.
        request_bytes: u64,
        /// The response's status, if there was one.
        status: Option<u16>,
        /// How many bytes of a response came.
        response_bytes: u64,
        /// The key of what went wrong.
        error: Option<String>,
        /// When it was sent.
        started_at: Timestamp,
        /// Microseconds from sending to the response's head.
        first_byte_micros: Option<u64>,
        /// Microseconds from sending to the end.
        duration_micros: u64,
    }
}

impl Paged for DeliverySummary {
    const NAME: &'static str = "DeliverySummary";
}

wire! {
    /// A header that was sent or came; the value of a secret one is `***`.
    pub(crate) struct HeaderRead {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    }
}

wire! {
    /// A piece of a response, as it came off the network.
    pub(crate) struct FrameRead {
        /// Where it begins in the response's body, in bytes.
        start: u64,
        /// How many bytes it had.
        bytes: u64,
        /// Microseconds from sending to its arrival.
        micros: u64,
    }
}

wire! {
    /// A delivery, whole.
    pub(crate) struct DeliveryRead {
        /// The delivery's id; agents get it as `X-Delivery-Id`.
        id: DeliveryId,
        /// The app it belongs to.
        app_id: AppId,
        /// The run it was made for, or whose turn was replayed.
        run_id: RunId,
        /// The agent it was sent to.
        agent_id: AgentId,
        /// The replay it was made for.
        replay_id: Option<ReplayId>,
        /// The delivery whose bytes were sent again.
        repeats_id: Option<DeliveryId>,
        /// Which attempt of the run or the replay.
        attempt: i64,
        /// Where it went.
        url: String,
        /// The network address that was dialled.
        peer: Option<String>,
        /// The request's headers.
        request_headers: Vec<HeaderRead>,
        /// The request's body, byte for byte, in base64.
        request_base64: String,
        /// The same as text, if it is UTF-8.
        request_text: Option<String>,
        /// How many bytes the request's body had.
        request_bytes: u64,
        /// The response's status, if there was one.
        status: Option<u16>,
        /// The response's headers.
        response_headers: Vec<HeaderRead>,
        /// The response's body, byte for byte, in base64; its first 256 KiB.
        response_base64: String,
        /// The same as text, if it is UTF-8.
        response_text: Option<String>,
        /// How many bytes of a response came.
        response_bytes: u64,
        /// In which pieces the response's body came, and when.
        frames: Vec<FrameRead>,
        /// The key of what went wrong.
        error: Option<String>,
        /// What exactly went wrong.
        error_detail: Option<String>,
        /// When it was sent.
        started_at: Timestamp,
        /// Microseconds from sending to the response's head.
        first_byte_micros: Option<u64>,
        /// Microseconds from sending to the end.
        duration_micros: u64,
    }
}

impl From<nexo_core::DeliverySummary> for DeliverySummary {
    fn from(delivery: nexo_core::DeliverySummary) -> Self {
        Self {
            id: delivery.id,
            app_id: delivery.app,
            run_id: delivery.run,
            agent_id: delivery.agent,
            replay_id: delivery.replay,
            repeats_id: delivery.repeats,
            attempt: delivery.attempt.into(),
            url: delivery.url,
            request_bytes: delivery.request_bytes,
            status: delivery.status,
            response_bytes: delivery.response_bytes,
            error: delivery.error,
            started_at: delivery.started_at,
            first_byte_micros: delivery.first_byte_after.map(micros),
            duration_micros: micros(delivery.ended_after),
        }
    }
}

impl From<Delivery> for DeliveryRead {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            app_id: delivery.app,
            run_id: delivery.run,
            agent_id: delivery.agent,
            replay_id: delivery.replay,
            repeats_id: delivery.repeats,
            attempt: delivery.attempt.into(),
            url: delivery.url,
            peer: delivery.peer.map(|peer| peer.to_string()),
            request_headers: headers(delivery.request_headers),
            request_base64: STANDARD.encode(&delivery.request_body),
            request_bytes: delivery.request_body.len() as u64,
            request_text: text(delivery.request_body, false),
            status: delivery.status,
            response_headers: headers(delivery.response_headers),
            response_base64: STANDARD.encode(&delivery.response_body),
            response_text: {
                let is_cut = delivery.response_bytes > delivery.response_body.len() as u64;
                text(delivery.response_body, is_cut)
            },
            response_bytes: delivery.response_bytes,
            frames: delivery.frames.iter().map(FrameRead::from).collect(),
            error: delivery.error,
            error_detail: delivery.error_detail,
            started_at: delivery.started_at,
            first_byte_micros: delivery.first_byte_after.map(micros),
            duration_micros: micros(delivery.ended_after),
        }
    }
}

impl From<Frame> for FrameRead {
    fn from(frame: Frame) -> Self {
        Self { start: frame.start, bytes: frame.bytes, micros: micros(frame.after) }
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn headers(pairs: Vec<(String, String)>) -> Vec<HeaderRead> {
    pairs.into_iter().map(|(name, value)| HeaderRead { name, value }).collect()
}

/// The bytes as text, if they are one. Where the rest was cut off, so may be the last character.
fn text(bytes: Vec<u8>, is_cut: bool) -> Option<String> {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return Some(text),
        Err(error) => error,
    };
    let (end, in_the_middle) = (error.utf8_error().valid_up_to(), error.utf8_error().error_len());
    let mut bytes = error.into_bytes();
    bytes.truncate(end);
    if is_cut && in_the_middle.is_none() { String::from_utf8(bytes).ok() } else { None }
}

fields! {
    /// Which deliveries of an app to list.
    pub(crate) query DeliveriesQuery as "DeliveriesQuery" {
        /// How many at most.
        limit: Int<1, 200, 25>,
        /// Where to go on.
        cursor: Option<String>,
        /// Only those of this run and its replays.
        run_id: Option<RunId>,
        /// Only those of this replay.
        replay_id: Option<ReplayId>,
        /// Only those to this agent.
        agent_id: Option<AgentId>,
        /// Only those with which something went wrong.
        failed: Option<Flag>,
        /// Only those that were answered with this status.
        status: Option<Int<100, 999, 200>>,
        /// Only those sent then or later.
        since: Option<Timestamp>,
        /// Only those sent before.
        until: Option<Timestamp>,
    }
}

fields! {
    /// Which deliveries of a run to list.
    pub(crate) query RunDeliveriesQuery as "RunDeliveriesQuery" {
        /// How many at most.
        limit: Int<1, 200, 25>,
        /// Where to go on.
        cursor: Option<String>,
        /// Only those of this replay.
        replay_id: Option<ReplayId>,
    }
}

impl DeliveriesQuery {
    fn filter(&self) -> DeliveryFilter {
        DeliveryFilter {
            run: self.run_id,
            replay: self.replay_id,
            agent: self.agent_id,
            failed: self.failed.is_some_and(|failed| failed.0),
            status: self.status.and_then(|status| u16::try_from(status.0).ok()),
            since: self.since,
            until: self.until,
        }
    }
}

/// Lists an app's deliveries, the newest first.
pub(crate) async fn list_deliveries(
    State(api): State,
    access: AppAccess<PartnersWith<ReadRuns>>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<Continued<DeliverySummary>>, ApiError> {
    let (filter, limit, cursor) = (query.filter(), query.limit.get(), cursor(query.cursor));
    let (scope, app) = (&access.scope, access.app);
    let page = api.store().list_deliveries(scope, app, &filter, cursor.as_ref(), limit).await?;
    Ok(Json(Continued::new(page)))
}

/// Lists the deliveries of a run and its replays, the newest first.
pub(crate) async fn list_run_deliveries(
    State(api): State,
    access: RunAccess<PartnersWith<ReadRuns>>,
    Query(query): Query<RunDeliveriesQuery>,
) -> Result<Json<Continued<DeliverySummary>>, ApiError> {
    let (scope, app) = (&access.scope, access.app);
    let run = api.store().get_run(scope, access.run).await?.of(app)?;
    let filter = DeliveryFilter { replay: query.replay_id, ..DeliveryFilter::of_run(run.id) };
    let (limit, cursor) = (query.limit.get(), cursor(query.cursor));
    let page = api.store().list_deliveries(scope, app, &filter, cursor.as_ref(), limit).await?;
    Ok(Json(Continued::new(page)))
}

/// Gets a delivery, whole.
pub(crate) async fn get_delivery(
    State(api): State,
    access: DeliveryAccess<PartnersWith<ReadRuns>>,
) -> Result<Json<DeliveryRead>, ApiError> {
    let delivery = api.store().get_delivery(&access.scope, access.app, access.delivery).await?;
    Ok(Json(delivery.into()))
}

/// Sends the bytes of a delivery again to where its agent is called now, signed anew, and gives
/// what came back. It has no effect on the run or the thread.
pub(crate) async fn resend_delivery(
    State(api): State,
    access: DeliveryAccess<PartnersWith<WriteRuns>>,
) -> Result<Json<DeliveryRead>, ApiError> {
    count(&api, &access.scope, access.app)?;
    let delivery = api.engine().resend(&access.scope, access.app, access.delivery).await?;
    Ok(Json(delivery.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_shown_as_none() {
        let euro = "1 €".as_bytes();
        for (bytes, is_cut, expected) in [
            (euro, false, Some("1 €")),
            (&euro[..4], false, None),
            (&euro[..4], true, Some("1 ")),
            (b"a\xff\xe2\x82", true, None),
            (b"", true, Some("")),
        ] {
            assert_eq!(text(bytes.to_vec(), is_cut).as_deref(), expected, "{bytes:?}");
        }
    }
}
