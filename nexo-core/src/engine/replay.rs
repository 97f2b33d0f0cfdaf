//! Replays: a turn from before is put to an agent again, and nobody hears the reply but who
//! asked.

use std::sync::Arc;

use super::{
    Engine, Inner,
    answer::{Answer, Outcome},
    deliveries::{record, record_patiently},
    routing::route,
};
use crate::{
    AgentId, AppConfig, AppId, Clock, Error, Failure, FailureKind, Interest, Message, MessageRange,
    Purpose, Replay, ReplayId, Result, Run, RunId, Scope, SystemClock, Turn,
};

impl Engine {
    /// Puts the turn of a run to an agent again, dry: the same message with what was said up to
    /// it, under the configuration of now. Without an agent it is the one that was asked then.
    /// What comes of it is kept as a [`Replay`], and nothing else: the reply is not spoken, and
    /// no run waits. Agents can tell it by the header `X-Replay-Of`.
    ///
    /// The run need not have ended. An agent that answers later has failed here, with
    /// [`FailureKind::RunWaiting`]: there is no run that it could answer.
    ///
    /// # Errors
    ///
    /// [`Error::RunNotFound`] if the app has no such run in the scope,
    /// [`Error::AgentNotFound`] if it has no such agent, [`Error::Unavailable`] while the server
    /// shuts down, and those of the store.
    pub async fn replay(
        &self,
        scope: &Scope,
        app: AppId,
        run: RunId,
        agent: Option<AgentId>,
    ) -> Result<Replay> {
        let mut turn = self.inner.turn_of(scope, app, run, agent).await?;
        let replay = ReplayId::new();
        turn.run.attempt = 1;
        turn.purpose = Purpose::Replay(replay);
        let inner = Arc::clone(&self.inner);
        self.see_through(async move { inner.put(Arc::new(turn), replay).await }).await
    }
}

impl Inner {
    /// The turn of a run, as it was up to its message and is by now in all else.
    pub(super) async fn turn_of(
        &self,
        scope: &Scope,
        app: AppId,
        run: RunId,
        agent: Option<AgentId>,
    ) -> Result<Turn> {
        let store = &self.store;
        let run = store.get_run(scope, run).await?;
        if run.app != app {
            return Err(Error::RunNotFound);
        }
        let agent = store.get_agent(scope, app, agent.unwrap_or(run.agent)).await?;
        let app = store.get_app(scope, app).await?;
        Ok(Turn {
            thread: store.get_thread(scope, run.thread).await?,
            message: store.get_message(scope, run.message).await?,
            history: self.history_of(scope, &run).await?,
            config: AppConfig::read(&app.config),
            purpose: Purpose::Answer,
            interest: Interest::default(),
            run,
            app,
            agent,
        })
    }

    /// What was said up to the message of a run. One listing may not give all of it, if the
    /// messages are long.
    async fn history_of(&self, scope: &Scope, run: &Run) -> Result<Vec<Message>> {
        let (store, app, thread) = (&self.store, run.app, run.thread);
        let until = MessageRange::Newest { before: Some(run.message_seq + 1) };
        let limit = self.settings.history;
        let mut history = store.list_messages(scope, app, thread, until, limit).await?;
        while let Some(last) = history.last().map(|message| message.seq)
            && last < run.message_seq
        {
            let rest = u32::try_from(run.message_seq - last).unwrap_or(u32::MAX);
            let after = MessageRange::After(last);
            let part = store.list_messages(scope, app, thread, after, rest).await?;
            if part.is_empty() {
                break;
            }
            history.extend(part);
        }
        Ok(history)
    }

    /// Asks the agent, and keeps what comes of it.
    ///
    /// The replay goes by its id where runs go by theirs, so that it has its share of what the
    /// server can carry, and ends when the server shuts down.
    async fn put(&self, turn: Arc<Turn>, replay: ReplayId) -> Result<Replay> {
        let id = RunId::from_uuid(replay.as_uuid());
        let (publisher, mut reins) = (self.hub.open(id, 1), self.carried.take(id));
        let (created_at, route) = (SystemClock.now(), route(&turn));
        let time = self.settings.deadline;
        let mut answer =
            Answer::heard(self, Arc::clone(&turn), &route, time, &publisher, &mut reins).await;
        let deliveries = std::mem::take(&mut answer.deliveries);
        record_patiently(self, record(self, deliveries).await).await;
        let ended = Replay {
            id: replay,
            app: turn.app.id,
            run: turn.run.id,
            agent: turn.agent.id,
            reply: None,
            failure: None,
            created_at,
            first_delta_at: None,
            finished_at: SystemClock.now().max(created_at),
        };
        let ended = with_outcome(ended, answer.outcome(&turn, &route));
        self.store.record_replay(ended.clone()).await?;
        Ok(ended)
    }
}

fn with_outcome(replay: Replay, outcome: Outcome) -> Replay {
    let failed = |kind, detail: &str| Some(Failure::new(kind, detail));
    match outcome {
        Outcome::Finish(finish) => Replay {
            reply: finish.reply,
            failure: finish.failure,
            first_delta_at: finish.first_delta_at,
            ..replay
        },
        Outcome::Wait => {
            let failure = failed(FailureKind::RunWaiting, "the agent answers later");
            Replay { failure, ..replay }
        }
        Outcome::HandBack | Outcome::Lost => {
            let failure = failed(FailureKind::RunInterrupted, "the server shut down");
            Replay { failure, ..replay }
        }
    }
}
