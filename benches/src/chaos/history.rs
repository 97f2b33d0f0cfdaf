//! What happened, as it is seen from outside: every call and what came of it, what agents were
//! asked and said, what readers saw, and what was done to the servers.
//!
//! All of it is written to a file as it happens, a line of JSON for each; the judge goes by
//! what is kept here of it.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// What happened.
#[derive(Debug)]
pub(crate) struct History {
    dawn: Instant,
    file: Mutex<BufWriter<File>>,
    facts: Mutex<Facts>,
}

/// All that the judge goes by.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) threads: Vec<String>,
    pub(crate) sent: Vec<Sent>,
    /// How often it was asked for an answer to a message, by its id: each may have made a run.
    pub(crate) asked: HashMap<String, usize>,
    pub(crate) speeches: Vec<Speech>,
    pub(crate) readings: Vec<Reading>,
    pub(crate) wrongs: Vec<Wrong>,
}

/// A message that a customer sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) thread: String,
    pub(crate) text: String,
    pub(crate) outcome: Outcome,
}

/// What a customer knows of what they sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was acknowledged, with this id and number.
    Stored(String, i64),
    Refused,
    Unknown,
}

/// What an agent said to one turn.
#[derive(Debug)]
pub(crate) struct Speech {
    pub(crate) run: String,
    pub(crate) attempt: i32,
    pub(crate) began: Duration,
    pub(crate) said: String,
    pub(crate) ending: Option<Ending>,
}

/// How a speech ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All was said.
    Whole,
    /// Whoever asked was gone, at that time.
    Cut(Duration),
}

/// What a reader saw of a run by its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) run: String,
    /// The id of the message that was to be answered.
    pub(crate) message: String,
    pub(crate) text: String,
    pub(crate) status: String,
    pub(crate) reply: Option<String>,
    pub(crate) error: Option<String>,
    /// When something of each attempt was seen first.
    pub(crate) attempts: Vec<(i32, Duration)>,
    pub(crate) ended: Duration,
}

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// What was acknowledged is there, once, and nothing else is.
    Messages,
    /// A message is answered once, by what the agent said last.
    Replies,
    /// Every run ends, and with a reply unless it took too many servers down.
    Ends,
    /// What a reader saw is what is stored, and nobody is told twice or out of order.
    Streams,
    /// A server says what it can't do in a way that a client can react to.
    Answers,
}

/// What should not be.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) promise: Promise,
    pub(crate) what: String,
}

impl History {
    /// One that is written to this file.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let file = Mutex::new(BufWriter::new(File::create(path)?));
        Ok(Self { dawn: Instant::now(), file, facts: Mutex::default() })
    }

    pub(crate) fn now(&self) -> Duration {
        self.dawn.elapsed()
    }

    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what happened. A file that can't be written is no reason to stop.
    pub(crate) fn note(&self, what: &str, mut details: Value) {
        details["at"] = json!(self.now().as_micros() as f64 / 1e6);
        details["what"] = what.into();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(file, "{details}");
    }

    /// Brings everything that was noted into the file.
    pub(crate) fn flush(&self) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = file.flush();
    }

    pub(crate) fn wrong(&self, promise: Promise, what: String) {
        self.note("WRONG", json!({"promise": format!("{promise:?}"), "how": what}));
        self.facts().wrongs.push(Wrong { promise, what });
    }

    pub(crate) fn thread(&self, thread: &str) {
        self.note("thread", json!({"thread": thread}));
        self.facts().threads.push(thread.to_owned());
    }

    pub(crate) fn sent(&self, sent: Sent) {
        let Sent { thread, text, outcome } = &sent;
        let outcome = format!("{outcome:?}");
        self.note("sent", json!({"thread": thread, "text": text, "outcome": outcome}));
        self.facts().sent.push(sent);
    }

    pub(crate) fn asked(&self, message: &str) {
        self.note("asked", json!({"message": message}));
        *self.facts().asked.entry(message.to_owned()).or_default() += 1;
    }

    /// An agent hears of a turn. Gives the number of what it will say.
    pub(crate) fn begin(&self, run: &str, attempt: i32) -> usize {
        let began = self.now();
        let mut facts = self.facts();
        let number = facts.speeches.len();
        let (run, said) = (run.to_owned(), String::new());
        facts.speeches.push(Speech { run: run.clone(), attempt, began, said, ending: None });
        drop(facts);
        self.note("speech", json!({"speech": number, "run": run, "attempt": attempt}));
        number
    }

    pub(crate) fn say(&self, speech: usize, text: &str) {
        if let Some(speech) = self.facts().speeches.get_mut(speech) {
            speech.said.push_str(text);
        }
    }

    pub(crate) fn end(&self, speech: usize, ending: Ending) {
        if let Some(speech) = self.facts().speeches.get_mut(speech) {
            speech.ending = Some(ending);
        }
        self.note("speech ended", json!({"speech": speech, "ending": format!("{ending:?}")}));
    }

    pub(crate) fn read(&self, reading: Reading) {
        let Reading { run, status, reply, error, text, .. } = &reading;
        let bytes = text.len();
        self.note(
            "read",
            json!({"run": run, "status": status, "reply": reply, "error": error, "bytes": bytes}),
        );
        self.facts().readings.push(reading);
    }
}
