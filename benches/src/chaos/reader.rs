//! Readers: they have a message answered and read the answer to its end, over one server after
//! another if they have to.

use std::{sync::Arc, time::Duration};

use nexo_bench::client::{Client, Head};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    call::Trouble,
    events::{Event, Events, Place},
    history::{Promise, Reading},
    world::World,
};

/// After so long somebody should have seen the end.
const PATIENCE: Duration = Duration::from_secs(120);
/// Servers say that they are alive more often than that.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// One who has a message answered.
#[derive(Debug)]
pub(crate) struct Reader {
    world: Arc<World>,
    thread: String,
    reading: Reading,
    /// The id of the last event, as a browser keeps it.
    cursor: Option<String>,
    seen: Place,
    /// Whether a run may have been made that is not known here.
    is_unsure: bool,
}

impl Reader {
    pub(crate) fn new(world: &Arc<World>, thread: &str, message: &str) -> Self {
        Self {
            world: Arc::clone(world),
            thread: thread.to_owned(),
            reading: Reading { message: message.to_owned(), ..Reading::default() },
            cursor: None,
            seen: Place { attempt: 0, bytes: 0 },
            is_unsure: false,
        }
    }

    /// Reads to the end.
    pub(crate) async fn read(mut self) {
        let end = async {
            while !self.connect().await {
                sleep(Duration::from_millis(rand::random_range(20..400))).await;
            }
        };
        if timeout(PATIENCE, end).await.is_err() {
            return self.wrong(Promise::Ends, "no end was to be seen");
        }
        self.reading.ended = self.world.history.now();
        self.world.history.read(self.reading);
    }

    /// Reads over one connection. Gives whether that was to the end.
    async fn connect(&mut self) -> bool {
        if self.is_unsure && !self.world.knows_keys {
            self.look_for_run().await;
        }
        let world = Arc::clone(&self.world);
        let (path, starts) = self.path();
        let key = format!("answer-{}", self.reading.message);
        let headers: &[(&str, &str)] = match &self.cursor {
            Some(cursor) => &[("last-event-id", cursor)],
            None if starts => &[("idempotency-key", &key)],
            None => &[],
        };
        let opened = world.caller.open(world.fleet.any(), headers, &path).await;
        if starts && !matches!(opened, Err(Trouble::Refused)) {
            world.history.asked(&self.reading.message);
            self.is_unsure = true;
        }
        match opened {
            Ok((head, client)) => self.take(&head, client, &path).await,
            Err(trouble) => {
                world.history.note("cut", json!({"path": path, "why": format!("{trouble:?}")}));
                false
            }
        }
    }

    /// Where to go on, and whether that may make a run.
    fn path(&self) -> (String, bool) {
        let run = &self.reading.run;
        let starts = run.is_empty() && self.cursor.is_none();
        if !run.is_empty() && (self.cursor.is_none() || rand::random_bool(0.5)) {
            return (format!("/apps/{}/runs/{run}/events", self.world.app), starts);
        }
        (self.world.path(&self.thread, "run/stream"), starts)
    }

    /// Without a key, asking again would have the message answered again, if its run has ended meanwhile.
    async fn look_for_run(&mut self) {
        let runs = self.world.get(&self.world.path(&self.thread, "runs?limit=10")).await;
        let mut runs = runs["items"].as_array().into_iter().flatten();
        let found = runs.find(|run| run["message_id"] == self.reading.message.as_str());
        self.is_unsure = false;
        if let Some(run) = found.and_then(|run| run["id"].as_str()) {
            self.reading.run = run.to_owned();
        }
    }

    async fn take(&mut self, head: &Head, client: Client, path: &str) -> bool {
        match (head.status, head.header("x-run-id")) {
            (200, Some(run)) => {
                self.is_unsure = false;
                self.join(run);
                self.follow(client).await
            }
            (503, _) => false,
            // With a key, another server may be asked the same, and stand still over it.
            (409, _) if self.world.knows_keys => false,
            (400, _) if self.cursor.is_some() => {
                self.wrong(Promise::Streams, "a cursor was refused");
                self.cursor = None;
                self.reading.text.clear();
                false
            }
            (204, _) => {
                self.wrong(Promise::Streams, "there was nothing more, and no end");
                false
            }
            (status, _) => {
                self.wrong(Promise::Answers, &format!("status {status} of {path}"));
                false
            }
        }
    }

    fn join(&mut self, run: &str) {
        if self.reading.run.is_empty() {
            self.reading.run = run.to_owned();
        } else if self.reading.run != run {
            self.wrong(Promise::Streams, &format!("goes on with another run, {run}"));
        }
    }

    /// Reads until the end, or until the stream breaks, or for as long as one likes to. Some
    /// wait for whatever comes, some go elsewhere when nothing does.
    async fn follow(&mut self, mut client: Client) -> bool {
        let silence = if rand::random_bool(0.5) { LONGEST_SILENCE } else { LONGEST_SILENCE / 6 };
        let longest = if rand::random_bool(0.25) { 3_000 } else { 60_000 };
        let leaves = Instant::now() + Duration::from_millis(rand::random_range(1..longest));
        let mut events = Events::default();
        loop {
            let until = leaves.min(Instant::now() + silence);
            let Ok(Ok(Some(piece))) = timeout_at(until, client.next_piece()).await else {
                return false;
            };
            for event in events.push(&piece) {
                self.hear(&event);
                if event.name == "done" {
                    return true;
                }
            }
        }
    }

    fn hear(&mut self, event: &Event) {
        let Some(place) = event.place() else {
            return self.wrong(Promise::Streams, &format!("an event without a place: {event:?}"));
        };
        self.cursor = Some(event.id.clone());
        if event.name == "meta" {
            return;
        }
        if place.attempt < self.seen.attempt {
            self.wrong(Promise::Streams, &format!("an attempt of before: {event:?}"));
        }
        if place.attempt != self.seen.attempt {
            self.reading.attempts.push((place.attempt, self.world.history.now()));
        }
        match event.name.as_str() {
            "delta" => self.reading.text.push_str(event.data["text"].as_str().unwrap_or_default()),
            "reset" => self.reading.text.clear(),
            "error" => self.reading.error = text(&event.data["code"]),
            _ => {
                self.reading.status = text(&event.data["status"]).unwrap_or_default();
                self.reading.reply = text(&event.data["message_id"]);
            }
        }
        if place.bytes != self.reading.text.len() {
            self.wrong(Promise::Streams, &format!("bytes are missing or too many: {event:?}"));
        }
        self.seen = place;
    }

    fn wrong(&self, promise: Promise, what: &str) {
        let Reading { run, message, .. } = &self.reading;
        let read = self.reading.text.len();
        self.world.history.wrong(
            promise,
            format!(
                "{what}; run {run:?}, message {message}, {read} bytes read, at {:?}",
                self.cursor
            ),
        );
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
