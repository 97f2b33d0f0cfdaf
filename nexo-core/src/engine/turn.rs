//! One run on this server, from its begin to where it is stored what became of it.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::time::Instant;
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::{
    Inner,
    answer::{Answer, Outcome},
    carried::Reins,
    deliveries::{record, record_patiently},
    follow::gone,
    routing::route,
};
use crate::{
    Delivery, Error, Failure, FailureKind, FinishRun, FinishedRun, Result, Run, RunEnd, RunEvent,
    RunId, RunState, Scope, Topic, Turn, hub::Publisher,
};

/// How often a run is begun in all, if its server dies each time: one that kills its server
/// must not kill them all.
const MAX_ATTEMPTS: i32 = 3;
/// For how long the end of a run is offered to a store that is away.
const FINISH_PATIENCE: Duration = Duration::from_secs(60);
const FINISH_RETRY_AFTER: Duration = Duration::from_millis(250);
const MAX_FINISH_PAUSE: Duration = Duration::from_secs(4);

/// Carries a run to its end here. Whatever happens, the watchers are told an end, or go on
/// with whoever carries the run from now on.
pub(super) async fn drive(
    inner: Arc<Inner>,
    turn: Arc<Turn>,
    time: Duration,
    publisher: Publisher,
    mut reins: Reins,
) {
    let span = info_span!("run", run.id = %turn.run.id, app.id = %turn.app.id);
    let carried = carry(&inner, &turn, time, &publisher, &mut reins).instrument(span.clone());
    let (end, unrecorded) = AssertUnwindSafe(carried).catch_unwind().await.unwrap_or_else(|_| {
        span.in_scope(|| error!("the run panicked"));
        let failure = Some(Failure::new(FailureKind::Internal, "the run panicked"));
        (Some(RunEnd { state: RunState::Failed, message: None, failure }), Vec::new())
    });
    match end {
        Some(end) => publisher.end(end),
        None => inner.mirrors.add(publisher.leave()),
    }
    drop(reins);
    record_patiently(&inner, unrecorded).instrument(span).await;
}

/// Gives how the run ended, or nothing if it goes on elsewhere; and what was sent and is not
/// recorded yet. Whoever sees the end can look at the rest.
async fn carry(
    inner: &Inner,
    turn: &Arc<Turn>,
    time: Duration,
    publisher: &Publisher,
    reins: &mut Reins,
) -> (Option<RunEnd>, Vec<Delivery>) {
    let route = route(turn);
    let reason = route.reason.map(Arc::from);
    publisher.publish(RunEvent::Meta { source: route.kind.as_str().into(), reason });
    let mut answer = if is_begun_too_often(turn) {
        Answer::failed(FailureKind::RunInterrupted, "its server was lost while it ran")
    } else {
        Answer::heard(inner, Arc::clone(turn), &route, time, publisher, reins).await
    };
    let deliveries = std::mem::take(&mut answer.deliveries);
    let outcome = answer.outcome(turn, &route);
    // In a box, so that what is done at the end takes no room for as long as the agent speaks.
    let (end, unrecorded) = Box::pin(async {
        futures::join!(settle(inner, &turn.run, outcome), record(inner, deliveries))
    })
    .await;
    tell(inner, &turn.run, end.as_ref());
    (end, unrecorded)
}

async fn settle(inner: &Inner, run: &Run, outcome: Outcome) -> Option<RunEnd> {
    match outcome {
        Outcome::Finish(finish) => store(inner, finish).await,
        Outcome::Wait => park(inner, run).await,
        Outcome::HandBack => hand_back(inner, run).await,
        Outcome::Lost => None,
    }
}

/// Lets everybody know what became of the run.
fn tell(inner: &Inner, run: &Run, end: Option<&RunEnd>) {
    inner.tell_of(run);
    if end.is_some_and(|end| end.message.is_some()) {
        inner.tell(run, Topic::Message);
    }
}

/// Whether the run ended with its server before, more often than it may. What a server gave
/// back in good order does not count.
fn is_begun_too_often(turn: &Turn) -> bool {
    let allowed = if turn.config.retry_after_crash { MAX_ATTEMPTS } else { 1 };
    turn.run.attempt - turn.run.handbacks > allowed
}

/// Stores how the run ended, and gives it; nothing if the run is somebody else's by now.
async fn store(inner: &Inner, finish: FinishRun) -> Option<RunEnd> {
    let FinishRun { run, fence, state, .. } = finish;
    let failure = finish.failure.clone();
    match &failure {
        Some(failure) => info!(error = failure.kind.key(), "run {run} failed: {failure}"),
        None => debug!("run {run} completed"),
    }
    match finish_patiently(inner, finish).await {
        Ok(FinishedRun { reply, released }) => {
            if released {
                inner.news.notify_one();
            }
            Some(RunEnd { state, message: reply, failure })
        }
        Err(Error::Fenced) => overtaken(inner, run).await,
        // The run stands in the store as it was. Whoever reaches that first goes on with it, and
        // those who watch it here see how.
        Err(error @ (Error::Unavailable(_) | Error::OutcomeUnknown(_))) => {
            error!(%error, "the end of run {run} could not be stored, it begins again");
            None
        }
        Err(error) => {
            error!(%error, "the end of run {run} could not be stored");
            let failure = Failure::new(unstored(&error), "the reply could not be stored");
            give_up(inner, run, fence, failure.clone()).await;
            Some(RunEnd { state: RunState::Failed, message: None, failure: Some(failure) })
        }
    }
}

/// Somebody else ended the run or took it over; its watchers see how it goes on, unless it was
/// deleted with its thread.
async fn overtaken(inner: &Inner, run: RunId) -> Option<RunEnd> {
    info!("run {run} was overtaken; what was said here is not stored");
    let deleted =
        matches!(inner.store.get_run(&Scope::Everything, run).await, Err(Error::RunNotFound));
    deleted.then(gone)
}

/// The agent answers later: the run waits for it in the store. If that can't be stored, nobody
/// carries the run any more, and the agent is asked again.
async fn park(inner: &Inner, run: &Run) -> Option<RunEnd> {
    let (id, patience) = (run.id, inner.settings.patience);
    match inner.store.park_run(id, run.fence, patience).await {
        Ok(()) => None,
        Err(Error::Fenced) => overtaken(inner, id).await,
        Err(error) => {
            warn!(%error, "run {id} could not be let wait");
            None
        }
    }
}

/// The server shuts down. If the run can't be given back, others miss it soon.
async fn hand_back(inner: &Inner, run: &Run) -> Option<RunEnd> {
    if let Err(error) = inner.store.hand_back_run(run.id, run.fence).await {
        warn!(%error, "run {} could not be handed back", run.id);
    }
    None
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
async fn finish_patiently(inner: &Inner, finish: FinishRun) -> Result<FinishedRun> {
    let give_up = Instant::now() + FINISH_PATIENCE;
    let (mut maybe_done, mut pause) = (false, FINISH_RETRY_AFTER);
    loop {
        let error = match offer(inner, &finish, maybe_done).await {
            Ok(finished) => return Ok(finished),
            Err(error) => error,
        };
        maybe_done |= matches!(error, Error::OutcomeUnknown(_));
        if !error.is_passing() || Instant::now() >= give_up {
            return Err(error);
        }
        warn!(%error, "the end of run {} is offered again", finish.run);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_FINISH_PAUSE);
    }
}

/// Offers the end of a run once. If an earlier offer may have been taken, the store is asked
/// about it; where it does not answer that, the offer is still open.
async fn offer(inner: &Inner, finish: &FinishRun, maybe_done: bool) -> Result<FinishedRun> {
    match inner.store.finish_run(finish.clone()).await {
        Err(Error::Fenced) if maybe_done => stored_reply(inner, finish).await,
        offered => offered,
    }
}

/// What an earlier offer stored, whose answer was lost.
async fn stored_reply(inner: &Inner, finish: &FinishRun) -> Result<FinishedRun> {
    let run = inner.store.get_run(&Scope::Everything, finish.run).await?;
    if run.fence != finish.fence || run.state != finish.state {
        return Err(Error::Fenced);
    }
    let reply = match run.reply {
        Some(reply) => Some(inner.store.get_message(&Scope::Everything, reply).await?),
        None => None,
    };
    Ok(FinishedRun { reply, released: true })
}
