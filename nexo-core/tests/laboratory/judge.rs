//! Judges a history by what is left of it.

use std::collections::HashMap;

use nexo_core::{Message, MessageId, Role, Run, RunId, RunState, ThreadId, Timestamp};

use crate::history::{Ending, Facts, Outcome, Reading, Speech};

/// All that the store holds in the end.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) messages: Vec<(ThreadId, Vec<Message>)>,
    pub(crate) runs: Vec<Run>,
}

/// Everything that is wrong with a history.
pub(crate) fn judge(facts: &Facts, remains: &Remains) -> Vec<String> {
    let mut case = Case {
        facts,
        remains,
        runs: remains.runs.iter().map(|run| (run.id, run)).collect(),
        messages: remains.messages.iter().flat_map(|(_, all)| all).map(|it| (it.id, it)).collect(),
        wrongs: facts.wrongs.clone(),
    };
    case.judge_messages();
    case.judge_runs();
    case.judge_replies();
    case.judge_order();
    case.judge_readings();
    case.wrongs
}

struct Case<'a> {
    facts: &'a Facts,
    remains: &'a Remains,
    runs: HashMap<RunId, &'a Run>,
    messages: HashMap<MessageId, &'a Message>,
    wrongs: Vec<String>,
}

impl<'a> Case<'a> {
    fn name(&self, run: RunId) -> String {
        self.facts.name(run)
    }

    fn check(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.wrongs.push(otherwise());
        }
    }

    /// What was said is there, once, and nothing else is; the numbers have no gap.
    fn judge_messages(&mut self) {
        for (thread, all) in &self.remains.messages {
            let gapless = (1..).zip(all).all(|(seq, message)| message.seq == seq);
            self.check(gapless, || format!("the numbers of thread {thread} have gaps"));
            for message in all.iter().filter(|message| message.role == Role::User) {
                let text = message.content.as_deref().unwrap_or_default();
                let sent = |sent: &&_| is_sent(sent, *thread, text);
                let known = self.facts.sent.iter().any(|it| sent(&it));
                self.check(known, || format!("nobody said {text:?} in {thread}"));
            }
        }
        for sent in &self.facts.sent {
            let all = self.remains.messages.iter().filter(|(thread, _)| *thread == sent.thread);
            let found: Vec<i64> = all
                .flat_map(|(_, all)| all)
                .filter(|it| it.content.as_deref() == Some(&sent.text))
                .map(|it| it.seq)
                .collect();
            let right = match sent.outcome {
                Outcome::Stored(seq) => found == [seq],
                Outcome::Refused => found.is_empty(),
                Outcome::Unknown => found.len() <= 1,
            };
            self.check(right, || format!("{sent:?} is at {found:?}"));
        }
    }

    /// Every run has ended, and its agent was not asked after that.
    fn judge_runs(&mut self) {
        for run in &self.remains.runs {
            let name = self.name(run.id);
            self.check(run.state.is_terminal(), || format!("{name} is {:?}", run.state));
        }
        for run in &self.facts.runs {
            let known = self.runs.contains_key(run);
            self.check(known, || format!("{run} was promised, and is not there"));
        }
        for (number, speech) in self.facts.speeches.iter().enumerate() {
            let ended = self.runs.get(&speech.run).and_then(|run| run.finished_at);
            let late = ended.is_some_and(|ended| ended < speech.began) && !speech.was_still;
            let name = self.name(speech.run);
            self.check(!late, || format!("speech {number} began after {name} ended"));
        }
    }

    /// Every reply is that of one run, and was said by its agent, in the attempt that counts.
    fn judge_replies(&mut self) {
        let mut owners: HashMap<MessageId, RunId> = HashMap::new();
        for run in &self.remains.runs {
            let name = self.name(run.id);
            let completed = run.state == RunState::Completed;
            self.check(!completed || run.reply.is_some(), || format!("{name} has no reply"));
            let Some(reply) = run.reply else { continue };
            let other = owners.insert(reply, run.id);
            self.check(other.is_none(), || format!("{name} and {other:?} have one reply"));
            let Some(&message) = self.messages.get(&reply) else {
                self.wrongs.push(format!("the reply of {name} is not there"));
                continue;
            };
            let fits = message.thread == run.thread && message.seq > run.message_seq;
            self.check(fits, || format!("the reply of {name} is elsewhere"));
            self.judge_text(run, message.content.as_deref().unwrap_or_default());
        }
        for (id, message) in &self.messages {
            let owned = message.role != Role::Assistant || owners.contains_key(id);
            self.wrongs.extend((!owned).then(|| format!("{message:?} is nobody's reply")));
        }
        for (run, reply) in &self.facts.accepted {
            let name = self.name(*run);
            let kept = owners.get(reply) == Some(run);
            self.check(kept, || format!("the late reply of {name} was taken, and is not there"));
        }
    }

    fn judge_text(&mut self, run: &Run, text: &str) {
        let name = self.name(run.id);
        let completed = run.state == RunState::Completed;
        let said =
            |it: &&Speech| if completed { it.said == text } else { it.said.starts_with(text) };
        let of_run = self.facts.speeches.iter().filter(|it| it.run == run.id);
        let speakers: Vec<_> = of_run.filter(said).collect();
        let [speech] = speakers[..] else {
            let count = speakers.len();
            self.wrongs.push(format!("{count} speeches of {name} are {text:?}"));
            return;
        };
        let whole = matches!(speech.ending, Ending::Whole | Ending::Truncated | Ending::Pending);
        let ended = !completed || (speech.has_ended && whole);
        self.check(ended, || format!("the reply of {name} is not whole: {text:?}"));
        let current = speech.ending == Ending::Pending || speech.fence == run.fence;
        self.check(current, || format!("{name} has the reply of an old attempt: {text:?}"));
    }

    /// Of a thread, one run at a time was under way, from its begin to its reply.
    fn judge_order(&mut self) {
        for (thread, _) in &self.remains.messages {
            let mut times: Vec<_> =
                self.facts.speeches.iter().filter_map(|it| self.spoken(it, *thread)).collect();
            times.sort();
            for pair in times.windows(2) {
                let apart = pair[0].1 <= pair[1].0;
                let (one, other) = (self.name(pair[0].2), self.name(pair[1].2));
                self.check(apart, || format!("{one} and {other} overlap"));
            }
        }
    }

    /// From when to when a run was certainly active, if this speech of it is its reply.
    fn spoken(&self, speech: &Speech, thread: ThreadId) -> Option<(Timestamp, Timestamp, RunId)> {
        let run = self.runs.get(&speech.run).filter(|run| run.thread == thread)?;
        let reply = self.messages.get(&run.reply?)?;
        let own = speech.fence == run.fence && !speech.said.is_empty();
        let own = own && speech.said.starts_with(reply.content.as_deref()?);
        (own && speech.thread == thread).then_some((speech.began, reply.created_at, run.id))
    }

    /// Who read to the end saw what is stored.
    fn judge_readings(&mut self) {
        for Reading { reader, run, text, end } in &self.facts.readings {
            let Some(&stored) = self.runs.get(run) else { continue };
            let told = end.message.as_ref().map(|message| message.id);
            let name = self.name(*run);
            let same = stored.state == end.state && stored.reply == told;
            self.check(same, || {
                let (state, reply) = (stored.state, stored.reply);
                format!(
                    "{reader} saw {name} end {:?} {told:?}; it is {state:?} {reply:?}",
                    end.state
                )
            });
            let reply = stored.reply.and_then(|reply| self.messages.get(&reply));
            let reply = reply.and_then(|reply| reply.content.as_deref());
            // What is not kept was read all the same.
            let read = reply.is_none() || reply == Some(text);
            self.check(read, || format!("{reader} of {name} read {text:?}; it is {reply:?}"));
        }
    }
}

fn is_sent(sent: &crate::history::Sent, thread: ThreadId, text: &str) -> bool {
    sent.thread == thread && sent.text == text
}
