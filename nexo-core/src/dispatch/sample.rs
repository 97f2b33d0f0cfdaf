//! Sample turns: what an agent is asked when somebody only wants to see what it answers.

use uuid::Uuid;

use super::{Interest, Purpose, Turn};
use crate::{
    Agent, App, AppConfig, Holder, JsonObject, Message, MessageId, Role, Run, RunId, RunState,
    Thread, ThreadId, ThreadStatus, Timestamp,
};

/// Who asks.
const CUSTOMER: &str = "test-customer";

impl Turn {
    /// A turn of a thread that does not exist, in which `text` is the only message. Agents can
    /// tell it by its ids: the thread's is nil, and the message's differs from that by one.
    ///
    /// It is not to be stored; a dispatcher takes it as any other.
    #[must_use]
    pub fn sample(app: App, agent: Agent, text: impl Into<String>, now: Timestamp) -> Self {
        let thread = thread(&app, now);
        let message = message(&thread, text.into(), now);
        Self {
            run: run(&app, &agent, &message, now),
            config: AppConfig::read(&app.config),
            app,
            agent,
            thread,
            message,
            history: Vec::new(),
            purpose: Purpose::Answer,
            interest: Interest::default(),
        }
    }
}

fn thread(app: &App, now: Timestamp) -> Thread {
    Thread {
        id: ThreadId::from_uuid(Uuid::nil()),
        app: app.id,
        subscriber: None,
        title: None,
        status: ThreadStatus::Active,
        customer_id: Some(CUSTOMER.to_owned()),
        holder: Holder::Default,
        epoch: 0,
        version: 0,
        created_at: now,
        updated_at: now,
    }
}

fn message(thread: &Thread, text: String, now: Timestamp) -> Message {
    Message {
        id: MessageId::from_uuid(Uuid::from_u128(1)),
        thread: thread.id,
        seq: 1,
        role: Role::User,
        content: Some(text),
        content_json: JsonObject::empty(),
        created_at: now,
    }
}

fn run(app: &App, agent: &Agent, message: &Message, now: Timestamp) -> Run {
    Run {
        id: RunId::new(),
        app: app.id,
        thread: message.thread,
        agent: agent.id,
        handler: agent.handler(),
        message: message.id,
        message_seq: message.seq,
        state: RunState::Running,
        attempt: 1,
        handbacks: 0,
        fence: 1,
        epoch: 0,
        server: None,
        stop: None,
        reply: None,
        failure: None,
        available_at: None,
        created_at: now,
        first_delta_at: None,
        finished_at: None,
        deadline_at: now,
    }
}
