//! The simulator keeps every promise of a dispatcher, as far as it can be brought to anything.

use async_trait::async_trait;
use nexo_core::{
    Dispatcher, JsonObject, Scenario,
    conformance::dispatcher::{Act, Scripted, Stage, turn},
    dispatch::Simulator,
};

#[derive(Debug)]
struct Simulated;

/// It echoes, or it fails; nobody can count how often it is asked.
#[async_trait]
impl Stage for Simulated {
    fn dispatcher(&self) -> &dyn Dispatcher {
        &Simulator
    }

    fn delivers(&self) -> bool {
        false
    }

    async fn script(&self, script: Vec<Act>) -> Option<Scripted> {
        let said = script.iter().map(|act| match act {
            Act::Say(text) if !text.is_empty() => Some(text.as_str()),
            _ => None,
        });
        let said: Option<String> = said.collect();
        let mut turn = turn("simulator", JsonObject::empty(), said.as_deref().unwrap_or_default());
        if script == [Act::Fail] {
            turn.config.scenario = Scenario::Error;
            return Some(Scripted { turn, text: String::new(), calls: None });
        }
        Some(Scripted { turn, text: format!("Echo: {}", said?), calls: None })
    }
}

async fn fresh_stage() -> Simulated {
    Simulated
}

nexo_core::dispatcher_conformance!(fresh_stage);
