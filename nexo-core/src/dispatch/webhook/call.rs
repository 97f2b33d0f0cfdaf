//! One request to an agent, from the guard to the last byte of the answer.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::{Request, Response};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::{
    Shared,
    answer::{after, too_large},
    content::{ContentType, is_encoded},
    events::Events,
    headers::request_headers,
    payload::body,
    record::Record,
    target::{TARGET, Target},
};
use crate::{AgentEvent, DeliveryId, Failure, FailureKind, Turn};

/// Calls the agent and tells what it answers.
pub(super) async fn run(shared: Arc<Shared>, turn: Arc<Turn>, mut events: Events) {
    let (mut call, request) = match Call::prepare(&shared, &turn) {
        Ok(prepared) => prepared,
        Err(failure) => return events.fail(failure).await,
    };
    let performed = turn.interest.while_wanted(pin!(call.perform(request, &mut events))).await;
    let failure = performed.err();
    // What was sent until then is told also where the rest was not wanted any more.
    if call.was_attempted() {
        let delivery = call.record.end(call.target.peer(), failure.as_ref());
        events.send(AgentEvent::Delivery(delivery)).await;
    }
    if let Some(failure) = failure {
        events.fail(failure).await;
    }
}

pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) timeout: Duration,
    target: Arc<Target>,
    pub(super) record: Record,
}

impl<'a> Call<'a> {
    fn prepare(shared: &'a Shared, turn: &Turn) -> Result<(Self, Request), Failure> {
        let url = shared.guard.check_url(&turn.url().unwrap_or_default())?;
        let (id, now) = (DeliveryId::new(), shared.clock.now());
        let body = body(turn, now);
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
        let deadline = after(self.timeout);
        let response = self.send(request, deadline).await?;
        self.record.head(&response);
        self.check_head(&response)?;
        match response.status() {
            StatusCode::OK => self.answer(response, deadline, events).await,
            StatusCode::ACCEPTED => {
                self.read_useless(response.into(), deadline).await;
                events.send(AgentEvent::Pending).await;
                Ok(())
            }
            status => {
                self.read_useless(response.into(), deadline).await;
                Err(bad_status(status))
            }
        }
    }

    async fn send(&self, request: Request, deadline: Instant) -> Result<Response, Failure> {
        let sent = self.shared.client().execute(request);
        match timeout_at(deadline, TARGET.scope(Arc::clone(&self.target), sent)).await {
            Ok(sent) => sent.map_err(|error| self.not_sent(&error)),
            Err(_) => Err(self.too_slow("no answer began in time")),
        }
    }

    fn not_sent(&self, error: &reqwest::Error) -> Failure {
        match self.target.refusal() {
            Some(refusal) => refusal.clone(),
            None if error.is_connect() => failed("could not connect", error).passing(),
            None => failed("the request broke off", error),
        }
    }

    fn check_head(&mut self, response: &Response) -> Result<(), Failure> {
        let lines = response.headers().iter();
        let bytes: usize = lines.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let max = self.shared.limits.head_bytes;
        if bytes > max {
            self.record.forget_headers();
            return Err(too_large("the head of the answer", max));
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
            ContentType::EventStream => self.read_stream(response.into(), events).await,
            content_type => self.read_json(response.into(), &content_type, deadline, events).await,
        }
    }

    pub(super) fn too_slow(&self, what: &str) -> Failure {
        let why = format!("{what}; the timeout is {:?}", self.timeout);
        Failure::new(FailureKind::WebhookTimeout, why)
    }
}

/// Gateways answer with these when they could not reach the agent, or it is only busy.
fn bad_status(status: StatusCode) -> Failure {
    let why = format!("the status is {}", status.as_u16());
    let failure = Failure::new(FailureKind::WebhookBadStatus, why);
    match status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            failure.passing()
        }
        _ => failure,
    }
}

fn request(url: Url, headers: HeaderMap, body: Bytes) -> Request {
    let mut request = Request::new(reqwest::Method::POST, url);
    *request.headers_mut() = headers;
    *request.body_mut() = Some(body.into());
    request
}

/// An error of the client says little without what caused it.
pub(super) fn failed(what: &str, error: &reqwest::Error) -> Failure {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    let why = format!("{what}: {}", causes.join(": "));
    Failure::new(FailureKind::WebhookRequestFailed, why)
}
