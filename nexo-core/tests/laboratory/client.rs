//! Clients: they say something, want an answer, and read it, over whichever server is there.

use std::{sync::Arc, time::Duration};

use nexo_core::{Error, NewMessage, Overlap, Role, RunId, RunOptions, RunWatch, ThreadId};
use tokio::{task::JoinSet, time::timeout};

use crate::{chance::Chance, history::Outcome, reader::Reader, world::World};

/// How long a client waits for a server before it takes it for dead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

/// The client of one thread.
pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) number: usize,
    pub(crate) thread: ThreadId,
    pub(crate) chance: Chance,
}

impl Client {
    /// Talks until it is told that it is enough; gives those that still read.
    pub(crate) async fn talk(mut self, turns: u64) -> JoinSet<()> {
        let mut readers = JoinSet::new();
        for turn in 0..turns {
            self.pause().await;
            for part in 0..1 + self.chance.below(2) {
                self.say(format!("c{}.{turn}.{part}", self.number)).await;
            }
            let Some(watch) = self.ask().await else { continue };
            let run = watch.run();
            self.world.history.began(run);
            let name = format!("r{}.{turn}", self.number);
            readers.spawn(Reader::new(&self.world, name.clone(), run, Some(watch)).read());
            if self.chance.percent(30) {
                readers.spawn(Reader::new(&self.world, format!("{name}.late"), run, None).read());
            }
            if self.chance.percent(15) {
                self.cancel(run).await;
            }
        }
        readers
    }

    async fn pause(&mut self) {
        let longest = if self.chance.percent(40) { 800 } else { 9_000 };
        tokio::time::sleep(self.chance.millis(0..longest)).await;
    }

    /// Says something, again if it was not written, and not if that is not known.
    async fn say(&mut self, text: String) {
        for _ in 0..4 {
            let outcome = self.append(text.clone()).await;
            if outcome != Outcome::Refused {
                return self.world.history.sent(self.thread, text, outcome);
            }
            tokio::time::sleep(self.chance.millis(50..500)).await;
        }
        self.world.history.sent(self.thread, text, Outcome::Refused);
    }

    async fn append(&mut self, text: String) -> Outcome {
        let server = self.world.server(&mut self.chance);
        let (world, thread) = (Arc::clone(&self.world), self.thread);
        // In a task of its own: what is on its way arrives, whether or not the client waits.
        let appended = tokio::spawn(async move {
            let message = NewMessage::new(Role::User, text);
            let store = server.nexo.store();
            store.append_message(&world.scope, world.app, thread, message).await
        });
        match timeout(PATIENCE, appended).await {
            Ok(Ok(Ok(message))) => Outcome::Stored(message.seq),
            Ok(Ok(Err(Error::Unavailable(_)))) => Outcome::Refused,
            Ok(Ok(Err(Error::OutcomeUnknown(_)))) | Err(_) => Outcome::Unknown,
            Ok(other) => panic!("a message was not taken: {other:?}"),
        }
    }

    /// Wants an answer to what was said so far.
    async fn ask(&mut self) -> Option<RunWatch> {
        let options = self.options();
        for _ in 0..4 {
            let server = self.world.server(&mut self.chance);
            let engine = server.nexo.engine();
            let starting =
                engine.start_with(&self.world.scope, self.world.app, self.thread, options);
            let started = timeout(PATIENCE, starting).await;
            self.world.history.note(|| {
                let outcome = started.as_ref().map(|it| {
                    it.as_ref()
                        .map(|it| self.world.history.name(it.run()))
                        .map_err(|error| error.kind())
                });
                format!("c{} asks s{}, {options:?}: {outcome:?}", self.number, server.number)
            });
            match started {
                Ok(Ok(watch)) => return Some(watch),
                Ok(Err(Error::Unavailable(_) | Error::OutcomeUnknown(_))) | Err(_) => {}
                Ok(Err(Error::RunActive(_) | Error::NoUserMessages(_))) => return None,
                Ok(Err(error)) => panic!("no run was made: {error:?}"),
            }
            tokio::time::sleep(self.chance.millis(20..400)).await;
        }
        None
    }

    fn options(&mut self) -> RunOptions {
        let overlap = self.chance.percent(60).then(|| self.chance.pick(&Overlap::ALL).copied());
        let debounce = self.chance.percent(20).then(|| self.chance.millis(100..3_000));
        RunOptions { overlap: overlap.flatten(), debounce, message_seq: None }
    }

    async fn cancel(&mut self, run: RunId) {
        tokio::time::sleep(self.chance.millis(0..3_000)).await;
        let server = self.world.server(&mut self.chance);
        let engine = server.nexo.engine();
        let cancelled =
            timeout(PATIENCE, engine.cancel(&self.world.scope, self.world.app, run)).await;
        self.world.history.note(|| {
            let outcome = cancelled
                .as_ref()
                .map(|it| it.as_ref().map(|run| run.state).map_err(|error| error.kind()));
            let run = self.world.history.name(run);
            format!("c{} cancels {run} at s{}: {outcome:?}", self.number, server.number)
        });
    }
}
