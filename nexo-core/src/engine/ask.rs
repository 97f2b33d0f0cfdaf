//! Wishes to have a thread answered: with something said first or not, once or as often as one
//! asks.

use super::{Engine, RunOptions};
use crate::{
    AppId, Error, KeyedRequest, Message, NewMessage, Once, Result, RunWatch, Scope, StartRun,
    StartedRun, Store, ThreadId,
};

/// What was said, if anything was, and the run that answers.
pub(super) type Answering = (Option<Message>, RunWatch);

/// A wish to have a thread answered.
pub(super) struct Wish {
    pub(super) app: AppId,
    pub(super) thread: ThreadId,
    pub(super) options: RunOptions,
    /// What the user says first.
    pub(super) message: Option<NewMessage>,
    /// The request that brings it about, if it has a key.
    pub(super) request: Option<KeyedRequest>,
}

impl Wish {
    /// Has the store do all of it, in one step.
    pub(super) async fn put_to(
        self,
        store: &dyn Store,
        scope: &Scope,
        start: StartRun,
    ) -> Result<Once<(Option<Message>, StartedRun)>> {
        let said_nothing = |started| (None, started);
        let said = |(message, started)| (Some(message), started);
        Ok(match (self.message, self.request) {
            (None, None) => Once::first(store.start_run(scope, start).await?).map(said_nothing),
            (None, Some(request)) => {
                store.start_run_once(scope, start, request).await?.map(said_nothing)
            }
            (Some(message), None) => Once::first(store.ask(scope, message, start).await?).map(said),
            (Some(message), Some(request)) => {
                store.ask_once(scope, message, start, request).await?.map(said)
            }
        })
    }
}

impl Engine {
    /// Answers the newest user message of a thread as [`Engine::start_with`] does, but only once
    /// for a request with this key: again, it gives a watch on the run of the first time, from
    /// its start, also when that has ended.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::start_with`], and of
    /// [`IdempotencyStore::start_run_once`](crate::IdempotencyStore::start_run_once).
    pub async fn start_once(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        options: RunOptions,
        request: KeyedRequest,
    ) -> Result<Once<RunWatch>> {
        let wish = Wish { app, thread, options, message: None, request: Some(request) };
        Ok(self.have_answered(scope, wish).await?.map(|(_, watch)| watch))
    }

    /// Says something in a thread as its user, and has it answered, as one step: gives the
    /// message as it was stored, and a watch on the run. Where the wish is refused, nothing is
    /// said. With the request's key, it is done once, as by [`Engine::start_once`].
    ///
    /// # Errors
    ///
    /// Those of [`RunStore::ask`](crate::RunStore::ask), and with a key of
    /// [`IdempotencyStore::ask_once`](crate::IdempotencyStore::ask_once);
    /// [`Error::Unavailable`] while the server shuts down.
    pub async fn ask(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        message: NewMessage,
        options: RunOptions,
        request: Option<KeyedRequest>,
    ) -> Result<Once<(Message, RunWatch)>> {
        let wish = Wish { app, thread, options, message: Some(message), request };
        let Once { made: (said, watch), replayed } = self.have_answered(scope, wish).await?;
        let said = said.ok_or(Error::Corrupt("message of a wish"))?;
        Ok(Once { made: (said, watch), replayed })
    }
}
