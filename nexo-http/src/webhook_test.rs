//! The webhook tester: calls an address as a run would, and shows what came back.

use std::sync::Arc;

use futures::StreamExt;
use nexo_core::{
    Agent, AgentEvent, App, Clock, Delivery, Dispatcher, Error, Failure, FailureKind,
    MAIN_AGENT_KIND, Scope, SystemClock, Turn,
};
use serde_json::{Value, json};

use crate::{
    Api, ApiError,
    input::{AppAccess, BodyRoom, JsonBody, OwnerOnly, State},
    openapi::wire,
    output::Json,
    runs,
    validate::{Content, fields},
};

const DEFAULT_MESSAGE: &str = "Hello";
const MAX_TEXT_CHARS: usize = 2_000;

fields! {
    /// What to call.
    pub(crate) body WebhookTestRequest as "WebhookTestRequest" {
        /// The address; it need not be the stored one.
        webhook_url: String,
        /// What the customer says; `Hello` if it is not given.
        sample_message: Option<Content>,
    }
}

wire! {
    /// What came back.
    pub(crate) struct WebhookTestResponse {
        /// Whether a run would have had a reply.
        ok: bool,
        /// The response's status, if there was one.
        status_code: Option<u16>,
        /// How long it took, in milliseconds.
        latency_ms: u64,
        /// What went wrong.
        error: Option<String>,
        /// The response's body, if it is JSON.
        response_json: Option<Value>,
        /// The start of the response's body, if it is not what was wanted.
        response_text: Option<String>,
        /// Whether the request was signed.
        signature_sent: bool,
    }
}

/// Calls a webhook with a sample message, by the same code that runs go through, as the app's
/// main agent whichever agent is the default one. Nothing is stored.
pub(crate) async fn webhook_test(
    State(api): State,
    access: AppAccess<OwnerOnly>,
    JsonBody(body): JsonBody<WebhookTestRequest>,
    room: BodyRoom,
) -> Result<Json<WebhookTestResponse>, ApiError> {
    let app = api.store().get_app(&access.scope, access.app).await?;
    runs::count(&api, &access.scope, app.id)?;
    let agent = main_agent(&api, &app).await?;
    if let Err(refusal) = api.webhooks().guard().check_url(&body.webhook_url) {
        return Ok(Json(refused(&refusal)));
    }
    let now = SystemClock.now();
    let signed = !app.signing_secrets(now).is_empty();
    let sample = body.sample_message.map(|message| message.0).filter(|text| !text.is_empty());
    let sample = sample.unwrap_or_else(|| DEFAULT_MESSAGE.to_owned());
    let app = App { webhook_url: Some(body.webhook_url), ..app };
    let turn = Turn::sample(app, agent, sample, now);
    room.leave();
    Ok(Json(call(&api, turn).await.response(signed)))
}

async fn main_agent(api: &Api, app: &App) -> Result<Agent, ApiError> {
    let agents = api.store().list_agents(&Scope::Everything, app.id).await?;
    let main = agents.into_iter().find(|agent| agent.kind == MAIN_AGENT_KIND);
    Ok(main.ok_or(Error::AgentNotFound)?)
}

/// What the call came to.
#[derive(Default)]
struct Outcome {
    delivery: Option<Box<Delivery>>,
    failure: Option<Failure>,
    text: String,
    replied: bool,
}

async fn call(api: &Api, turn: Turn) -> Outcome {
    let mut outcome = Outcome::default();
    let mut events = api.webhooks().dispatch(Arc::new(turn));
    while let Some(event) = events.next().await {
        match event {
            Ok(AgentEvent::Delta(text) | AgentEvent::Reply { text, .. }) => {
                outcome.replied = true;
                outcome.text.push_str(&text);
            }
            Ok(AgentEvent::Delivery(delivery)) => outcome.delivery = Some(delivery),
            Ok(AgentEvent::Pending) => {
                let answers_later = Failure::new(FailureKind::WebhookBadStatus, "status 202");
                outcome.failure = Some(answers_later);
            }
            Ok(AgentEvent::Accepted | AgentEvent::Truncated) => {}
            Err(failure) => outcome.failure = Some(failure),
        }
    }
    outcome
}

impl Outcome {
    fn response(self, signature_sent: bool) -> WebhookTestResponse {
        let blocked = |failure: &&Failure| failure.kind == FailureKind::WebhookUrlBlocked;
        if let Some(failure) = self.failure.as_ref().filter(blocked) {
            return refused(failure);
        }
        let error = self.error();
        let delivery = self.delivery.as_deref();
        let body = delivery.map(|delivery| delivery.response_body.as_slice()).unwrap_or_default();
        let parsed = serde_json::from_slice::<Value>(body).ok();
        let wrong_body = matches!(error, Some("WEBHOOK_TEST_BAD_STATUS" | "WEBHOOK_TEST_NOT_JSON"));
        let answered = error.is_none_or(|error| {
            !matches!(error, "WEBHOOK_TEST_TIMEOUT" | "WEBHOOK_TEST_CONNECTION_ERROR")
        });
        WebhookTestResponse {
            ok: error.is_none(),
            status_code: delivery.and_then(|delivery| delivery.status).filter(|_| answered),
            latency_ms: delivery.map_or(0, milliseconds),
            error: error.map(str::to_owned),
            response_json: if answered { parsed.or_else(|| self.streamed()) } else { None },
            response_text: wrong_body.then(|| start_of(body)),
            signature_sent,
        }
    }

    /// A streamed reply, as if it had come at once.
    fn streamed(&self) -> Option<Value> {
        (self.replied && self.failure.is_none()).then(|| json!({"reply": self.text}))
    }

    fn error(&self) -> Option<&'static str> {
        use FailureKind as K;
        let kind = match &self.failure {
            Some(failure) => failure.kind,
            None if self.replied => return None,
            None => K::WebhookMissingReply,
        };
        Some(match kind {
            K::WebhookTimeout => "WEBHOOK_TEST_TIMEOUT",
            K::WebhookBadStatus => "WEBHOOK_TEST_BAD_STATUS",
            K::WebhookInvalidJson if self.is_json() => "WEBHOOK_TEST_MISSING_REPLY",
            K::WebhookInvalidJson | K::WebhookBadContentType => "WEBHOOK_TEST_NOT_JSON",
            K::WebhookMissingReply | K::NoReply => "WEBHOOK_TEST_MISSING_REPLY",
            K::WebhookInvalidStream | K::WebhookAgentError => "WEBHOOK_TEST_MISSING_REPLY",
            _ => "WEBHOOK_TEST_CONNECTION_ERROR",
        })
    }

    fn is_json(&self) -> bool {
        let body = self.delivery.as_ref().map(|delivery| delivery.response_body.as_slice());
        body.is_some_and(|body| serde_json::from_slice::<Value>(body).is_ok())
    }
}

/// Nothing was sent. The answer does not tell a refused address from another refused one.
fn refused(failure: &Failure) -> WebhookTestResponse {
    let error = match failure.kind {
        FailureKind::WebhookUrlEmpty => "the address is empty",
        FailureKind::WebhookUrlBadScheme => "the scheme must be http or https",
        FailureKind::WebhookUrlNoHost => "the address names no host",
        _ => "the host is blocked",
    };
    WebhookTestResponse {
        ok: false,
        status_code: None,
        latency_ms: 0,
        error: Some(error.to_owned()),
        response_json: None,
        response_text: None,
        signature_sent: false,
    }
}

fn milliseconds(delivery: &Delivery) -> u64 {
    u64::try_from(delivery.ended_after.as_millis()).unwrap_or(u64::MAX)
}

fn start_of(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(MAX_TEXT_CHARS).collect()
}
