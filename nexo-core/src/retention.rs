//! Retention: what is kept for a while only goes in the background.

use std::{sync::Arc, time::Duration};

use tracing::{info, warn};

use crate::{IDEMPOTENCY_KEY_LIFETIME, Nexo, Result, Store};

const PRUNE_EVERY: Duration = Duration::from_secs(5 * 60);
/// So many rows go at once: a database that serves others must not be held up by it.
const SLICE: u32 = 1_000;

/// For how long a host keeps what only serves to look back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long deliveries are kept: what was sent to agents, and came back. 30 days by default.
    pub deliveries: Duration,
    /// How long what runs said under way is kept after they have ended, beside their replies. A
    /// day by default.
    pub events: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3_600);
        Self { deliveries: 30 * day, events: day }
    }
}

impl Nexo {
    /// Removes what is older than that, and what has ended: replaced secrets, idempotency keys,
    /// servers that are gone; and has secrets sealed by the key that seals now. It does so every
    /// few minutes, until the engine shuts down.
    ///
    /// Nothing else does: a host that does not spawn this keeps all of it for ever.
    ///
    /// ```
    /// # use nexo_core::{Nexo, Retention};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let nexo = Nexo::builder().build();
    /// tokio::spawn(nexo.retain(Retention::default()));
    /// # }
    /// ```
    pub fn retain(&self, retention: Retention) -> impl Future<Output = ()> + Send + 'static {
        let (store, end) = (Arc::clone(self.store()), self.engine().draining());
        async move {
            let pruning = async {
                loop {
                    tokio::time::sleep(PRUNE_EVERY).await;
                    retention.prune(&*store).await;
                }
            };
            end.run_until_cancelled(pruning).await;
        }
    }
}

impl Retention {
    async fn prune(&self, store: &dyn Store) {
        if let Err(error) = store.prune().await {
            warn!(%error, "ended secrets and servers can't be removed");
        }
        match in_slices(|| store.reseal_secrets(SLICE)).await {
            Ok(0) => {}
            Ok(count) => {
                info!(count, "the secrets of {count} apps are sealed with the first key now")
            }
            Err(error) => warn!(%error, "secrets can't be sealed with the first key"),
        }
        let deliveries = || store.prune_deliveries(self.deliveries, SLICE);
        tell("deliveries", in_slices(deliveries).await);
        let segments = || store.prune_segments(self.events, SLICE);
        tell("pieces of what runs said", in_slices(segments).await);
        let keys = || store.prune_idempotency_keys(IDEMPOTENCY_KEY_LIFETIME, SLICE);
        tell("idempotency keys", in_slices(keys).await);
    }
}

/// Goes on slice by slice, since there may be many at the first time.
async fn in_slices<F>(mut prune: impl FnMut() -> F) -> Result<u64>
where
    F: Future<Output = Result<u64>>,
{
    let mut count = 0;
    loop {
        let slice = prune().await?;
        count += slice;
        if slice < u64::from(SLICE) {
            return Ok(count);
        }
    }
}

fn tell(what: &str, pruned: Result<u64>) {
    match pruned {
        Ok(0) => {}
        Ok(count) => info!(count, "{count} {what} were old enough to be removed"),
        Err(error) => warn!(%error, "old {what} can't be removed"),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        AppStore, EventStore, FailureKind, FinishRun, ManualClock, MemoryStore, MessageStore,
        NewApp, NewMessage, NewThread, Role, RunId, RunState, RunStore, Said, Scope, Segment,
        ServerId, StartRun, StartedRun, ThreadStore, Timestamp,
    };

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// A run that has said something, in several pieces, and has ended.
    async fn spoken(store: &MemoryStore) {
        let app = store.create_app(NewApp::new("ann".parse().unwrap(), "Shop")).await.unwrap().id;
        let scope = Scope::App(app);
        let (thread, _) = store.create_thread(&scope, app, NewThread::default()).await.unwrap();
        let hello = NewMessage::new(Role::User, "hello");
        store.append_message(&scope, app, thread.id, hello).await.unwrap();
        let run = RunId::new();
        let start = StartRun {
            run,
            app,
            thread: thread.id,
            server: ServerId::new(),
            handlers: crate::Handlers::default(),
            history: 1,
            deadline: HOUR,
            overlap: None,
            debounce: None,
            message_seq: None,
        };
        let StartedRun::Started(_) = store.start_run(&scope, start).await.unwrap() else { return };
        let said = |position| {
            let said = Said { text: "x".into(), speaker: None };
            Segment { run, app, attempt: 1, position, said }
        };
        let segments: Vec<Segment> = (0..SLICE + 5).map(said).collect();
        store.append_segments(&segments).await.unwrap();
        let failure = Some(crate::Failure::new(FailureKind::NoReply, "scripted"));
        let state = RunState::Failed;
        let finish = FinishRun { run, fence: 1, state, reply: None, failure, first_delta_at: None };
        store.finish_run(finish).await.unwrap();
    }

    #[tokio::test]
    async fn what_runs_said_goes_some_hours_after_their_end() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
        let store = MemoryStore::with_clock(clock.clone());
        spoken(&store).await;
        let retention = Retention { deliveries: HOUR, events: 2 * HOUR };

        clock.advance(HOUR);
        retention.prune(&store).await;
        clock.advance(HOUR + Duration::from_secs(1));
        assert_eq!(store.prune_segments(2 * HOUR, 1).await.unwrap(), 1, "all are there");

        retention.prune(&store).await;
        assert_eq!(store.prune_segments(Duration::ZERO, u32::MAX).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_until_the_engine_shuts_down() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
        let store = MemoryStore::with_clock(clock.clone());
        spoken(&store).await;
        clock.advance(3 * HOUR);
        let nexo = Nexo::builder().store(Arc::new(store.clone())).build();
        let retaining = tokio::spawn(nexo.retain(Retention { deliveries: HOUR, events: HOUR }));

        tokio::time::sleep(PRUNE_EVERY + Duration::from_secs(1)).await;
        assert_eq!(store.prune_segments(Duration::ZERO, u32::MAX).await.unwrap(), 0);
        assert!(!retaining.is_finished());

        nexo.engine().shutdown(Duration::ZERO).await;
        retaining.await.unwrap();
    }
}
