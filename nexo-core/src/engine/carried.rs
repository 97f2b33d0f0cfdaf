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
    runs: Arc<Mutex<HashMap<RunId, watch::Sender<Option<Halt>>>>>,
}

impl Carried {
    /// One more run is carried, until what this gives is dropped. If this server carries it
    /// since an earlier attempt, because it did not notice that it had lost it, that one stops.
    pub(super) fn take(&self, run: RunId) -> Reins {
        let (tell, told) = watch::channel(None);
        if let Some(former) = self.lock().insert(run, tell) {
            halt(&former, Halt::Lost);
        }
        Reins { carried: self.clone(), run, told }
    }

    pub(super) fn ids(&self) -> Vec<RunId> {
        self.lock().keys().copied().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Tells a run to stop, if it is carried here. The first reason stands.
    pub(super) fn halt(&self, run: RunId, why: Halt) {
        if let Some(tell) = self.lock().get(&run) {
            halt(tell, why);
        }
    }

    pub(super) fn halt_all(&self, why: Halt) {
        self.lock().values().for_each(|tell| halt(tell, why));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, watch::Sender<Option<Halt>>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn halt(tell: &watch::Sender<Option<Halt>>, why: Halt) {
    tell.send_if_modified(|told| told.replace(why).is_none());
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
        if runs.get(&self.run).is_some_and(is_own) {
            runs.remove(&self.run);
        }
    }
}
