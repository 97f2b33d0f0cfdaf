//! What a wish to have a thread answered leads to, where the thread is busy already.
//!
//! The rule is here, once for all stores: they read what stands, and do what the plan says.

use super::{Run, RunState, StartRun, Stop};
use crate::{AppConfig, RunId, Timestamp};

/// The most runs of a thread that have not ended: each wish looks at all of them.
const MAX_STANDING: usize = 1_000;

/// What happens to a wish while the thread is busy with an older message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// It waits for its turn. Where a thousand runs stand already, it is refused.
    #[default]
    Queue,
    /// It is refused.
    Reject,
    /// What is under way stops, and what was said so far is kept.
    Interrupt,
    /// What is under way stops, nothing of it is spoken, and the new run answers for both.
    Merge,
}

impl Overlap {
    /// Every rule there is.
    pub const ALL: [Self; 4] = [Self::Queue, Self::Reject, Self::Interrupt, Self::Merge];

    /// The rule as clients write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Reject => "reject",
            Self::Interrupt => "interrupt",
            Self::Merge => "merge",
        }
    }

    /// The rule of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|overlap| overlap.as_str() == name)
    }

    /// Whether the new run answers in the place of others.
    pub(crate) const fn replaces(self) -> bool {
        self.stop().is_some()
    }

    /// Why the run that is under way stops, if it does.
    const fn stop(self) -> Option<Stop> {
        match self {
            Self::Queue | Self::Reject => None,
            Self::Interrupt => Some(Stop::Cancel),
            Self::Merge => Some(Stop::Supersede),
        }
    }
}

/// What a wish leads to. Everything in it is done in one step with the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Runs that end as superseded at once: nobody carries them.
    pub superseded: Vec<RunId>,
    /// The running one, which has to stop, and why.
    pub stopped: Option<(RunId, Stop)>,
    /// What becomes of the wish itself.
    pub step: Step,
}

/// What becomes of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A run begins at once.
    Start,
    /// A run is made and queued: until then, or behind the others.
    Queue(Option<Timestamp>),
    /// This run answers the message already, or will.
    Join(RunId),
    /// This queued run, which waits for a burst of messages to end, answers the newest of them,
    /// and waits until then, or behind the others.
    Extend(RunId, Option<Timestamp>),
    /// It is refused, since the thread is busy.
    Refuse,
    /// It is refused, since a newer message than the one that was meant is there to answer.
    Outdated,
}

impl From<Step> for Plan {
    fn from(step: Step) -> Self {
        Self { superseded: Vec::new(), stopped: None, step }
    }
}

impl StartRun {
    /// What the wish leads to.
    ///
    /// `newest` is the `seq` of the newest user message, `handler` what the agent needs that
    /// holds the thread, and `standing` are the thread's active and queued runs, in any order. A
    /// run that has to stop is not joined, and one whose handler the server does not have is left
    /// to another one, as a run that is due.
    #[must_use]
    pub fn plan(
        &self,
        config: &AppConfig,
        newest: i64,
        handler: Option<&str>,
        standing: &[Run],
        now: Timestamp,
    ) -> Plan {
        let plan = self.plan_here(config, newest, standing, now);
        match plan.step {
            Step::Start if !self.handlers.have(handler) => {
                Plan { step: Step::Queue(Some(now)), ..plan }
            }
            _ => plan,
        }
    }

    /// The same where the server has all that is needed.
    fn plan_here(&self, config: &AppConfig, newest: i64, standing: &[Run], now: Timestamp) -> Plan {
        if self.message_seq.is_some_and(|meant| meant != newest) {
            return Step::Outdated.into();
        }
        let answers = |run: &&Run| run.message_seq >= newest && run.stop.is_none();
        if let Some(run) = standing.iter().find(answers) {
            return Step::Join(run.id).into();
        }
        let debounce = self.debounce.unwrap_or(config.debounce);
        let later = (!debounce.is_zero()).then(|| now.plus(debounce));
        let collecting = |run: &&Run| run.state == RunState::Queued && run.attempt == 0;
        if let Some(run) = standing.iter().find(collecting).filter(|_| later.is_some()) {
            let until = run.available_at.and(later);
            return Step::Extend(run.id, until).into();
        }
        if standing.is_empty() {
            return later.map_or(Step::Start, |later| Step::Queue(Some(later))).into();
        }
        match self.overlap.unwrap_or(config.overlap) {
            Overlap::Queue if standing.len() < MAX_STANDING => Step::Queue(None).into(),
            Overlap::Queue | Overlap::Reject => Step::Refuse.into(),
            overlap => replace(standing, overlap.stop(), later),
        }
    }
}

/// Whoever answers in the place of all others begins as soon as they are out of the way.
fn replace(standing: &[Run], stop: Option<Stop>, later: Option<Timestamp>) -> Plan {
    let (running, idle): (Vec<&Run>, Vec<&Run>) =
        standing.iter().partition(|run| run.state == RunState::Running);
    let step = match (running.is_empty(), later) {
        (true, None) => Step::Start,
        (true, later) => Step::Queue(later),
        (false, _) => Step::Queue(None),
    };
    Plan {
        superseded: idle.into_iter().map(|run| run.id).collect(),
        stopped: running.first().and_then(|run| Some((run.id, stop?))),
        step,
    }
}
