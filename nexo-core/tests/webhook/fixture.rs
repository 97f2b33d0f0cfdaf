//! A turn to hand over, and what comes of it.

use std::{collections::HashMap, io, net::IpAddr, sync::Arc, time::Duration};

use futures::StreamExt;
use nexo_core::{
    Agent, AgentEvent, AgentId, App, AppConfig, Delivery, Dispatcher, Failure, FailureKind, Holder,
    Interest, JsonObject, MAIN_AGENT, MAIN_AGENT_KIND, ManualClock, Message, MessageId, Purpose,
    Role, Run, RunId, RunState, Thread, ThreadId, ThreadStatus, Timestamp, Turn,
    dispatch::webhook::{Guard, Loopback, Resolve, WebhookDispatcher},
};

pub(crate) const NOW: i64 = 1_767_225_600;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(NOW * 1_000_000)
}

/// Calls agents on loopback, at a fixed time.
pub(crate) fn dispatcher() -> WebhookDispatcher {
    WebhookDispatcher::new(Guard::new().with_loopback(Loopback::Allowed))
        .with_clock(Arc::new(ManualClock::new(now())))
}

/// The published example of a turn, addressed to `url`.
pub(crate) fn turn(url: &str) -> Turn {
    let app_id = "5b0c1a52-7a5f-4a0e-9f0d-0d6a3f1c2b11".parse().unwrap();
    let thread_id: ThreadId = "9d1f6a0e-2c34-4b7e-8c55-6f2f0f8a7d22".parse().unwrap();
    let agent = AgentId::new();
    let message = message(thread_id, 2, Role::User, "Is the rye bread vegan?", "{}");
    let greeting = message_with_source(thread_id);
    Turn {
        run: Run {
            id: RunId::new(),
            app: app_id,
            thread: thread_id,
            agent,
            handler: None,
            message: message.id,
            message_seq: 2,
            state: RunState::Running,
            attempt: 1,
            handbacks: 0,
            fence: 1,
            epoch: 0,
            server: None,
            reply: None,
            failure: None,
            stop: None,
            available_at: None,
            created_at: now(),
            first_delta_at: None,
            finished_at: None,
            deadline_at: now(),
        },
        app: App {
            id: app_id,
            owner: "owner".parse().unwrap(),
            name: "Bakery desk".to_owned(),
            description: None,
            webhook_url: Some(url.to_owned()),
            webhook_secret: Some("nexo-vector-key".into()),
            previous_secret: None,
            config: JsonObject::empty(),
            default_agent: agent,
            created_at: now(),
            updated_at: now(),
        },
        config: AppConfig {
            timeout: Duration::from_secs(5),
            ..AppConfig::read(&JsonObject::empty())
        },
        agent: Agent {
            id: agent,
            app: app_id,
            name: MAIN_AGENT.to_owned(),
            kind: MAIN_AGENT_KIND.to_owned(),
            config: JsonObject::empty(),
            secret: None,
            grants: JsonObject::empty(),
            created_at: now(),
            updated_at: now(),
        },
        thread: Thread {
            id: thread_id,
            app: app_id,
            subscriber: None,
            title: None,
            status: ThreadStatus::Active,
            customer_id: Some("cust-42".to_owned()),
            holder: Holder::Default,
            epoch: 0,
            version: 1,
            created_at: now(),
            updated_at: now(),
        },
        history: vec![greeting, message.clone()],
        purpose: Purpose::Answer,
        interest: Interest::default(),
        message,
    }
}

/// The same with another timeout.
pub(crate) fn turn_within(url: &str, milliseconds: u64) -> Turn {
    let mut turn = turn(url);
    turn.config.timeout = Duration::from_millis(milliseconds);
    turn
}

fn message_with_source(thread: ThreadId) -> Message {
    message(thread, 1, Role::Assistant, "Welcome! Ask me anything.", r#"{ "source": "system" }"#)
}

fn message(thread: ThreadId, seq: i64, role: Role, content: &str, json: &str) -> Message {
    Message {
        id: "c7e2b9d4-1f63-4c9a-b1d0-3a5e8f9c4e33".parse::<MessageId>().unwrap(),
        thread,
        seq,
        role,
        content: Some(content.to_owned()),
        content_json: json.parse().unwrap(),
        created_at: now(),
    }
}

/// All that a dispatcher gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) events: Vec<AgentEvent>,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) failure: Option<Failure>,
}

impl Outcome {
    /// The deltas together, or the reply.
    pub(crate) fn text(&self) -> String {
        let texts = self.events.iter().filter_map(|event| match event {
            AgentEvent::Delta(text) | AgentEvent::Reply { text, .. } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    pub(crate) fn kind(&self) -> Option<FailureKind> {
        self.failure.as_ref().map(|failure| failure.kind)
    }

    pub(crate) fn delivery(&self) -> &Delivery {
        self.delivery.as_ref().expect("something was sent")
    }
}

/// Runs a turn to its end. The delivery has to come once at most, and last.
pub(crate) async fn outcome(dispatcher: &WebhookDispatcher, turn: Turn) -> Outcome {
    let mut items: Vec<_> = dispatcher.dispatch(Arc::new(turn)).collect().await;
    let failure = items.pop_if(|item| item.is_err()).and_then(Result::err);
    let mut events: Vec<AgentEvent> = items.into_iter().map(Result::unwrap).collect();
    let is_delivery = |event: &AgentEvent| matches!(event, AgentEvent::Delivery(_));
    let delivery = events.pop_if(|event| is_delivery(event)).map(|event| match event {
        AgentEvent::Delivery(delivery) => *delivery,
        _ => unreachable!("only a delivery was taken"),
    });
    assert!(!events.iter().any(is_delivery), "a delivery that is not the last event");
    if let Some(delivery) = &delivery {
        let key = failure.as_ref().map(|failure| failure.kind.key());
        assert_eq!(delivery.error.as_deref(), key);
    }
    Outcome { events, delivery, failure }
}

/// Gives answers that were written down, and moves on to the next with every question.
#[derive(Debug)]
pub(crate) struct ScriptedResolver {
    answers: HashMap<&'static str, Vec<Vec<IpAddr>>>,
    asked: std::sync::Mutex<HashMap<String, usize>>,
}

impl ScriptedResolver {
    pub(crate) fn new(answers: &[(&'static str, &[&[&str]])]) -> Self {
        let parse = |rounds: &[&[&str]]| -> Vec<Vec<IpAddr>> {
            let round = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
            rounds.iter().map(round).collect()
        };
        let answers = answers.iter().map(|(name, rounds)| (*name, parse(rounds))).collect();
        Self { answers, asked: std::sync::Mutex::default() }
    }
}

#[async_trait::async_trait]
impl Resolve for ScriptedResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut asked = self.asked.lock().unwrap();
        let asked = asked.entry(name.to_owned()).or_default();
        *asked += 1;
        let rounds = self.answers.get(name).or_else(|| self.answers.get("*"));
        let rounds = rounds.ok_or_else(|| io::Error::other("no such name"))?;
        Ok(rounds[(*asked - 1).min(rounds.len() - 1)].clone())
    }
}
