//! One run, from its agent's first byte to the stored reply.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt};
use tokio::time::Instant;
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::{
    Inner,
    routing::{Route, route},
};
use crate::{
    AgentEvent, AgentStream, Clock, Delivery, Error, Failure, FailureKind, FinishRun, JsonObject,
    Message, Reply, Result, RunId, RunStart, RunState, Scope, SystemClock, Timestamp, Turn,
    hub::{Publisher, RunEnd, RunEvent},
};

/// The most text that one delta carries to a watcher, in bytes.
const MAX_DELTA_BYTES: usize = 1024;
/// The most text of one reply, in bytes, whichever way it came.
const MAX_REPLY_BYTES: usize = 256 * 1024;
/// For how long a finished run is offered to a store that is away.
const FINISH_PATIENCE: Duration = Duration::from_secs(60);
const FINISH_RETRY_AFTER: Duration = Duration::from_millis(250);
const MAX_FINISH_PAUSE: Duration = Duration::from_secs(4);

/// Carries a run to its end. Whatever happens, the watchers are told an end.
pub(super) async fn drive(inner: Arc<Inner>, start: RunStart, publisher: Publisher) {
    let (run, app) = (start.run.id, start.run.app);
    let span = info_span!("run", run.id = %run, app.id = %app);
    let carried = carry(&inner, start, &publisher).instrument(span.clone());
    let deliveries = AssertUnwindSafe(carried).catch_unwind().await.unwrap_or_else(|_| {
        span.in_scope(|| error!("the run panicked"));
        let failure = Failure::new(FailureKind::Internal, "the run panicked");
        publisher.publish(end(RunState::Failed, None, Some(failure)));
        Vec::new()
    });
    drop(publisher);
    for delivery in deliveries {
        record(&inner, delivery).instrument(span.clone()).await;
    }
}

async fn carry(inner: &Inner, start: RunStart, publisher: &Publisher) -> Vec<Delivery> {
    let turn = Turn::from(start);
    let route = route(&turn);
    let reason = route.reason.map(Arc::from);
    publisher.publish(RunEvent::Meta { source: route.kind.as_str().into(), reason });
    let mut answer = Answer::default();
    let listening = AssertUnwindSafe(answer.ask(inner, turn.clone(), &route, publisher));
    if listening.catch_unwind().await.is_err() {
        error!("the dispatcher panicked");
        answer.fail(FailureKind::Internal, "the dispatcher panicked");
    }
    let deliveries = std::mem::take(&mut answer.deliveries);
    let finish = answer.finish(&turn, &route);
    publisher.publish(store(inner, finish).await);
    deliveries
}

/// How long to wait before an agent is asked again: the first time at once, then longer, and
/// never quite as long, so that runs that failed together do not come back together.
fn pause(retry: u32) -> Duration {
    let base = match retry {
        0 => return Duration::ZERO,
        1 => Duration::from_secs(1),
        _ => Duration::from_secs(4),
    };
    base.mul_f64(rand::random_range(0.8..1.2))
}

/// What has come from the agent so far.
#[derive(Default)]
struct Answer {
    text: String,
    /// Whether something was said, if only an empty text.
    spoken: bool,
    truncated: bool,
    pending: bool,
    failure: Option<Failure>,
    first_delta_at: Option<Timestamp>,
    deliveries: Vec<Delivery>,
}

impl Answer {
    /// Asks the agent, and again as often as the app wants if it did not get the turn.
    async fn ask(&mut self, inner: &Inner, mut turn: Turn, route: &Route, publisher: &Publisher) {
        let Some(dispatcher) = inner.dispatchers.get(&route.kind) else {
            let detail = format!("there is no dispatcher for agents of kind `{}`", route.kind);
            return self.fail(FailureKind::AgentUnavailable, detail);
        };
        let deadline = Instant::now() + inner.settings.deadline;
        for retry in 0..=turn.config.retries {
            self.failure = None;
            let events = dispatcher.dispatch(Arc::new(turn.clone()));
            self.listen(inner, events, deadline, publisher).await;
            if !self.is_worth_a_retry() || retry == turn.config.retries {
                return;
            }
            info!("run {} asks its agent again", turn.run.id);
            let pause = tokio::time::sleep(pause(retry));
            if inner.stopping.run_until_cancelled(pause).await.is_none() {
                return;
            }
            turn.run.attempt += 1;
        }
    }

    /// Once a word was said, asking again would say it twice.
    fn is_worth_a_retry(&self) -> bool {
        !self.spoken && self.failure.as_ref().is_some_and(|failure| failure.is_passing)
    }

    /// Listens to the agent until it has finished, failed, or run out of time.
    async fn listen(
        &mut self,
        inner: &Inner,
        mut events: AgentStream,
        deadline: Instant,
        publisher: &Publisher,
    ) {
        loop {
            let next = tokio::time::timeout_at(deadline, next(inner, &mut events)).await;
            match next {
                Ok(Heard::Event(event)) => self.hear(event, publisher),
                Ok(Heard::Failure(failure)) => return self.failure = Some(failure),
                Ok(Heard::End) => return,
                Ok(Heard::Stopped) => {
                    return self.fail(FailureKind::RunInterrupted, "the server shut down");
                }
                Err(_) => return self.fail(FailureKind::RunExpired, "the deadline passed"),
            }
            if self.failure.is_some() {
                return;
            }
        }
    }

    fn fail(&mut self, kind: FailureKind, detail: impl Into<String>) {
        self.failure = Some(Failure::new(kind, detail));
    }

    fn hear(&mut self, event: AgentEvent, publisher: &Publisher) {
        match event {
            AgentEvent::Accepted => {}
            AgentEvent::Delta(text) | AgentEvent::Reply { text, .. } => {
                self.speak(&text, publisher)
            }
            AgentEvent::Truncated => self.truncated = true,
            AgentEvent::Pending => self.pending = true,
            AgentEvent::Delivery(delivery) => self.deliveries.push(*delivery),
        }
    }

    fn speak(&mut self, text: &str, publisher: &Publisher) {
        if self.text.len() + text.len() > MAX_REPLY_BYTES {
            return self.fail(FailureKind::WebhookTooLarge, "the reply is too long");
        }
        self.spoken = true;
        self.first_delta_at.get_or_insert_with(|| SystemClock.now());
        self.text.push_str(text);
        for delta in deltas(text) {
            publisher.publish(delta);
        }
    }

    /// What the run ends with.
    ///
    /// An answer that broke off is kept as far as it came, and says so: it ends the run as
    /// completed if the agent just stopped, as failed if something went wrong.
    fn finish(self, turn: &Turn, route: &Route) -> FinishRun {
        let failure = self.failure.or_else(|| {
            let pending = (self.pending && !self.spoken)
                .then(|| Failure::new(FailureKind::RunWaiting, "the agent answers later"));
            let silent = || Failure::new(FailureKind::NoReply, "neither a reply nor an error");
            pending.or_else(|| (!self.spoken).then(silent))
        });
        let state = match failure.as_ref().map(|failure| failure.kind) {
            None => RunState::Completed,
            Some(FailureKind::RunExpired) => RunState::Expired,
            Some(_) => RunState::Failed,
        };
        let broken = match (&failure, self.truncated) {
            (Some(_), _) => Some("error"),
            (None, true) => Some("incomplete"),
            (None, false) => None,
        };
        let kept = if failure.is_some() { !self.text.is_empty() } else { self.spoken };
        let content_json = content_json(route, broken);
        FinishRun {
            run: turn.run.id,
            fence: turn.run.fence,
            state,
            reply: kept.then_some(Reply { content: self.text, content_json }),
            failure,
            first_delta_at: self.first_delta_at,
        }
    }
}

/// What the stored reply says about where it came from, and whether it broke off.
fn content_json(route: &Route, broken: Option<&'static str>) -> JsonObject {
    let mut members = serde_json::Map::new();
    members.insert("source".into(), route.kind.as_str().into());
    if let Some(reason) = route.reason {
        members.insert("reason".into(), reason.into());
    }
    if let Some(finish) = broken {
        members.insert("finish".into(), finish.into());
        members.insert("truncated".into(), true.into());
    }
    members.into()
}

/// What can come next.
enum Heard {
    Event(AgentEvent),
    Failure(Failure),
    End,
    Stopped,
}

async fn next(inner: &Inner, events: &mut AgentStream) -> Heard {
    match inner.stopping.run_until_cancelled(events.next()).await {
        Some(Some(Ok(event))) => Heard::Event(event),
        Some(Some(Err(failure))) => Heard::Failure(failure),
        Some(None) => Heard::End,
        None => Heard::Stopped,
    }
}

/// A text in deltas that are small enough for every client.
pub(super) fn deltas(text: &str) -> impl Iterator<Item = RunEvent> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.floor_char_boundary(MAX_DELTA_BYTES);
        let (delta, after) = rest.split_at(end);
        rest = after;
        Some(RunEvent::Delta(delta.into()))
    })
}

fn end(state: RunState, message: Option<Message>, failure: Option<Failure>) -> RunEvent {
    RunEvent::End(Arc::new(RunEnd { state, message, failure }))
}

/// Stores how the run ended, and gives the event that tells it.
async fn store(inner: &Inner, finish: FinishRun) -> RunEvent {
    let FinishRun { run, fence, state, .. } = finish;
    let failure = finish.failure.clone();
    match &failure {
        Some(failure) => info!(error = failure.kind.key(), "run {run} failed: {failure}"),
        None => debug!("run {run} completed"),
    }
    match finish_patiently(inner, finish).await {
        Ok(message) => end(state, message, failure),
        Err(Error::Fenced) => fenced(inner, run).await,
        Err(error) => {
            error!(%error, "the end of run {run} could not be stored");
            let failure = Failure::new(unstored(&error), "the reply could not be stored");
            give_up(inner, run, fence, failure.clone()).await;
            end(RunState::Failed, None, Some(failure))
        }
    }
}

/// The end of a run that somebody else ended: by deleting what it belongs to, or by taking it
/// or its thread over.
async fn fenced(inner: &Inner, run: RunId) -> RunEvent {
    let gone = inner.store.get_run(&Scope::Everything, run).await;
    let (state, kind, why) = match gone {
        Err(Error::RunNotFound) => {
            (RunState::Cancelled, FailureKind::RunCancelled, "its thread was deleted")
        }
        _ => (RunState::Superseded, FailureKind::RunSuperseded, "somebody else ended the run"),
    };
    end(state, None, Some(Failure::new(kind, why)))
}

fn unstored(error: &Error) -> FailureKind {
    match error {
        Error::Full(_) => FailureKind::StorageFull,
        _ => FailureKind::Internal,
    }
}

/// Ends a run without its reply, which the store did not take. If it does not take that
/// either, the run is missed later by the server's own sweep.
async fn give_up(inner: &Inner, run: RunId, fence: i64, failure: Failure) {
    let (state, failure) = (RunState::Failed, Some(failure));
    let finish = FinishRun { run, fence, state, reply: None, failure, first_delta_at: None };
    if let Err(error) = inner.store.finish_run(finish).await {
        warn!(%error, "run {run} could not be ended");
    }
}

/// Offers the end of a run to the store until it is taken: the agent has done its work, and
/// a database that restarts must not undo that.
async fn finish_patiently(inner: &Inner, finish: FinishRun) -> Result<Option<Message>> {
    let give_up = Instant::now() + FINISH_PATIENCE;
    let (mut maybe_done, mut pause) = (false, FINISH_RETRY_AFTER);
    loop {
        let error = match inner.store.finish_run(finish.clone()).await {
            Ok(finished) => return Ok(finished.reply),
            Err(Error::Fenced) if maybe_done => return stored_reply(inner, &finish).await,
            Err(error) => error,
        };
        maybe_done |= matches!(error, Error::OutcomeUnknown(_));
        let passing =
            matches!(error, Error::Unavailable(_) | Error::OutcomeUnknown(_) | Error::Full(_));
        if !passing || Instant::now() >= give_up {
            return Err(error);
        }
        warn!(%error, "the end of run {} is offered again", finish.run);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_FINISH_PAUSE);
    }
}

/// What an earlier offer stored, whose answer was lost.
async fn stored_reply(inner: &Inner, finish: &FinishRun) -> Result<Option<Message>> {
    let run = inner.store.get_run(&Scope::Everything, finish.run).await?;
    if run.fence != finish.fence || run.state != finish.state {
        return Err(Error::Fenced);
    }
    match run.reply {
        Some(reply) => inner.store.get_message(&Scope::Everything, reply).await.map(Some),
        None => Ok(None),
    }
}

async fn record(inner: &Inner, delivery: Delivery) {
    if let Err(error) = inner.store.record_delivery(delivery).await {
        warn!(%error, "a delivery could not be recorded");
    }
}
