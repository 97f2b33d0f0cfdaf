//! Idempotency keys.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    MemoryStore,
    state::{AppRow, RequestRow, State},
};
use crate::{
    AppId, Error, IdempotencyKey, IdempotencyStore, KeyedRequest, Made, Message, NewMessage,
    NewThread, Once, Result, Scope, StartRun, StartedRun, Thread, ThreadId, Timestamp,
};

impl State {
    /// What the request made before, if it was made and is not forgotten.
    fn made_before(
        &self,
        scope: &Scope,
        app: AppId,
        request: &KeyedRequest,
        now: Timestamp,
    ) -> Result<Option<Made>> {
        let known = self.app(scope, app)?.requests.get(&request.key);
        let since = now.minus(request.lifetime);
        let Some(row) = known.filter(|row| row.created_at > since) else { return Ok(None) };
        request.repeats(&row.route, &row.body_sha256)?;
        Ok(Some(row.made.clone()))
    }

    /// Remembers what the request made.
    fn remember<T>(&mut self, app: AppId, request: KeyedRequest, made: T, now: Timestamp) -> Once<T>
    where
        for<'a> Made: From<&'a T>,
    {
        let KeyedRequest { key, route, body_sha256, .. } = request;
        let row = RequestRow { route, body_sha256, made: (&made).into(), created_at: now };
        self.owning_app(app).requests.insert(key, row);
        Once::first(made)
    }

    fn thread_again(&self, scope: &Scope, made: &Made) -> Result<(Thread, Option<Message>)> {
        let thread = self.thread(scope, made.thread()?)?.thread.clone();
        let greeting = made.message.map(|greeting| self.message(scope, greeting)).transpose()?;
        Ok((thread, greeting))
    }

    fn message_again(&self, scope: &Scope, thread: ThreadId, made: &Made) -> Result<Message> {
        self.message(scope, made.message()?).map_err(|_| Error::ThreadNotFound(thread))
    }

    fn run_again(&self, scope: &Scope, thread: ThreadId, made: &Made) -> Result<StartedRun> {
        let run = self.run(scope, made.run()?).map_err(|_| Error::ThreadNotFound(thread))?;
        Ok(StartedRun::Standing(Box::new(run.run.clone())))
    }

    /// The keys that are as old as that: since when each is there, and whose it is.
    fn requests_until(&self, end: Timestamp) -> Vec<(Timestamp, AppId, IdempotencyKey)> {
        let of_app = |(app, row): (&AppId, &AppRow)| {
            let old = row.requests.iter().filter(|(_, row)| row.created_at <= end);
            old.map(|(key, row)| (row.created_at, *app, key.clone())).collect::<Vec<_>>()
        };
        self.apps.iter().flat_map(of_app).collect()
    }
}

#[async_trait]
impl IdempotencyStore for MemoryStore {
    async fn create_thread_once(
        &self,
        scope: &Scope,
        app: AppId,
        thread: NewThread,
        request: KeyedRequest,
    ) -> Result<Once<(Thread, Option<Message>)>> {
        self.step(|state, now| {
            if let Some(made) = state.made_before(scope, app, &request, now)? {
                return state.thread_again(scope, &made).map(Once::again);
            }
            let made = state.create_thread(scope, app, thread, now)?;
            Ok(state.remember(app, request, made, now))
        })
    }

    async fn append_message_once(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        message: NewMessage,
        request: KeyedRequest,
    ) -> Result<Once<Message>> {
        self.step(|state, now| {
            if let Some(made) = state.made_before(scope, app, &request, now)? {
                return state.message_again(scope, thread, &made).map(Once::again);
            }
            let made = state.say(scope, app, thread, message, now)?;
            Ok(state.remember(app, request, made, now))
        })
    }

    async fn start_run_once(
        &self,
        scope: &Scope,
        start: StartRun,
        request: KeyedRequest,
    ) -> Result<Once<StartedRun>> {
        self.step(|state, now| {
            if let Some(made) = state.made_before(scope, start.app, &request, now)? {
                return state.run_again(scope, start.thread, &made).map(Once::again);
            }
            let made = state.start_run(scope, &start, now)?;
            Ok(state.remember(start.app, request, made, now))
        })
    }

    async fn ask_once(
        &self,
        scope: &Scope,
        message: NewMessage,
        start: StartRun,
        request: KeyedRequest,
    ) -> Result<Once<(Message, StartedRun)>> {
        self.step(|state, now| {
            if let Some(made) = state.made_before(scope, start.app, &request, now)? {
                let said = state.message_again(scope, start.thread, &made)?;
                let run = state.run_again(scope, start.thread, &made)?;
                return Ok(Once::again((said, run)));
            }
            let made = state.ask(scope, message, &start, now)?;
            Ok(state.remember(start.app, request, made, now))
        })
    }

    async fn prune_idempotency_keys(&self, age: Duration, limit: u32) -> Result<u64> {
        self.step(|state, now| {
            let mut old = state.requests_until(now.minus(age));
            old.sort_unstable();
            old.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            for (_, app, key) in &old {
                state.owning_app(*app).requests.remove(key);
            }
            Ok(old.len() as u64)
        })
    }
}
