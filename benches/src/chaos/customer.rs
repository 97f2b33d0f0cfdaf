//! Customers: each talks in a thread of its own, and reads what it is answered.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::sleep;

use crate::{
    call::Trouble,
    history::{Outcome, Promise, Sent},
    reader::Reader,
    script::Manner,
    world::World,
};

/// One who talks.
#[derive(Debug)]
pub(crate) struct Customer {
    pub(crate) world: Arc<World>,
    pub(crate) thread: String,
    pub(crate) number: usize,
    pub(crate) manner: fn() -> Manner,
}

impl Customer {
    /// Says something and waits for the answer, again and again.
    pub(crate) async fn talk(self) {
        for count in 0.. {
            if self.world.is_quiet() {
                return;
            }
            let manner = (self.manner)();
            let text = format!("{} {}.{count}", manner.as_str(), self.number);
            if let Outcome::Stored(message, _) = self.say(text).await {
                Reader::new(&self.world, &self.thread, &message).read().await;
            }
            sleep(Duration::from_millis(rand::random_range(0..200))).await;
        }
    }

    /// Says something. Whoever has a key for it repeats it until it is clear what came of it.
    async fn say(&self, text: String) -> Outcome {
        let key = format!("{}/{}", self.thread, text.replace(' ', "-"));
        let mut outcome = self.send(&text, &key).await;
        while outcome == Outcome::Unknown && self.world.knows_keys && !self.world.is_quiet() {
            sleep(Duration::from_millis(250)).await;
            outcome = match self.send(&text, &key).await {
                // That says nothing about the time before.
                Outcome::Refused => Outcome::Unknown,
                outcome => outcome,
            };
        }
        let (thread, sent) = (self.thread.clone(), outcome.clone());
        self.world.history.sent(Sent { thread, text, outcome: sent });
        outcome
    }

    async fn send(&self, text: &str, key: &str) -> Outcome {
        let world = &self.world;
        let path = world.path(&self.thread, "messages");
        let body = json!({"content": text}).to_string();
        world.history.note("send", json!({"thread": self.thread, "text": text}));
        let request = ("POST", path.as_str(), body.as_str());
        let headers = [("idempotency-key", key)];
        match world.caller.call(world.fleet.any(), &headers, request).await {
            Ok(answer) if answer.status == 200 => stored(&answer).unwrap_or_else(|| {
                world.history.wrong(Promise::Answers, format!("{path}: no message"));
                Outcome::Unknown
            }),
            Ok(answer) => {
                world.look_at(&answer, &path);
                Outcome::Unknown
            }
            Err(Trouble::Refused) => Outcome::Refused,
            Err(Trouble::Unknown(why)) => {
                world.history.note("no answer", json!({"path": path, "why": why}));
                Outcome::Unknown
            }
        }
    }
}

fn stored(answer: &nexo_bench::client::Answer) -> Option<Outcome> {
    let message = answer.json().ok()?;
    Some(Outcome::Stored(message["id"].as_str()?.to_owned(), message["seq"].as_i64()?))
}
