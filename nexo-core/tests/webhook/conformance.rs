//! The webhook dispatcher keeps every promise of a dispatcher.

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use nexo_core::{
    Dispatcher, JsonObject,
    conformance::dispatcher::{self, Calls, Scripted, Stage},
    dispatch::webhook::WebhookDispatcher,
};
use serde_json::json;

use crate::{
    agent::{Act, TestAgent, response, stream_head},
    fixture::dispatcher,
};

/// Agents on sockets, as many as there are scripts.
#[derive(Debug)]
struct Sockets {
    dispatcher: WebhookDispatcher,
    agents: Mutex<Vec<TestAgent>>,
}

#[async_trait]
impl Stage for Sockets {
    fn dispatcher(&self) -> &dyn Dispatcher {
        &self.dispatcher
    }

    fn delivers(&self) -> bool {
        true
    }

    async fn script(&self, script: Vec<dispatcher::Act>) -> Option<Scripted> {
        let calls = Calls::default();
        let agent = TestAgent::counted(acts(&script), calls.clone()).await;
        let config = JsonObject::empty().with("url", agent.url());
        self.agents.lock().unwrap().push(agent);
        let turn = dispatcher::turn("webhook", config, "Go on!");
        Some(Scripted { turn, text: text(&script), calls: Some(calls) })
    }
}

fn text(script: &[dispatcher::Act]) -> String {
    let texts = script.iter().filter_map(|act| match act {
        dispatcher::Act::Say(text) | dispatcher::Act::Reply(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn acts(script: &[dispatcher::Act]) -> Vec<Act> {
    let json = |status, body: serde_json::Value| {
        vec![Act::Write(response(status, "application/json", body.to_string()))]
    };
    match script {
        [dispatcher::Act::Reply(text)] => json("200 OK", json!({ "reply": text })),
        [dispatcher::Act::Refuse] => json("503 Service Unavailable", json!({})),
        [dispatcher::Act::Postpone] => json("202 Accepted", json!({})),
        _ => stream(script),
    }
}

fn stream(script: &[dispatcher::Act]) -> Vec<Act> {
    let delta = |text| event("delta", &json!({ "text": text }));
    let mut acts = vec![stream_head()];
    for act in script {
        acts.push(match act {
            dispatcher::Act::Say(text) => Act::Write(delta(text)),
            dispatcher::Act::Babble(text) => Act::Repeat(delta(text), Duration::ZERO),
            dispatcher::Act::Hang => Act::Hang,
            dispatcher::Act::Fail => Act::Write(event("error", &json!({ "message": "no" }))),
            dispatcher::Act::BreakOff => return acts,
            act => panic!("{act:?} is no part of a stream"),
        });
    }
    acts.push(Act::Write(event("done", &json!({}))));
    acts
}

fn event(name: &str, data: &serde_json::Value) -> Vec<u8> {
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

async fn fresh_stage() -> Sockets {
    Sockets { dispatcher: dispatcher(), agents: Mutex::default() }
}

nexo_core::dispatcher_conformance!(fresh_stage);
