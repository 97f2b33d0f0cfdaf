//! What happened, as it is seen from outside.

use std::sync::{Mutex, MutexGuard};

use nexo_core::{MessageId, RunEnd, RunId, ThreadId, Timestamp};
use tokio::time::Instant;

/// When the laboratory's time begins.
pub(crate) const DAWN: Timestamp = Timestamp::from_micros(1_000_000_000_000);

/// What happened, as it is seen from outside.
#[derive(Debug)]
pub(crate) struct History {
    dawn: Instant,
    facts: Mutex<Facts>,
}

/// All that the judge goes by.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) lines: Vec<(Timestamp, String)>,
    /// The runs in the order in which they were heard of: a seed says which is the third, but
    /// not which id it has.
    names: Vec<RunId>,
    pub(crate) sent: Vec<Sent>,
    /// The runs that somebody was told of.
    pub(crate) runs: Vec<RunId>,
    pub(crate) speeches: Vec<Speech>,
    /// The replies that agents gave later and that were taken.
    pub(crate) accepted: Vec<(RunId, MessageId)>,
    pub(crate) readings: Vec<Reading>,
    /// How many pieces of text were read elsewhere while more was to come.
    pub(crate) live: usize,
    /// What nobody should ever see.
    pub(crate) wrongs: Vec<String>,
}

/// A message that a client sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) thread: ThreadId,
    pub(crate) text: String,
    pub(crate) outcome: Outcome,
}

/// What a client knows of what it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored(i64),
    Refused,
    Unknown,
}

/// How an agent's answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Whole,
    Truncated,
    Failed { passing: bool },
    Pending,
    Never,
}

/// What an agent said to one turn.
#[derive(Debug)]
pub(crate) struct Speech {
    pub(crate) run: RunId,
    pub(crate) thread: ThreadId,
    pub(crate) server: usize,
    pub(crate) attempt: i32,
    pub(crate) fence: i64,
    /// Whether its server stood still shortly before.
    pub(crate) was_still: bool,
    pub(crate) began: Timestamp,
    pub(crate) ending: Ending,
    pub(crate) said: String,
    pub(crate) has_ended: bool,
}

/// What a reader saw of a run by its end.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) reader: String,
    pub(crate) run: RunId,
    pub(crate) text: String,
    pub(crate) end: RunEnd,
}

impl Facts {
    pub(crate) fn name(&self, run: RunId) -> String {
        let number = self.names.iter().position(|it| *it == run);
        number.map_or_else(|| run.to_string(), |number| format!("run {number}"))
    }
}

impl History {
    pub(crate) fn new() -> Self {
        Self { dawn: Instant::now(), facts: Mutex::default() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        DAWN.plus(self.dawn.elapsed())
    }

    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }

    /// What a run is called here.
    pub(crate) fn name(&self, run: RunId) -> String {
        let mut facts = self.facts();
        if !facts.names.contains(&run) {
            facts.names.push(run);
        }
        facts.name(run)
    }

    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        let line = (self.now(), line());
        self.facts().lines.push(line);
    }

    /// Something that is wrong whatever else happened.
    pub(crate) fn wrong(&self, what: String) {
        self.note(|| format!("WRONG: {what}"));
        self.facts().wrongs.push(what);
    }

    pub(crate) fn sent(&self, thread: ThreadId, text: String, outcome: Outcome) {
        self.note(|| format!("sent {text:?}: {outcome:?}"));
        self.facts().sent.push(Sent { thread, text, outcome });
    }

    pub(crate) fn began(&self, run: RunId) {
        self.facts().runs.push(run);
    }

    /// An agent hears of a turn. Gives the number of what it will say.
    pub(crate) fn begin(&self, speech: Speech) -> usize {
        let number = self.facts().speeches.len();
        self.note(|| {
            let Speech { run, server, attempt, fence, ending, .. } = &speech;
            let run = self.name(*run);
            format!(
                "s{server} {run}, attempt {attempt}, fence {fence}: speech {number}, {ending:?}"
            )
        });
        self.facts().speeches.push(speech);
        number
    }

    pub(crate) fn say(&self, speech: usize, text: &str) {
        if let Some(speech) = self.facts().speeches.get_mut(speech) {
            speech.said.push_str(text);
        }
    }

    /// Somebody has read so much of a run over a server: at any time that is how one of its
    /// agents began.
    pub(crate) fn heard(&self, reader: &str, run: RunId, server: usize, text: &str) {
        let mut facts = self.facts();
        let said = |it: &&Speech| it.run == run && it.said.starts_with(text);
        let Some(speech) = facts.speeches.iter().find(said) else {
            let what = format!("{reader} of {} read {text:?}, which nobody said", facts.name(run));
            return facts.wrongs.push(what);
        };
        if speech.server != server && !speech.has_ended {
            facts.live += 1;
        }
    }

    pub(crate) fn end(&self, speech: usize) {
        self.note(|| format!("speech {speech} has ended"));
        if let Some(speech) = self.facts().speeches.get_mut(speech) {
            speech.has_ended = true;
        }
    }

    pub(crate) fn accept(&self, run: RunId, reply: MessageId) {
        self.facts().accepted.push((run, reply));
    }

    pub(crate) fn read(&self, reading: Reading) {
        self.note(|| {
            let Reading { reader, run, text, end } = &reading;
            let run = self.name(*run);
            format!("{reader} saw {run} end: {:?}, {} bytes", end.state, text.len())
        });
        self.facts().readings.push(reading);
    }
}
