//! The simulator: a built-in agent that answers without anybody behind it.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};

use super::{AgentEvent, AgentStream, Dispatcher, Turn};
use crate::{Failure, FailureKind, Scenario};

/// How many characters a delta of the simulator has.
const DELTA_CHARS: usize = 20;
const DISCLAIMER: &str = "[Simulated] ";
const EMPTY_PROMPT: &str = "I did not catch that. What would you like to know?";

/// What a shop's support says; which sentence follows from the length of the message.
const SUPPORT: [&str; 5] = [
    "Thanks for getting in touch! Could you tell me your order number?",
    "Understood, I am looking into this for you right now.",
    "Your order is being processed and will ship within 1-2 business days.",
    "Your refund is on its way and should arrive in 5-7 business days.",
    "Is there anything else I can do for you today?",
];

/// Answers as the app's scenario says, in deltas of 20 characters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Simulator;

impl Dispatcher for Simulator {
    fn dispatch(&self, turn: Arc<Turn>) -> AgentStream {
        let latency = turn.config.latency;
        stream::iter(answer(&turn))
            .then(move |event| async move {
                wait(latency).await;
                event
            })
            .boxed()
    }
}

/// Waiting for nothing would still cost a turn of the timer.
async fn wait(latency: Duration) {
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
}

fn answer(turn: &Turn) -> Vec<Result<AgentEvent, Failure>> {
    if turn.config.scenario == Scenario::Error {
        return vec![Err(Failure::new(FailureKind::SimulatorError, "the scenario is `error`"))];
    }
    let reply = reply(turn);
    let characters: Vec<char> = reply.chars().collect();
    characters
        .chunks(DELTA_CHARS)
        .map(|piece| Ok(AgentEvent::Delta(piece.iter().collect())))
        .collect()
}

fn reply(turn: &Turn) -> String {
    let said = turn.text();
    let reply = match turn.config.scenario {
        Scenario::EcommerceSupport => SUPPORT[said.chars().count() % SUPPORT.len()].to_owned(),
        _ if said.is_empty() => EMPTY_PROMPT.to_owned(),
        _ => format!("Echo: {said}"),
    };
    if turn.config.disclaimer { format!("{DISCLAIMER}{reply}") } else { reply }
}
