//! Whether an agent is out, judged by how its last calls went.

use std::time::Duration;

use tokio::time::Instant;

/// How far back calls count.
const WINDOW: Duration = Duration::from_secs(30);
/// How many calls there have to be before an agent is judged.
const ENOUGH: u32 = 20;
/// How long an agent that is out is left alone before one call tries it again.
const REST: Duration = Duration::from_secs(15);

/// How the last calls of an agent went. Calls are counted in windows that follow on each other,
/// so that nothing has to be kept of each.
#[derive(Debug)]
pub(super) enum Circuit {
    /// The agent is called.
    Closed { since: Instant, calls: u32, outages: u32 },
    /// It is left alone; since when, or since when one call tries it.
    Open { since: Instant },
}

/// Whether a call may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Granted,
    /// It alone may, to see whether the agent is back.
    Probe,
    Refused,
}

impl Default for Circuit {
    fn default() -> Self {
        Self::closed(Instant::now())
    }
}

impl Circuit {
    const fn closed(since: Instant) -> Self {
        Self::Closed { since, calls: 0, outages: 0 }
    }

    /// Whether one more call may go on. A probe that never comes back is followed by another.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        match self {
            Self::Closed { .. } => Admission::Granted,
            Self::Open { since } if now.duration_since(*since) >= REST => {
                *since = now;
                Admission::Probe
            }
            Self::Open { .. } => Admission::Refused,
        }
    }

    /// Notes how a call went. Gives whether the agent counts as out because of it.
    pub(super) fn note(&mut self, admission: Admission, is_outage: bool, now: Instant) -> bool {
        match self {
            Self::Open { since } => {
                match (is_outage, admission) {
                    // Also one that began before: the agent answers.
                    (false, _) => *self = Self::closed(now),
                    (true, Admission::Probe) => *since = now,
                    (true, _) => {}
                }
                false
            }
            Self::Closed { since, calls, outages } => {
                if now.duration_since(*since) >= WINDOW {
                    (*since, *calls, *outages) = (now, 0, 0);
                }
                *calls += 1;
                *outages += u32::from(is_outage);
                let is_out = *calls >= ENOUGH && *outages * 2 >= *calls;
                if is_out {
                    *self = Self::Open { since: now };
                }
                is_out
            }
        }
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_calm(&self, now: Instant) -> bool {
        match self {
            Self::Closed { outages: 0, .. } => true,
            Self::Closed { since, .. } | Self::Open { since } => {
                now.duration_since(*since) >= WINDOW
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes calls that were all granted; gives whether the last of them had the agent out.
    fn calls(circuit: &mut Circuit, outcomes: &[bool], now: Instant) -> bool {
        let note = |circuit: &mut Circuit, out: &bool| circuit.note(Admission::Granted, *out, now);
        outcomes.iter().map(|out| note(circuit, out)).last().unwrap()
    }

    #[test]
    fn half_of_twenty_calls_are_too_many() {
        let now = Instant::now();
        let (mut few, mut many) = (Circuit::default(), Circuit::default());

        assert!(!calls(
            &mut few,
            &[[false, true].as_slice(), &[false; 9], &[true; 8]].concat(),
            now
        ));
        assert!(!calls(&mut few, &[false], now));
        assert_eq!(few.admit(now), Admission::Granted);

        assert!(!calls(&mut many, &[[false; 10].as_slice(), &[true; 9]].concat(), now));
        assert!(calls(&mut many, &[true], now));
        assert_eq!(many.admit(now), Admission::Refused);
    }

    #[test]
    fn outages_of_long_ago_do_not_count() {
        let begin = Instant::now();
        let mut circuit = Circuit::closed(begin);

        assert!(!calls(&mut circuit, &[true; 19], begin));
        assert!(!calls(&mut circuit, &[true; 19], begin + WINDOW));
        assert!(calls(&mut circuit, &[true], begin + WINDOW));
    }

    #[test]
    fn a_probe_decides() {
        let begin = Instant::now();
        let mut circuit = Circuit::default();
        calls(&mut circuit, &[true; 20], begin);

        let later = begin + REST;
        assert_eq!(circuit.admit(later), Admission::Probe);
        assert_eq!(circuit.admit(later), Admission::Refused);
        circuit.note(Admission::Granted, true, later);
        circuit.note(Admission::Probe, true, later + Duration::from_secs(1));
        assert_eq!(circuit.admit(later + REST), Admission::Refused, "it rests again");
        assert_eq!(circuit.admit(later + REST + Duration::from_secs(1)), Admission::Probe);
        assert_eq!(circuit.admit(later + 3 * REST), Admission::Probe, "the first never came back");
        circuit.note(Admission::Probe, false, later + 3 * REST);
        assert_eq!(circuit.admit(later + 3 * REST), Admission::Granted);
    }
}
