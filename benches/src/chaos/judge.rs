//! Judges a history by what is left of it.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::{
    history::{Ending, Facts, Outcome, Promise, Reading, Speech, Wrong},
    remains::{Message, Remains, Run},
};

/// The most often that a run is begun; one more attempt only says that it is given up.
const MOST_ATTEMPTS: i32 = 3;

/// What is to be said of a history.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) acknowledged: usize,
    /// The messages of which nobody was told whether they were taken.
    pub(crate) unknown: usize,
    pub(crate) replies: usize,
    pub(crate) runs: usize,
    pub(crate) readings: usize,
    /// The runs that ended without a reply because they took too many servers down.
    pub(crate) given_up: usize,
    /// The runs that were begun more than once.
    pub(crate) taken_over: usize,
    pub(crate) wrongs: Vec<Wrong>,
}

impl Verdict {
    pub(crate) fn with(mut self, what: &str) -> Self {
        self.wrongs.push(Wrong { promise: Promise::Answers, what: what.to_owned() });
        self
    }

    /// How often a promise was broken.
    pub(crate) fn broken(&self, promise: Promise) -> usize {
        self.wrongs.iter().filter(|wrong| wrong.promise == promise).count()
    }
}

/// Judges a history. With keys, asking twice makes one run.
pub(crate) fn judge(facts: &Facts, remains: &Remains, knows_keys: bool) -> Verdict {
    let mut speeches: HashMap<&str, &Speech> = HashMap::new();
    for speech in &facts.speeches {
        let last = speeches.entry(&speech.run).or_insert(speech);
        if speech.attempt > last.attempt {
            *last = speech;
        }
    }
    let is_given_up = |run: &&Run| given_up(run);
    let verdict = Verdict {
        acknowledged: facts.sent.iter().filter(|it| is_stored(&it.outcome)).count(),
        unknown: facts.sent.iter().filter(|it| it.outcome == Outcome::Unknown).count(),
        replies: remains.messages.iter().filter(|it| it.role == "assistant").count(),
        runs: remains.runs.len(),
        readings: facts.readings.len(),
        given_up: remains.runs.iter().filter(is_given_up).count(),
        taken_over: remains.runs.iter().filter(|run| run.attempt > 1).count(),
        wrongs: Vec::new(),
    };
    let mut case = Case {
        facts,
        remains,
        knows_keys,
        speeches,
        runs: remains.runs.iter().map(|run| (run.id.as_str(), run)).collect(),
        messages: remains.messages.iter().map(|it| (it.id.as_str(), it)).collect(),
        verdict,
    };
    let seen = facts.wrongs.iter();
    let seen = seen.map(|it| Wrong { promise: it.promise, what: it.what.clone() });
    case.verdict.wrongs.extend(seen);
    case.judge_messages();
    case.judge_replies();
    case.judge_ends();
    case.judge_streams();
    case.verdict
}

fn is_stored(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Stored(..))
}

fn given_up(run: &Run) -> bool {
    run.error.as_deref() == Some("RUN_INTERRUPTED") && run.attempt > MOST_ATTEMPTS
}

struct Case<'a> {
    facts: &'a Facts,
    remains: &'a Remains,
    knows_keys: bool,
    /// What was said last to each run.
    speeches: HashMap<&'a str, &'a Speech>,
    runs: HashMap<&'a str, &'a Run>,
    messages: HashMap<&'a str, &'a Message>,
    verdict: Verdict,
}

impl Case<'_> {
    fn check(&mut self, promise: Promise, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.verdict.wrongs.push(Wrong { promise, what: otherwise() });
        }
    }

    /// What was said is there, once, and nothing else is; the numbers have no gap.
    fn judge_messages(&mut self) {
        let mut stored: HashMap<(&str, &str), Vec<&Message>> = HashMap::new();
        let mut last: HashMap<&str, i64> = HashMap::new();
        for message in &self.remains.messages {
            let before = last.insert(&message.thread, message.seq).unwrap_or(0);
            self.check(Promise::Messages, message.seq == before + 1, || {
                format!("{} follows on {before} in {}", message.seq, message.thread)
            });
            if message.role == "user" {
                stored.entry((&message.thread, &message.content)).or_default().push(message);
            }
        }
        for sent in &self.facts.sent {
            let found = stored.remove(&(&*sent.thread, &*sent.text)).unwrap_or_default();
            let right = match &sent.outcome {
                Outcome::Stored(id, seq) => {
                    matches!(found[..], [it] if it.id == *id && it.seq == *seq)
                }
                Outcome::Refused => found.is_empty(),
                Outcome::Unknown => found.len() <= 1,
            };
            self.check(Promise::Messages, right, || format!("{sent:?} is stored as {found:?}"));
        }
        for more in stored.values() {
            self.check(Promise::Messages, false, || format!("nobody said {more:?}"));
        }
    }

    /// Every reply is that of one run, and was said by its agent in the attempt that counts.
    fn judge_replies(&mut self) {
        let mut owners: HashMap<&str, &str> = HashMap::new();
        let mut answers: HashMap<&str, usize> = HashMap::new();
        for run in &self.remains.runs {
            let Some(reply) = run.reply.as_deref() else { continue };
            *answers.entry(&run.message).or_default() += 1;
            let other = owners.insert(reply, &run.id);
            self.check(Promise::Replies, other.is_none(), || {
                format!("{} and {other:?} have one reply", run.id)
            });
            self.judge_reply(run, reply);
        }
        for message in &self.remains.messages {
            let owned = message.role == "user" || owners.contains_key(&*message.id);
            self.check(Promise::Replies, owned, || format!("{message:?} is nobody's reply"));
        }
        for (message, count) in answers {
            let asked = self.facts.asked.get(message).copied().unwrap_or(0);
            let most = if self.knows_keys { 1 } else { asked };
            self.check(Promise::Replies, count <= most, || {
                format!("message {message} was asked about {asked} times and has {count} replies")
            });
        }
    }

    fn judge_reply(&mut self, run: &Run, reply: &str) {
        let Some(&message) = self.messages.get(reply) else {
            return self.check(Promise::Replies, false, || format!("no reply of {}", run.id));
        };
        let here = message.thread == run.thread && message.role == "assistant";
        self.check(Promise::Replies, here, || format!("the reply of {} is elsewhere", run.id));
        let speech = self.speeches.get(&*run.id).copied();
        let right = speech.is_some_and(|speech| {
            speech.said == message.content
                && speech.attempt == run.attempt
                && speech.ending == Some(Ending::Whole)
        });
        self.check(Promise::Replies, right, || format!("{run:?}, {message:?}, {speech:?}"));
    }

    /// Every run has ended, and those that a reader knows are there.
    fn judge_ends(&mut self) {
        for run in &self.remains.runs {
            let completed = run.state == "completed" && run.reply.is_some();
            self.check(Promise::Ends, completed || given_up(run), || format!("{run:?}"));
        }
        for Reading { run, .. } in &self.facts.readings {
            let known = self.runs.contains_key(&**run);
            self.check(Promise::Ends, known, || format!("run {run} is not there"));
        }
    }

    /// Who read to the end saw what is stored.
    fn judge_streams(&mut self) {
        for reading in &self.facts.readings {
            let Some(&run) = self.runs.get(&*reading.run) else { continue };
            let reply = run.reply.as_deref().and_then(|reply| self.messages.get(reply));
            let stored = reply.map_or("", |reply| &*reply.content);
            let told = (reading.status == "completed", &reading.reply, &reading.error);
            let is = (run.state == "completed", &run.reply, &run.error);
            let right = told == is && reading.message == run.message && reading.text == stored;
            self.check(Promise::Streams, right, || format!("{reading:?}, but {run:?}: {stored:?}"));
        }
    }
}
