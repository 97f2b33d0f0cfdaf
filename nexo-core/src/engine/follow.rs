//! Watching runs that other servers carry, or that nobody carries yet: one task asks the store
//! how all of them stand, when something is heard of one, and else from time to time.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{Either, select},
};
use tokio::{sync::Notify, time::Instant};
use tracing::warn;

use super::{Inner, routing};
use crate::{
    Error, Failure, FailureKind, FollowRun, FollowedRun, Heard, Hints, Message, Result, Run,
    RunEnd, RunEvent, RunId, RunState, RunWatch, Scope, Topic, hub::Mirror,
};

/// How long until the next look at all runs, if nothing is heard before.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The same where nothing can be heard of other servers.
const LOOK_OFTEN: Duration = Duration::from_millis(50);
/// How long after a look the next one is at the earliest, however much is heard.
const PAUSE: Duration = Duration::from_millis(20);
/// How many runs are asked about at once.
const MAX_RUNS: usize = 256;
/// How much text of one run is asked for at once, in bytes.
const MAX_BYTES: u32 = 32 * 1024;

impl Inner {
    /// Watches a run from its start.
    pub(super) async fn watch(&self, run: Run) -> Result<RunWatch> {
        let (watch, mirror) = self.hub.watch(run.id);
        if let Some(mirror) = mirror {
            mirror.follow(run.attempt);
            self.mirrors.add(mirror);
        }
        if run.state.is_terminal() {
            self.conclude(run).await?;
        }
        Ok(watch)
    }

    /// Asks how those runs stand of which there may be news.
    async fn look(&self) -> Result<()> {
        for known in self.mirrors.take_due().chunks(MAX_RUNS) {
            match self.look_at(known).await {
                Err(error) if !error.is_passing() => self.look_at_each(known).await?,
                looked => looked?,
            }
        }
        Ok(())
    }

    /// One by one, where one of them can't be read: the others are shown all the same. Those who
    /// watch one that makes no sense are told that there is nothing more to see here.
    async fn look_at_each(&self, known: &[FollowRun]) -> Result<()> {
        for one in known.chunks(1) {
            match self.look_at(one).await {
                Err(error) if !error.is_passing() => {
                    warn!(%error, "run {} can't be read", one[0].run);
                    if matches!(error, Error::Corrupt(_)) {
                        drop(self.mirrors.take(one[0].run));
                    }
                }
                looked => looked?,
            }
        }
        Ok(())
    }

    async fn look_at(&self, known: &[FollowRun]) -> Result<()> {
        let followed = self.store.follow_runs(known, MAX_BYTES).await?;
        self.mirrors.end_missing(known, &followed);
        for FollowedRun { run, segments } in followed {
            if run.state.is_terminal() {
                self.conclude(run).await?;
            } else {
                self.mirrors.show(&FollowedRun { run, segments });
            }
        }
        Ok(())
    }

    /// Shows how a run ended, where it is not known here.
    async fn conclude(&self, run: Run) -> Result<()> {
        let found = match run.reply {
            Some(reply) => self.store.get_message(&Scope::Everything, reply).await.map(Some),
            None => Ok(None),
        };
        let message = match found {
            Err(Error::MessageNotFound) => {
                // Its thread was deleted a moment ago.
                if let Some(mirror) = self.mirrors.take(run.id) {
                    mirror.finish(run.attempt, meta(None), "", gone());
                }
                return Ok(());
            }
            found => found?,
        };
        let text = message.as_ref().and_then(|message| message.content.clone());
        let meta = meta(message.as_ref());
        let end = RunEnd { state: run.state, message, failure: run.failure };
        if let Some(mirror) = self.mirrors.take(run.id) {
            mirror.finish(run.attempt, meta, text.as_deref().unwrap_or_default(), end);
        }
        Ok(())
    }

    /// How long nobody looks, if nothing is heard.
    fn pace(&self) -> Duration {
        let hears_all = self.settings.exclusive || self.hints.reaches_others();
        if hears_all { LOOK_EVERY } else { LOOK_OFTEN }
    }
}

/// Keeps all mirrors up to date, until the engine is dropped.
pub(super) async fn follow(inner: Weak<Inner>, mirrors: Arc<Mirrors>) {
    let mirrors = Closing(mirrors);
    loop {
        mirrors.news.notified().await;
        let Some(mut hints) = inner.upgrade().map(|inner| inner.hints.listen()) else { return };
        while !mirrors.is_empty() {
            let Some(inner) = inner.upgrade() else { return };
            let next = Instant::now() + inner.pace();
            let looked = inner.look().await;
            drop(inner);
            match looked {
                Ok(()) => mirrors.wait(&mut hints, next).await,
                Err(error) => {
                    warn!(%error, "the store did not say how runs stand");
                    tokio::time::sleep(LOOK_EVERY).await;
                    mirrors.hear(Heard::Everything);
                }
            }
        }
    }
}

/// The mirrors that have to be kept up to date.
#[derive(Default)]
pub(super) struct Mirrors {
    kept: Mutex<Kept>,
    news: Notify,
}

#[derive(Default)]
struct Kept {
    all: HashMap<RunId, Mirror>,
    /// Of these there may be news.
    due: HashSet<RunId>,
    /// Nobody keeps them up to date any more.
    is_closed: bool,
}

impl Mirrors {
    /// One more, in the place of any that was left meanwhile.
    pub(super) fn add(&self, mirror: Mirror) {
        let mut kept = self.lock();
        if kept.is_closed {
            drop(kept);
            return drop(mirror);
        }
        kept.due.insert(mirror.run());
        if let Some(former) = kept.all.insert(mirror.run(), mirror) {
            former.resign();
        }
        self.news.notify_one();
    }

    fn take(&self, run: RunId) -> Option<Mirror> {
        self.lock().all.remove(&run)
    }

    fn is_empty(&self) -> bool {
        self.lock().all.is_empty()
    }

    /// What is known of the runs of which there may be news. Mirrors that nobody wants any
    /// more go.
    fn take_due(&self) -> Vec<FollowRun> {
        let mut kept = self.lock();
        let unwanted = kept.all.extract_if(|_, mirror| !mirror.is_wanted());
        unwanted.for_each(|(_, mirror)| mirror.resign());
        let due = std::mem::take(&mut kept.due);
        due.iter().filter_map(|run| kept.all.get(run)).map(Mirror::known).collect()
    }

    /// Shows how a run stands that has not ended. Where there was a lot of news, there may be
    /// more.
    fn show(&self, followed: &FollowedRun) {
        let mut kept = self.lock();
        let run = followed.run.id;
        let Some(mirror) = kept.all.get(&run) else { return };
        mirror.follow(followed.run.attempt);
        let before = mirror.known().bytes;
        followed.segments.iter().for_each(|segment| mirror.hear(segment));
        let news = mirror.known().bytes.saturating_sub(before);
        if news > MAX_BYTES / 4 {
            kept.due.insert(run);
            self.news.notify_one();
        }
    }

    /// Shows the end of runs that were deleted with their threads.
    fn end_missing(&self, known: &[FollowRun], followed: &[FollowedRun]) {
        for FollowRun { run, .. } in known {
            let is_there = followed.binary_search_by_key(run, |followed| followed.run.id).is_ok();
            if !is_there && let Some(mirror) = self.take(*run) {
                mirror.finish(0, meta(None), "", gone());
            }
        }
    }

    /// Notes what is heard. Gives whether it is worth a look.
    fn hear(&self, heard: Heard) -> bool {
        let mut kept = self.lock();
        match heard {
            Heard::Everything | Heard::Texts => kept.due = kept.all.keys().copied().collect(),
            Heard::Hint(hint) => match hint.topic {
                Topic::Run(run) | Topic::Text(run) if kept.all.contains_key(&run) => {
                    kept.due.insert(run);
                }
                _ => {}
            },
        }
        !kept.due.is_empty()
    }

    /// Waits until there may be news, or it is time to look at all of them.
    async fn wait(&self, hints: &mut Hints, until: Instant) {
        tokio::time::sleep(PAUSE).await;
        while let Ok(woken) = tokio::time::timeout_at(until, self.woken(hints)).await {
            let Some(heard) = woken else { return };
            let mut is_worth_a_look = self.hear(heard);
            while let Some(heard) = hints.next().now_or_never().flatten() {
                is_worth_a_look = self.hear(heard);
            }
            if is_worth_a_look {
                return;
            }
        }
        self.hear(Heard::Everything);
    }

    /// What is heard next; `None` if there is one more to be looked at.
    async fn woken(&self, hints: &mut Hints) -> Option<Heard> {
        match select(pin!(self.news.notified()), pin!(hints.next())).await {
            Either::Left(_) => None,
            Either::Right((Some(heard), _)) => Some(heard),
            // Nobody tells anything any more.
            Either::Right((None, news)) => {
                news.await;
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Mirrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mirrors({})", self.lock().all.len())
    }
}

/// Closes all mirrors when nobody keeps them up to date any more.
struct Closing(Arc<Mirrors>);

impl std::ops::Deref for Closing {
    type Target = Mirrors;

    fn deref(&self) -> &Mirrors {
        &self.0
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let mut kept = self.lock();
        kept.is_closed = true;
        let all = std::mem::take(&mut kept.all);
        drop(kept);
        drop(all);
    }
}

/// How a run ended that was deleted with its thread.
pub(super) fn gone() -> RunEnd {
    let failure = Failure::new(FailureKind::RunCancelled, "its thread was deleted");
    RunEnd { state: RunState::Cancelled, message: None, failure: Some(failure) }
}

/// Who answered, as the stored reply says it.
fn meta(reply: Option<&Message>) -> RunEvent {
    let said = |name| {
        let member = reply.and_then(|reply| reply.content_json.get(name));
        member.and_then(|member| member.as_str().map(Arc::from))
    };
    RunEvent::Meta {
        source: said("source").unwrap_or_else(|| routing::WEBHOOK.into()),
        reason: said("reason"),
    }
}
