//! The record of one delivery, written while it happens.

use bytes::Bytes;
use http::{HeaderMap, header::SET_COOKIE};
use tokio::time::Instant;
use url::Url;

use crate::{
    Delivery, DeliveryId, Failure, Frames, MAX_KEPT_RESPONSE_BYTES, Purpose, Timestamp, Turn,
};

#[derive(Debug)]
pub(super) struct Record {
    delivery: Delivery,
    started: Instant,
}

impl Record {
    pub(super) fn new(
        id: DeliveryId,
        turn: &Turn,
        url: &Url,
        headers: &HeaderMap,
        body: &Bytes,
        now: Timestamp,
    ) -> Self {
        let delivery = Delivery {
            id,
            app: turn.app.id,
            run: turn.run.id,
            agent: turn.agent.id,
            replay: turn.replay(),
            repeats: match &turn.purpose {
                Purpose::Resend(delivery) => Some(delivery.id),
                Purpose::Answer | Purpose::Replay(_) => None,
            },
            attempt: turn.run.attempt,
            url: url.to_string(),
            request_headers: shown(headers),
            request_body: body.to_vec(),
            peer: None,
            status: None,
            response_headers: Vec::new(),
            response_body: Vec::new(),
            response_bytes: 0,
            frames: Frames::default(),
            error: None,
            error_detail: None,
            started_at: now,
            first_byte_after: None,
            ended_after: std::time::Duration::ZERO,
        };
        Self { delivery, started: Instant::now() }
    }

    pub(super) fn head(&mut self, response: &reqwest::Response) {
        self.delivery.first_byte_after = Some(self.started.elapsed());
        self.delivery.status = Some(response.status().as_u16());
        self.delivery.response_headers = shown(response.headers());
        self.delivery.peer = response.remote_addr();
    }

    /// For headers that are more than anyone wants to keep.
    pub(super) fn forget_headers(&mut self) {
        self.delivery.response_headers.clear();
    }

    /// Counts what came, keeps the beginning, and gives how much has come in all.
    pub(super) fn body(&mut self, bytes: &[u8]) -> u64 {
        let after = self.started.elapsed();
        let delivery = &mut self.delivery;
        let room = MAX_KEPT_RESPONSE_BYTES - delivery.response_body.len();
        delivery.response_body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if room > 0 {
            delivery.frames.push(bytes.len(), after);
        }
        delivery.response_bytes += bytes.len() as u64;
        delivery.response_bytes
    }

    pub(super) fn end(
        mut self,
        peer: Option<std::net::SocketAddr>,
        failure: Option<&Failure>,
    ) -> Box<Delivery> {
        self.delivery.ended_after = self.started.elapsed();
        self.delivery.peer = self.delivery.peer.or(peer);
        self.delivery.error = failure.map(|failure| failure.kind.key().to_owned());
        self.delivery.error_detail = failure.map(|failure| failure.detail.clone());
        Box::new(self.delivery)
    }
}

/// Signatures are shown, as they don't give the secret away; a cookie is a secret itself.
fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let text = String::from_utf8_lossy(value.as_bytes());
            let text = if name == SET_COOKIE { "***".into() } else { text };
            (name.as_str().to_owned(), text.into_owned())
        })
        .collect()
}
