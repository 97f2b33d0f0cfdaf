//! What comes from an agent, from its first byte to the last, as far as it is let speak.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout_at};
use tracing::{error, info};

use super::{
    Inner,
    carried::{Halt, Reins},
    routing::Route,
};
use crate::{
    AgentEvent, AgentStream, Clock, Delivery, Failure, FailureKind, FinishRun, JsonObject,
    MAX_REPLY_BYTES, Reply, RunEvent, RunState, Stop, SystemClock, Timestamp, Turn, hub::Publisher,
    storable,
};

/// For how long a dispatcher may still say what it has sent when its answer is not wanted any
/// more. It need not wait for anything to do so.
const HANGING_UP: Duration = Duration::from_millis(100);

/// As good as never, and still a time that can be reckoned with.
const FAR_AWAY: Duration = Duration::from_secs(365 * 24 * 3_600);

/// What has come from the agent so far.
#[derive(Default)]
pub(super) struct Answer {
    text: String,
    /// Whether something was said, if only an empty text.
    spoken: bool,
    truncated: bool,
    pending: bool,
    pub(super) failure: Option<Failure>,
    pub(super) halt: Option<Halt>,
    first_delta_at: Option<Timestamp>,
    pub(super) deliveries: Vec<Delivery>,
}

/// How much of an answer was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// To its end.
    All,
    /// As much as was wanted.
    Enough,
}

/// What becomes of a run whose agent has nothing more to say.
pub(super) enum Outcome {
    /// It ends.
    Finish(FinishRun),
    /// Its agent answers later.
    Wait,
    /// Another server goes on with it.
    HandBack,
    /// Another server has it already.
    Lost,
}

impl Answer {
    /// What the agent of a turn answers in that time. A dispatcher that panics has failed.
    pub(super) async fn heard(
        inner: &Inner,
        turn: Arc<Turn>,
        route: &Route,
        time: Duration,
        publisher: &Publisher,
        reins: &mut Reins,
    ) -> Self {
        let mut answer = Self::default();
        let asking = answer.ask(inner, turn, route, time, publisher, reins);
        if AssertUnwindSafe(asking).catch_unwind().await.is_err() {
            error!("the dispatcher panicked");
            answer.fail(FailureKind::Internal, "the dispatcher panicked");
        }
        answer
    }

    /// Asks the agent, and again as often as the app wants if it did not get the turn.
    async fn ask(
        &mut self,
        inner: &Inner,
        mut turn: Arc<Turn>,
        route: &Route,
        time: Duration,
        publisher: &Publisher,
        reins: &mut Reins,
    ) {
        let Some(dispatcher) = inner.dispatchers.get(&route.kind) else {
            let detail = format!("there is no dispatcher for agents of kind `{}`", route.kind);
            return self.fail(FailureKind::AgentUnavailable, detail);
        };
        if time.is_zero() {
            return self.fail(FailureKind::RunExpired, "the deadline passed");
        }
        let deadline = Instant::now() + time.min(FAR_AWAY);
        for retry in 0..=turn.config.retries {
            self.failure = None;
            let entered = timeout_at(deadline, inner.gates.enter(turn.agent.id));
            let pass = match reins.unless_halted(pin!(entered)).await {
                Ok(Ok(Ok(pass))) => pass,
                Ok(Ok(Err(failure))) => return self.failure = Some(failure),
                Ok(Err(_)) => return self.fail(FailureKind::RunExpired, "the deadline passed"),
                Err(halt) => return self.halt = Some(halt),
            };
            let mut events = dispatcher.dispatch(Arc::clone(&turn));
            if self.listen(&mut events, deadline, publisher, reins).await == Extent::Enough {
                turn.interest.lose();
                self.hear_of_deliveries(events).await;
            }
            if self.halt.is_none() {
                pass.note(self.failure.as_ref());
            }
            drop(pass);
            if !self.is_worth_a_retry() || retry == turn.config.retries {
                return;
            }
            info!("run {} asks its agent again", turn.run.id);
            let pause = tokio::time::sleep(pause(retry));
            if let Err(halt) = reins.unless_halted(pin!(pause)).await {
                return self.halt = Some(halt);
            }
            Arc::make_mut(&mut turn).run.attempt += 1;
        }
    }

    /// Once a word was said, asking again would say it twice.
    fn is_worth_a_retry(&self) -> bool {
        let passing = self.failure.as_ref().is_some_and(|failure| failure.is_passing);
        !self.spoken && passing && self.halt.is_none()
    }

    /// Listens to the agent until it has finished, failed, is told to stop, or ran out of time.
    async fn listen(
        &mut self,
        events: &mut AgentStream,
        deadline: Instant,
        publisher: &Publisher,
        reins: &mut Reins,
    ) -> Extent {
        while self.failure.is_none() {
            let next = timeout_at(deadline, events.next());
            match reins.unless_halted(pin!(next)).await {
                Ok(Ok(Some(Ok(event)))) => self.hear(event, publisher),
                Ok(Ok(Some(Err(failure)))) => {
                    self.failure = Some(failure);
                    return Extent::All;
                }
                Ok(Ok(None)) => return Extent::All,
                Ok(Err(_)) => self.fail(FailureKind::RunExpired, "the deadline passed"),
                Err(halt) => {
                    self.halt = Some(halt);
                    return Extent::Enough;
                }
            }
        }
        Extent::Enough
    }

    /// Lets a dispatcher say what it has sent, although the answer is not wanted any more.
    async fn hear_of_deliveries(&mut self, mut events: AgentStream) {
        let rest = async {
            while let Some(Ok(event)) = events.next().await {
                if let AgentEvent::Delivery(delivery) = event {
                    self.deliveries.push(*delivery);
                }
            }
        };
        // One that does not know that it is given up is cut off.
        let _ = tokio::time::timeout(HANGING_UP, rest).await;
    }

    pub(super) fn failed(kind: FailureKind, detail: &str) -> Self {
        Self { failure: Some(Failure::new(kind, detail)), ..Self::default() }
    }

    fn fail(&mut self, kind: FailureKind, detail: impl Into<String>) {
        self.failure = Some(Failure::new(kind, detail));
    }

    fn hear(&mut self, event: AgentEvent, publisher: &Publisher) {
        match event {
            AgentEvent::Accepted => {}
            AgentEvent::Delta(text) | AgentEvent::Reply { text, .. } => {
                // What is shown while it comes is what is stored in the end, byte by byte.
                self.speak(&storable(&text), publisher);
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
        publisher.publish(RunEvent::Delta(text.into()));
    }

    /// What becomes of the run.
    pub(super) fn outcome(self, turn: &Turn, route: &Route) -> Outcome {
        match self.halt {
            Some(Halt::HandBack) => Outcome::HandBack,
            Some(Halt::Lost) => Outcome::Lost,
            Some(Halt::Stop(stop)) => Outcome::Finish(self.stopped(stop, turn, route)),
            None if self.pending && !self.spoken && self.failure.is_none() => Outcome::Wait,
            None => Outcome::Finish(self.finished(turn, route)),
        }
    }

    /// The end of a run that was told to stop. What was said so far is kept if it is the
    /// answer that somebody had enough of; if another run answers instead, it is not spoken.
    fn stopped(self, stop: Stop, turn: &Turn, route: &Route) -> FinishRun {
        let kept = stop == Stop::Cancel && !self.text.is_empty();
        let failure = (!kept).then(|| stop.failure());
        self.end(stop.state(), kept, failure, Some("cancelled"), turn, route)
    }

    /// The end of a run that was let speak. An answer that broke off is kept as far as it came,
    /// and says so: it ends the run as completed if the agent just stopped, as failed if
    /// something went wrong.
    fn finished(mut self, turn: &Turn, route: &Route) -> FinishRun {
        let silent = || Failure::new(FailureKind::NoReply, "neither a reply nor an error");
        let failure = self.failure.take().or_else(|| (!self.spoken).then(silent));
        let state = match failure.as_ref().map(|failure| failure.kind) {
            None => RunState::Completed,
            Some(FailureKind::RunExpired) => RunState::Expired,
            Some(_) => RunState::Failed,
        };
        let finish = match (&failure, self.truncated) {
            (Some(_), _) => Some("error"),
            (None, true) => Some("incomplete"),
            (None, false) => None,
        };
        let kept = if failure.is_some() { !self.text.is_empty() } else { self.spoken };
        self.end(state, kept, failure, finish, turn, route)
    }

    fn end(
        self,
        state: RunState,
        kept: bool,
        failure: Option<Failure>,
        finish: Option<&'static str>,
        turn: &Turn,
        route: &Route,
    ) -> FinishRun {
        let content_json = content_json(&route.kind, route.reason, finish);
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

/// What the stored reply says about where it came from, and how it ended if not normally.
pub(super) fn content_json(
    source: &str,
    reason: Option<&'static str>,
    finish: Option<&'static str>,
) -> JsonObject {
    let mut members = serde_json::Map::new();
    members.insert("source".into(), source.into());
    if let Some(reason) = reason {
        members.insert("reason".into(), reason.into());
    }
    if let Some(finish) = finish {
        members.insert("finish".into(), finish.into());
        members.insert("truncated".into(), true.into());
    }
    members.into()
}
