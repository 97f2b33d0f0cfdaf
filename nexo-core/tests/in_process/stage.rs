//! Agents in this process that do as a script says.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use nexo_core::{
    Answer, BoxError, Dispatcher, Failure, FailureKind, Handler, JsonObject, LiveTurn, RunId,
    conformance::dispatcher::{Act, Calls, Scripted, Stage, turn},
    dispatch::InProcess,
};

type Script = (Vec<Act>, Calls);

/// What is to be done in which run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actor(Arc<Mutex<HashMap<RunId, Script>>>);

impl Handler for Actor {
    async fn answer(&self, turn: LiveTurn) -> Result<Answer, BoxError> {
        let (script, calls) = self.0.lock().unwrap()[&turn.run.id].clone();
        let _call = calls.begin();
        for act in script {
            match act {
                Act::Say(text) => turn.say(text).await,
                Act::Reply(text) => return Ok(text.into()),
                Act::Babble(text) => loop {
                    turn.say(&*text).await;
                },
                Act::Hang => pending().await,
                Act::Fail => return Err("the agent failed".into()),
                Act::Refuse => {
                    let busy = Failure::new(FailureKind::AgentUnavailable, "busy").passing();
                    return Err(busy.into());
                }
                Act::BreakOff => panic!("on purpose"),
                Act::Postpone => unreachable!("it can't do that"),
            }
        }
        Ok(().into())
    }
}

/// Agents in this process.
#[derive(Debug)]
pub(crate) struct Actors {
    dispatcher: Arc<dyn Dispatcher>,
    actor: Actor,
    /// Whether it says that something is sent.
    pub(crate) delivers: bool,
}

impl Actors {
    /// Agents that are reached by a dispatcher which is made of that in this process.
    pub(crate) fn behind(dispatcher: impl FnOnce(InProcess) -> Arc<dyn Dispatcher>) -> Self {
        let actor = Actor::default();
        let in_process = InProcess::default().with("actor", actor.clone());
        Self { dispatcher: dispatcher(in_process), actor, delivers: false }
    }
}

#[async_trait]
impl Stage for Actors {
    fn dispatcher(&self) -> &dyn Dispatcher {
        &*self.dispatcher
    }

    fn delivers(&self) -> bool {
        self.delivers
    }

    async fn script(&self, script: Vec<Act>) -> Option<Scripted> {
        if script.contains(&Act::Postpone) {
            return None;
        }
        let texts = script.iter().filter_map(|act| match act {
            Act::Say(text) | Act::Reply(text) => Some(text.as_str()),
            _ => None,
        });
        let text = texts.collect();
        let config = JsonObject::empty().with("handler", "actor");
        let (turn, calls) = (turn("in_process", config, "Go on!"), Calls::default());
        self.actor.0.lock().unwrap().insert(turn.run.id, (script, calls.clone()));
        Some(Scripted { turn, text, calls: Some(calls) })
    }
}
