//! The dispatcher keeps every promise of a dispatcher.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use custom_dispatcher::{PROGRAM, Programs};
use nexo_core::{
    Dispatcher, JsonObject, MAX_REPLY_BYTES, RunId,
    conformance::dispatcher::{Act, Calls, Scripted, Stage, turn},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// The calls of each turn.
type Register = Arc<Mutex<HashMap<RunId, Calls>>>;

/// Actors, and a port on which they say that they are there.
#[derive(Debug)]
struct Actors {
    programs: Programs,
    register: Register,
}

async fn fresh_stage() -> Actors {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let register = Register::default();
    tokio::spawn(count(listener, Arc::clone(&register)));
    let command = vec![env!("CARGO_BIN_EXE_actor").to_owned(), port];
    Actors { programs: Programs::default().with("actor", command), register }
}

async fn count(listener: TcpListener, register: Register) {
    loop {
        let (call, _) = listener.accept().await.unwrap();
        tokio::spawn(attend(call, Arc::clone(&register)));
    }
}

/// A call lasts as long as the program.
async fn attend(call: TcpStream, register: Register) {
    let (mut call, mut run) = (BufReader::new(call), String::new());
    call.read_line(&mut run).await.unwrap();
    let run: RunId = serde_json::from_str(&run).unwrap();
    let calls = register.lock().unwrap()[&run].clone();
    let _call = calls.begin();
    call.write_all(b"!").await.unwrap();
    // It ends with an error where the program was killed.
    let _ = call.read_to_end(&mut Vec::new()).await;
}

/// What the actor is told; `None` if no program can do it.
fn line(act: &Act) -> Option<Value> {
    Some(match act {
        Act::Say(text) | Act::Reply(text) => json!({"act": "say", "text": text}),
        Act::Babble(text) => json!({"act": "babble", "text": text}),
        Act::Hang => json!({"act": "hang"}),
        Act::Fail => json!({"act": "fail"}),
        Act::Refuse => json!({"act": "refuse"}),
        Act::BreakOff => json!({"act": "abort"}),
        Act::Postpone => return None,
    })
}

#[async_trait]
impl Stage for Actors {
    fn dispatcher(&self) -> &dyn Dispatcher {
        &self.programs
    }

    fn delivers(&self) -> bool {
        false
    }

    async fn script(&self, script: Vec<Act>) -> Option<Scripted> {
        // A program has no way to give a reply in one piece that is too long: some of it was
        // passed on by then.
        let is_endless =
            |act: &Act| matches!(act, Act::Reply(text) if text.len() > MAX_REPLY_BYTES);
        if script.iter().any(is_endless) {
            return None;
        }
        let acts: Option<Vec<Value>> = script.iter().map(line).collect();
        let texts = script.iter().filter_map(|act| match act {
            Act::Say(text) | Act::Reply(text) => Some(text.as_str()),
            _ => None,
        });
        let mut turn = turn(PROGRAM, JsonObject::empty().with("program", "actor"), "");
        turn.message.content = Some(json!({"call": turn.run.id, "acts": acts?}).to_string());
        let calls = Calls::default();
        self.register.lock().unwrap().insert(turn.run.id, calls.clone());
        Some(Scripted { turn, text: texts.collect(), calls: Some(calls) })
    }
}

nexo_core::dispatcher_conformance!(fresh_stage);
