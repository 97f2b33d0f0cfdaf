//! The runs that this server carries, and how each is told to stop.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::{Either, select};
use tokio::sync::watch;

use crate::{RunId, Stop};

/// Why a run does not go on here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// It ends.
    Stop(Stop),
    /// Another server goes on with it, because this one shuts down.
    HandBack,
    /// Another server has taken it over, or is about to: this one was silent for too long.
    Lost,
}

/// The runs that this server carries.
#[derive(Clone, Debug, Default)]
pub(super) struct Carried {
    runs: Arc<Mutex<Runs>>,
}

#[derive(Debug, Default)]
struct Runs {
    carried: HashMap<RunId, watch::Sender<Option<Halt>>>,
    /// Also one that comes late is handed back.
    are_handed_back: bool,
}

impl Carried {
    /// One more run is carried, until what this gives is dropped. If this server carries it
    /// since an earlier attempt, because it did not notice that it had lost it, that one stops.
    pub(super) fn take(&self, run: RunId) -> Reins {
        let mut runs = self.lock();
        let (tell, told) = watch::channel(runs.are_handed_back.then_some(Halt::HandBack));
        if let Some(former) = runs.carried.insert(run, tell) {
            halt(&former, Halt::Lost);
        }
        drop(runs);
        Reins { carried: self.clone(), run, told }
    }

    pub(super) fn ids(&self) -> Vec<RunId> {
        self.lock().carried.keys().copied().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.lock().carried.len()
    }

    /// Tells a run to stop, if it is carried here. The first reason stands.
    pub(super) fn halt(&self, run: RunId, why: Halt) {
        if let Some(tell) = self.lock().carried.get(&run) {
            halt(tell, why);
        }
    }

    /// Tells all that others have them by now, or soon.
    pub(super) fn lose_all(&self) {
        self.lock().halt_all(Halt::Lost);
    }

    /// Tells all, and whatever is taken from now on, to be handed back.
    pub(super) fn hand_back_all(&self) {
        let mut runs = self.lock();
        runs.are_handed_back = true;
        runs.halt_all(Halt::HandBack);
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runs {
    fn halt_all(&self, why: Halt) {
        self.carried.values().for_each(|tell| halt(tell, why));
    }
}

fn halt(tell: &watch::Sender<Option<Halt>>, why: Halt) {
    tell.send_if_modified(|told| {
        let is_first = told.is_none();
        told.get_or_insert(why);
        is_first
    });
}

/// Where a carried run hears that it has to stop.
#[derive(Debug)]
pub(super) struct Reins {
    carried: Carried,
    run: RunId,
    told: watch::Receiver<Option<Halt>>,
}

impl Reins {
    /// Does something unless, or until, the run is told to stop. The caller pins it where it
    /// is: if it were handed over, it would take its room twice.
    pub(super) async fn unless_halted<T>(
        &mut self,
        work: impl Future<Output = T> + Unpin,
    ) -> Result<T, Halt> {
        match select(pin!(self.halted()), work).await {
            Either::Left((halt, _)) => Err(halt),
            Either::Right((done, _)) => Ok(done),
        }
    }

    async fn halted(&mut self) -> Halt {
        match self.told.wait_for(Option::is_some).await.map(|told| *told) {
            Ok(Some(halt)) => halt,
            // Nobody can tell it any more, which only a run that ended brings about.
            _ => std::future::pending().await,
        }
    }
}

impl Drop for Reins {
    fn drop(&mut self) {
        let mut runs = self.carried.lock();
        let is_own = |tell: &watch::Sender<_>| tell.subscribe().same_channel(&self.told);
        if runs.carried.get(&self.run).is_some_and(is_own) {
            runs.carried.remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    async fn told(reins: &mut Reins) -> Halt {
        reins.unless_halted(pin!(pending::<()>())).await.unwrap_err()
    }

    #[tokio::test]
    async fn the_first_reason_to_stop_stands() {
        let (carried, run) = (Carried::default(), RunId::new());
        let mut reins = carried.take(run);

        carried.halt(run, Halt::Stop(Stop::Cancel));
        carried.hand_back_all();
        carried.lose_all();

        assert_eq!(told(&mut reins).await, Halt::Stop(Stop::Cancel));
    }

    #[tokio::test]
    async fn what_is_taken_while_all_are_handed_back_is_handed_back() {
        let carried = Carried::default();
        carried.lose_all();
        let mut before = carried.take(RunId::new());

        carried.hand_back_all();

        assert_eq!(told(&mut before).await, Halt::HandBack);
        assert_eq!(told(&mut carried.take(RunId::new())).await, Halt::HandBack);
    }

    #[tokio::test]
    async fn an_attempt_that_was_lost_unnoticed_makes_way_for_the_next() {
        let (carried, run) = (Carried::default(), RunId::new());
        let mut former = carried.take(run);

        let next = carried.take(run);

        assert_eq!(told(&mut former).await, Halt::Lost);
        drop(former);
        assert_eq!(carried.ids(), [run]);
        drop(next);
        assert_eq!(carried.count(), 0);
    }
}
