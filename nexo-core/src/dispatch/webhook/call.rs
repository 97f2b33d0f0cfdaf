//! One request to an agent, from the guard to the last byte of the answer.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::{Request, Response};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::{
    Shared,
    content::{ContentType, is_encoded},
    events::Events,
    headers::request_headers,
    json_reply,
    payload::payload,
    record::Record,
    stream_reply::{self, Step, StreamReply},
    target::{TARGET, Target},
};
use crate::{
    AgentEvent, DeliveryId, Failure, FailureKind, Turn,
    sse::{DecodeError, Decoder},
};

/// The most bytes of an answer that are read although there is no use for them but the record.
const MAX_USELESS_BYTES: u64 = 64 * 1024;

/// Calls the agent and tells what it answers.
pub(super) async fn run(shared: Arc<Shared>, turn: Arc<Turn>, mut events: Events) {
    let (mut call, request) = match Call::prepare(&shared, &turn) {
        Ok(prepared) => prepared,
        Err(failure) => return events.fail(failure).await,
    };
    let outcome = call.perform(request, &mut events).await;
    let failure = outcome.err();
    if call.was_attempted() {
        let delivery = call.record.end(call.target.peer(), failure.as_ref());
        events.send(AgentEvent::Delivery(delivery)).await;
    }
    if let Some(failure) = failure {
        events.fail(failure).await;
    }
}

struct Call<'a> {
    shared: &'a Shared,
    timeout: Duration,
    target: Arc<Target>,
    record: Record,
}

impl<'a> Call<'a> {
    fn prepare(shared: &'a Shared, turn: &Turn) -> Result<(Self, Request), Failure> {
        let url = shared.guard.check_url(&turn.url().unwrap_or_default())?;
        let (id, now) = (DeliveryId::new(), shared.clock.now());
        let body = payload(turn, now);
        let headers = request_headers(&shared.names, turn, id, now, &body);
        let call = Self {
            shared,
            timeout: turn.config.timeout,
            target: Arc::new(shared.target(&url)),
            record: Record::new(id, turn, &url, &headers, &body, now),
        };
        Ok((call, request(url, headers, body)))
    }

    /// Where the guard refused the look-up's answers, there was nothing to deliver.
    fn was_attempted(&self) -> bool {
        self.target.refusal().is_none_or(|refusal| refusal.kind != FailureKind::WebhookUrlBlocked)
    }

    async fn perform(&mut self, request: Request, events: &mut Events) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        let response = self.send(request, deadline).await?;
        self.record.head(&response);
        self.check_head(&response)?;
        match response.status() {
            StatusCode::OK => self.answer(response, deadline, events).await,
            StatusCode::ACCEPTED => {
                self.read_useless(response, deadline).await;
                events.send(AgentEvent::Pending).await;
                Ok(())
            }
            status => {
                self.read_useless(response, deadline).await;
                let why = format!("the status is {}", status.as_u16());
                Err(Failure::new(FailureKind::WebhookBadStatus, why))
            }
        }
    }

    async fn send(&self, request: Request, deadline: Instant) -> Result<Response, Failure> {
        let sent = self.shared.client.execute(request);
        match timeout_at(deadline, TARGET.scope(Arc::clone(&self.target), sent)).await {
            Ok(sent) => sent.map_err(|error| self.not_sent(&error)),
            Err(_) => Err(self.too_slow("no answer began in time")),
        }
    }

    fn not_sent(&self, error: &reqwest::Error) -> Failure {
        match self.target.refusal() {
            Some(refusal) => refusal.clone(),
            None if error.is_connect() => failed("could not connect", error),
            None => failed("the request broke off", error),
        }
    }

    fn check_head(&self, response: &Response) -> Result<(), Failure> {
        let lines = response.headers().iter();
        let bytes: usize = lines.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if bytes > self.shared.limits.head_bytes {
            return Err(too_large("the head of the answer", self.shared.limits.head_bytes as u64));
        }
        Ok(())
    }

    async fn answer(
        &mut self,
        response: Response,
        deadline: Instant,
        events: &mut Events,
    ) -> Result<(), Failure> {
        if is_encoded(response.headers()) {
            let why = "the answer is compressed, which was not asked for";
            return Err(Failure::new(FailureKind::WebhookBadEncoding, why));
        }
        events.send(AgentEvent::Accepted).await;
        match ContentType::of(response.headers()) {
            ContentType::EventStream => self.read_stream(response, events).await,
            content_type => self.read_json(response, &content_type, deadline, events).await,
        }
    }

    async fn read_json(
        &mut self,
        mut response: Response,
        content_type: &ContentType,
        deadline: Instant,
        events: &mut Events,
    ) -> Result<(), Failure> {
        let max = self.shared.limits.body_bytes as u64;
        if response.content_length().is_some_and(|length| length > max) {
            return Err(too_large("the answer", max));
        }
        let mut body = BytesMut::new();
        while let Some(bytes) = self.read(&mut response, deadline, max).await? {
            body.extend_from_slice(&bytes);
        }
        let reply = json_reply::read(&body, content_type)?;
        let max = self.shared.limits.reply_bytes;
        if reply.text.len() > max {
            return Err(too_large("the reply", max as u64));
        }
        events.send(AgentEvent::Reply { text: reply.text, metadata: reply.metadata }).await;
        Ok(())
    }

    /// The clock between events runs only while we wait for the agent: it starts anew when
    /// all events that came were taken.
    async fn read_stream(
        &mut self,
        mut response: Response,
        events: &mut Events,
    ) -> Result<(), Failure> {
        let limits = &self.shared.limits;
        let end = Instant::now() + limits.stream;
        let mut idle = Instant::now() + self.timeout;
        let mut decoder = Decoder::new().with_max_event_bytes(limits.event_bytes);
        let mut reply = StreamReply::new(limits.reply_bytes);
        let mut come = Vec::new();
        loop {
            let max = limits.stream_bytes as u64;
            let Some(bytes) = self.read(&mut response, idle.min(end), max).await? else {
                events.send(reply.broken_off()?).await;
                return Ok(());
            };
            let decoded = decoder.feed(&bytes, &mut come);
            let is_alive = !come.is_empty();
            for event in come.drain(..) {
                match reply.step(&event)? {
                    Step::Text(text) => pass_on(&text, events).await,
                    Step::Done => return finish(&reply, events).await,
                    Step::Ignored => {}
                }
            }
            decoded.map_err(|error| undecodable(error, limits.event_bytes))?;
            if is_alive {
                idle = Instant::now() + self.timeout;
            }
        }
    }

    /// The next bytes of the body, counted before anything is made of them.
    async fn read(
        &mut self,
        response: &mut Response,
        deadline: Instant,
        max: u64,
    ) -> Result<Option<Bytes>, Failure> {
        let read = timeout_at(deadline, response.chunk()).await;
        let read = read.map_err(|_| self.too_slow("the answer stopped, or took too long"))?;
        let bytes = read.map_err(|error| failed("the answer broke off", &error))?;
        match &bytes {
            Some(bytes) if self.record.body(bytes) > max => Err(too_large("the answer", max)),
            _ => Ok(bytes),
        }
    }

    /// Reads the beginning of an answer for the record; whether that works doesn't matter.
    async fn read_useless(&mut self, mut response: Response, deadline: Instant) {
        while let Ok(Some(_)) = self.read(&mut response, deadline, MAX_USELESS_BYTES).await {}
    }

    fn too_slow(&self, what: &str) -> Failure {
        let why = format!("{what}; the timeout is {:?}", self.timeout);
        Failure::new(FailureKind::WebhookTimeout, why)
    }
}

fn request(url: Url, headers: HeaderMap, body: Bytes) -> Request {
    let mut request = Request::new(reqwest::Method::POST, url);
    *request.headers_mut() = headers;
    *request.body_mut() = Some(body.into());
    request
}

async fn pass_on(text: &str, events: &mut Events) {
    for piece in stream_reply::pieces(text) {
        events.send(AgentEvent::Delta(piece.to_owned())).await;
    }
}

async fn finish(reply: &StreamReply, events: &mut Events) -> Result<(), Failure> {
    if let Some(event) = reply.done() {
        events.send(event).await;
    }
    Ok(())
}

fn undecodable(error: DecodeError, max_event_bytes: usize) -> Failure {
    match error {
        DecodeError::TooLarge => too_large("an event", max_event_bytes as u64),
        DecodeError::NotUtf8 => stream_reply::invalid("the event stream is not UTF-8"),
    }
}

fn too_large(what: &str, max: u64) -> Failure {
    let why = format!("{what} has more than {max} bytes");
    Failure::new(FailureKind::WebhookTooLarge, why)
}

/// An error of the client says little without what caused it.
fn failed(what: &str, error: &reqwest::Error) -> Failure {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    let why = format!("{what}: {}", causes.join(": "));
    Failure::new(FailureKind::WebhookRequestFailed, why)
}
