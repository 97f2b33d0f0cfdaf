//! Hints: word that something has changed, for whoever waits for it to look.
//!
//! A hint says where to look, never what is there: the store is the truth, and is looked at
//! from time to time without any. So a hint may come late, twice or not at all.

use std::{fmt, pin::pin};

use futures::future::{Either, select};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::{AppId, RunId, ThreadId};

/// How many hints wait for a listener that is busy. One that misses more is told to look at
/// everything.
const MAX_WAITING: usize = 1_024;

/// Where something has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hint {
    /// The app.
    pub app: AppId,
    /// The thread.
    pub thread: ThreadId,
    /// What of the thread.
    pub topic: Topic,
}

/// What of a thread has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// The thread itself: it was made, changed, handed over or deleted.
    Thread,
    /// A message was appended.
    Message,
    /// A run was made, or stands elsewhere than before.
    Run(RunId),
    /// There is more of a run's text in the store.
    Text(RunId),
}

/// What a listener hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Something has changed here.
    Hint(Hint),
    /// Hints of text may have been missed: any run may have said more.
    Texts,
    /// Hints may have been missed: anything may have changed.
    Everything,
}

/// Carries hints to all who listen, on this server and, depending on the implementation, on
/// all others that work on the same store.
pub trait StreamHub: fmt::Debug + Send + Sync + 'static {
    /// Tells everybody. It never waits, and never fails: a hint that can't be sent is lost.
    fn tell(&self, hint: Hint);

    /// Listens from now on.
    fn listen(&self) -> Hints;

    /// Whether what servers tell is heard on the others, for now. Where it is not, those who
    /// wait for others have to look often.
    fn reaches_others(&self) -> bool;
}

/// The hints that a listener hears.
///
/// Of text there are so many, where many runs speak, that the others would be lost among them:
/// so each kind is missed by itself.
#[derive(Debug)]
pub struct Hints {
    changes: broadcast::Receiver<Heard>,
    texts: broadcast::Receiver<Heard>,
}

impl Hints {
    /// The next one; `None` once the hub is gone.
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Heard> {
        let (changes, texts) = (pin!(self.changes.recv()), pin!(self.texts.recv()));
        let (heard, missed) = match select(changes, texts).await {
            Either::Left((heard, _)) => (heard, Heard::Everything),
            Either::Right((heard, _)) => (heard, Heard::Texts),
        };
        match heard {
            Ok(heard) => Some(heard),
            Err(RecvError::Lagged(_)) => Some(missed),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Carries hints within this process: all that is needed where one server works on a store,
/// and what a hub that reaches further is made with.
#[derive(Clone, Debug)]
pub struct LocalHub {
    changes: broadcast::Sender<Heard>,
    texts: broadcast::Sender<Heard>,
}

impl LocalHub {
    /// Has everybody on this server hear something.
    pub fn pass_on(&self, heard: Heard) {
        let way = match heard {
            Heard::Texts | Heard::Hint(Hint { topic: Topic::Text(_), .. }) => &self.texts,
            Heard::Everything | Heard::Hint(_) => &self.changes,
        };
        // Where nobody listens there is nobody to tell.
        let _ = way.send(heard);
    }
}

impl Default for LocalHub {
    fn default() -> Self {
        let way = || broadcast::Sender::new(MAX_WAITING);
        Self { changes: way(), texts: way() }
    }
}

impl StreamHub for LocalHub {
    fn tell(&self, hint: Hint) {
        self.pass_on(Heard::Hint(hint));
    }

    fn listen(&self) -> Hints {
        Hints { changes: self.changes.subscribe(), texts: self.texts.subscribe() }
    }

    fn reaches_others(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(topic: Topic) -> Hint {
        Hint { app: AppId::new(), thread: ThreadId::new(), topic }
    }

    #[tokio::test]
    async fn every_listener_hears_what_is_told_from_then_on() {
        let hub = LocalHub::default();
        let (before, after) = (hint(Topic::Thread), hint(Topic::Run(RunId::new())));
        hub.tell(before);
        let mut listeners = [hub.listen(), hub.listen()];

        hub.tell(after);

        for listener in &mut listeners {
            assert_eq!(listener.next().await, Some(Heard::Hint(after)));
        }
    }

    #[tokio::test]
    async fn a_listener_that_misses_hints_is_told_to_look_everywhere() {
        let hub = LocalHub::default();
        let mut listener = hub.listen();
        for _ in 0..=MAX_WAITING {
            hub.tell(hint(Topic::Message));
        }

        assert_eq!(listener.next().await, Some(Heard::Everything));
        assert!(matches!(listener.next().await, Some(Heard::Hint(_))));
    }

    #[tokio::test]
    async fn runs_that_speak_drown_nothing_else() {
        let hub = LocalHub::default();
        let mut listener = hub.listen();
        let change = hint(Topic::Message);
        hub.tell(change);
        for _ in 0..=MAX_WAITING {
            hub.tell(hint(Topic::Text(RunId::new())));
        }

        assert_eq!(listener.next().await, Some(Heard::Hint(change)));
        assert_eq!(listener.next().await, Some(Heard::Texts));
        assert!(matches!(listener.next().await, Some(Heard::Hint(_))));
    }

    #[tokio::test]
    async fn listening_ends_with_the_hub() {
        let hub = LocalHub::default();
        let mut listener = hub.listen();

        drop(hub);

        assert_eq!(listener.next().await, None);
    }
}
