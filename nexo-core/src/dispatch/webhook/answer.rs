//! Reading what an agent answers, no further and no longer than it may.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream::BoxStream};
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::{
    call::{Call, failed},
    content::ContentType,
    events::Events,
    json_reply,
    stream_reply::{Progress, StreamReply},
};
use crate::{AgentEvent, Failure, FailureKind};

/// The most bytes of an answer that are read although there is no use for them but the record.
const MAX_USELESS_BYTES: usize = 64 * 1024;

/// The rest of an answer whose head was read.
pub(super) struct Body {
    /// How long it says that it is.
    length: Option<u64>,
    bytes: BoxStream<'static, reqwest::Result<Bytes>>,
}

/// The head goes, and with it the memory that it was read into: a stream may take minutes.
impl From<Response> for Body {
    fn from(response: Response) -> Self {
        Self { length: response.content_length(), bytes: response.bytes_stream().boxed() }
    }
}

impl Call<'_> {
    /// Reads a reply that comes in one piece.
    pub(super) async fn read_json(
        &mut self,
        mut answer: Body,
        content_type: &ContentType,
        deadline: Instant,
        events: &mut Events,
    ) -> Result<(), Failure> {
        let max = self.shared.limits.body_bytes;
        if answer.length.is_some_and(|length| length > max as u64) {
            return Err(too_large("the answer", max));
        }
        let mut body = BytesMut::new();
        while let Some(bytes) = self.read(&mut answer, deadline, max).await? {
            body.extend_from_slice(&bytes);
        }
        let reply = json_reply::read(&body, content_type)?;
        let max = self.shared.limits.reply_bytes;
        if reply.text.len() > max {
            return Err(too_large("the reply", max));
        }
        events.send(AgentEvent::Reply { text: reply.text, metadata: reply.metadata }).await;
        Ok(())
    }

    /// Reads a reply that comes piece by piece. The clock between events runs only while we
    /// wait for the agent: it starts anew when all events that came were taken.
    pub(super) async fn read_stream(
        &mut self,
        mut answer: Body,
        events: &mut Events,
    ) -> Result<(), Failure> {
        let limits = &self.shared.limits;
        let max = limits.stream_bytes;
        let end = after(limits.stream);
        let mut idle = after(self.timeout);
        let mut reply = StreamReply::new(limits);
        let mut news = Vec::new();
        while let Some(bytes) = self.read(&mut answer, idle.min(end), max).await? {
            let progress = reply.feed(&bytes, &mut news);
            for event in news.drain(..) {
                events.send(event).await;
            }
            match progress? {
                Progress::Nothing => {}
                Progress::Events => idle = after(self.timeout),
                Progress::Done => return Ok(()),
            }
        }
        events.send(reply.broken_off()?).await;
        Ok(())
    }

    /// Reads the beginning of an answer for the record; whether that works doesn't matter.
    pub(super) async fn read_useless(&mut self, mut answer: Body, deadline: Instant) {
        while let Ok(Some(_)) = self.read(&mut answer, deadline, MAX_USELESS_BYTES).await {}
    }

    /// The next bytes of the body, counted before anything is made of them.
    async fn read(
        &mut self,
        answer: &mut Body,
        deadline: Instant,
        max: usize,
    ) -> Result<Option<Bytes>, Failure> {
        let read = timeout_at(deadline, answer.bytes.next()).await;
        let read = read.map_err(|_| self.too_slow("the answer stopped, or took too long"))?;
        let bytes = read.transpose().map_err(|error| failed("the answer broke off", &error))?;
        match &bytes {
            Some(bytes) if self.record.body(bytes) > max as u64 => {
                Err(too_large("the answer", max))
            }
            _ => Ok(bytes),
        }
    }
}

/// The instant so much later. A clock that is set further ahead than instants go rings in a
/// year, which nobody will notice.
pub(super) fn after(duration: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let now = Instant::now();
    now.checked_add(duration).unwrap_or_else(|| now + YEAR)
}

pub(super) fn too_large(what: &str, max: usize) -> Failure {
    let why = format!("{what} has more than {max} bytes");
    Failure::new(FailureKind::WebhookTooLarge, why)
}
