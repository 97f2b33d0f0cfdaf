//! What is left in the end, as the servers tell it.

use std::io;

use nexo_bench::client::text;
use serde_json::Value;

use crate::world::World;

/// All that is left in the threads that customers talked in.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    pub(crate) messages: Vec<Message>,
    pub(crate) runs: Vec<Run>,
}

/// A message that is stored.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) thread: String,
    pub(crate) seq: i64,
    pub(crate) role: String,
    pub(crate) content: String,
}

/// A run that is stored.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) thread: String,
    pub(crate) message: String,
    pub(crate) state: String,
    pub(crate) attempt: i32,
    pub(crate) reply: Option<String>,
    pub(crate) error: Option<String>,
}

impl Remains {
    pub(crate) async fn read(world: &World) -> io::Result<Self> {
        let mut remains = Self::default();
        let threads = world.history.facts().threads.clone();
        for thread in threads {
            remains.read_messages(world, &thread).await?;
            remains.read_runs(world, &thread).await?;
        }
        Ok(remains)
    }

    async fn read_messages(&mut self, world: &World, thread: &str) -> io::Result<()> {
        let mut after = 0;
        loop {
            let page = format!("messages?limit=200&after_seq={after}");
            let page = world.get(&world.path(thread, &page)).await;
            for item in items(&page)? {
                let message = Message::read(item)?;
                after = message.seq;
                self.messages.push(message);
            }
            if items(&page)?.len() < 200 {
                return Ok(());
            }
        }
    }

    async fn read_runs(&mut self, world: &World, thread: &str) -> io::Result<()> {
        let mut cursor = String::new();
        loop {
            let page = world.path(thread, &format!("runs?limit=200&cursor={cursor}"));
            let page = world.get(&page).await;
            for item in items(&page["items"])? {
                self.runs.push(Run::read(item)?);
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return Ok(()),
            }
        }
    }
}

fn items(value: &Value) -> io::Result<&Vec<Value>> {
    value.as_array().ok_or_else(|| io::Error::other(format!("a list was expected, not {value}")))
}

fn maybe(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

impl Message {
    fn read(value: &Value) -> io::Result<Self> {
        Ok(Self {
            id: text(&value["id"])?,
            thread: text(&value["thread_id"])?,
            seq: value["seq"].as_i64().unwrap_or_default(),
            role: text(&value["role"])?,
            content: text(&value["content"])?,
        })
    }
}

impl Run {
    fn read(value: &Value) -> io::Result<Self> {
        Ok(Self {
            id: text(&value["id"])?,
            thread: text(&value["thread_id"])?,
            message: text(&value["message_id"])?,
            state: text(&value["state"])?,
            attempt: value["attempt"].as_i64().and_then(|it| it.try_into().ok()).unwrap_or(0),
            reply: maybe(&value["reply_id"]),
            error: maybe(&value["error"]),
        })
    }
}
