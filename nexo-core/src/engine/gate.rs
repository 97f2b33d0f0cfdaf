//! The gate before each agent: not too many calls at once, and none while the agent is out.
//!
//! An agent that hangs or is down must cost others nothing, and gets air to come back. What is
//! known of it is known to this server only: that is enough to spare it, and needs no store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tracing::warn;

use super::circuit::{Admission, Circuit};
use crate::{AgentId, Failure, FailureKind};

/// How long a call waits for one of the others to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The gates of all agents that are called, or were out a moment ago.
#[derive(Debug)]
pub(super) struct Gates {
    gates: Mutex<HashMap<AgentId, Arc<Gate>>>,
    calls_at_once: usize,
}

#[derive(Debug)]
struct Gate {
    room: Arc<Semaphore>,
    circuit: Mutex<Circuit>,
}

/// Lets one call of an agent go on, until it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    agent: AgentId,
    gate: Arc<Gate>,
    admission: Admission,
    /// Held for as long as the call takes.
    _room: OwnedSemaphorePermit,
}

impl Gates {
    pub(super) fn new(calls_at_once: usize) -> Self {
        let calls_at_once = calls_at_once.clamp(1, Semaphore::MAX_PERMITS);
        Self { gates: Mutex::default(), calls_at_once }
    }

    /// Waits for room to call an agent, if the agent may be called at all.
    pub(super) async fn enter(&self, agent: AgentId) -> Result<Pass, Failure> {
        let gate = self.gate(agent);
        let mut admission = gate.admit()?;
        let room = timeout(PATIENCE, Arc::clone(&gate.room).acquire_owned()).await;
        let room = room.map_err(|_| unavailable("too many calls of the agent are under way"))?;
        let room = room.expect("a gate's room is never closed");
        if admission == Admission::Granted {
            // Those that were waited for may have found the agent out.
            admission = gate.admit()?;
        }
        Ok(Pass { agent, gate, admission, _room: room })
    }

    /// Forgets agents that are not called, and of which there is nothing to remember.
    pub(super) fn forget_idle(&self) {
        let now = Instant::now();
        let is_called = |gate: &Arc<Gate>| Arc::strong_count(gate) > 1;
        lock(&self.gates).retain(|_, gate| is_called(gate) || !lock(&gate.circuit).is_calm(now));
    }

    fn gate(&self, agent: AgentId) -> Arc<Gate> {
        let new = || {
            let room = Arc::new(Semaphore::new(self.calls_at_once));
            Arc::new(Gate { room, circuit: Mutex::default() })
        };
        Arc::clone(lock(&self.gates).entry(agent).or_insert_with(new))
    }
}

impl Gate {
    fn admit(&self) -> Result<Admission, Failure> {
        match lock(&self.circuit).admit(Instant::now()) {
            Admission::Refused => {
                Err(unavailable("the agent was not to be reached, and is left alone for now"))
            }
            admission => Ok(admission),
        }
    }
}

impl Pass {
    /// Notes what came of the call.
    pub(super) fn note(&self, failure: Option<&Failure>) {
        let is_outage = failure.is_some_and(Failure::is_outage);
        if lock(&self.gate.circuit).note(self.admission, is_outage, Instant::now()) {
            warn!(agent.id = %self.agent, "agent {} is out, and is left alone for now", self.agent);
        }
    }
}

fn unavailable(why: &str) -> Failure {
    Failure::new(FailureKind::AgentUnavailable, why)
}

/// What is guarded is changed in single steps, and stays whole when somebody panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, pin::pin};

    use futures::FutureExt;

    use super::*;

    fn outage() -> Failure {
        Failure::new(FailureKind::WebhookTimeout, "no answer")
    }

    async fn fail(gates: &Gates, agent: AgentId) {
        gates.enter(agent).await.unwrap().note(Some(&outage()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_for_room_but_not_for_ever() {
        let gates = Gates::new(1);
        let (agent, other) = (AgentId::new(), AgentId::new());
        let held = gates.enter(agent).await.unwrap();

        let refused = gates.enter(agent).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::AgentUnavailable);
        assert!(gates.enter(other).await.is_ok(), "each agent has its own");

        let waiting = gates.enter(agent);
        drop(held);
        assert!(waiting.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_is_out_is_left_alone_and_tried_again() {
        let gates = Gates::new(100);
        let agent = AgentId::new();
        for _ in 0..20 {
            fail(&gates, agent).await;
        }

        assert!(gates.enter(agent).await.is_err());
        tokio::time::advance(Duration::from_secs(15)).await;
        let probe = gates.enter(agent).await.unwrap();
        assert!(gates.enter(agent).await.is_err(), "one tries, the others wait for it");
        probe.note(None);
        assert!(gates.enter(agent).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waited_for_room_is_not_put_to_an_agent_that_is_out_by_then() {
        let gates = Gates::new(1);
        let agent = AgentId::new();
        let held = gates.enter(agent).await.unwrap();
        let mut waiting = pin!(gates.enter(agent));
        assert!((&mut waiting).now_or_never().is_none());

        (0..20).for_each(|_| held.note(Some(&outage())));
        drop(held);

        assert_eq!(waiting.await.unwrap_err().kind, FailureKind::AgentUnavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_agents_that_are_not_called() {
        let gates = Gates::new(100);
        let (called, idle, ailing) = (AgentId::new(), AgentId::new(), AgentId::new());
        let kept = || -> HashSet<AgentId> {
            gates.forget_idle();
            lock(&gates.gates).keys().copied().collect()
        };
        let _pass = gates.enter(called).await.unwrap();
        gates.enter(idle).await.unwrap().note(None);
        fail(&gates, ailing).await;

        assert_eq!(kept(), HashSet::from([called, ailing]));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(kept(), HashSet::from([called]));
    }
}
