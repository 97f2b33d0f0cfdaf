//! Retention: what is kept for a while only goes in the background.

use std::{sync::Arc, time::Duration};

use nexo_core::{IDEMPOTENCY_KEY_LIFETIME, Result, Store, accounts::AccountStore};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

const PRUNE_EVERY: Duration = Duration::from_secs(5 * 60);
/// So many rows go at once: a database that serves others must not be held up by it.
const SLICE: u32 = 1_000;

/// Removes what is outdated.
pub(crate) struct Retention {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) accounts: Arc<dyn AccountStore>,
    /// How long deliveries are kept.
    pub(crate) deliveries: Duration,
    /// How long what runs said is kept after they have ended.
    pub(crate) events: Duration,
}

impl Retention {
    /// Removes it every few minutes, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(PRUNE_EVERY)).await.is_some() {
            self.prune(&stop).await;
        }
    }

    async fn prune(&self, stop: &CancellationToken) {
        if let Err(error) = self.accounts.prune_limits().await {
            warn!(%error, "outdated rate limits can't be removed");
        }
        if let Err(error) = self.store.prune().await {
            warn!(%error, "ended secrets and servers can't be removed");
        }
        let store = &self.store;
        match in_slices(|| store.reseal_secrets(SLICE), stop).await {
            Ok(0) => {}
            Ok(count) => {
                info!(count, "the secrets of {count} apps are sealed with the first key now")
            }
            Err(error) => warn!(%error, "secrets can't be sealed with the first key"),
        }
        let deliveries = || store.prune_deliveries(self.deliveries, SLICE);
        tell("deliveries", in_slices(deliveries, stop).await);
        let segments = || store.prune_segments(self.events, SLICE);
        tell("pieces of what runs said", in_slices(segments, stop).await);
        let keys = || store.prune_idempotency_keys(IDEMPOTENCY_KEY_LIFETIME, SLICE);
        tell("idempotency keys", in_slices(keys, stop).await);
    }
}

/// Goes on slice by slice, since there may be many at the first time.
async fn in_slices<F>(mut prune: impl FnMut() -> F, stop: &CancellationToken) -> Result<u64>
where
    F: Future<Output = Result<u64>>,
{
    let mut count = 0;
    while !stop.is_cancelled() {
        let slice = prune().await?;
        count += slice;
        if slice < u64::from(SLICE) {
            break;
        }
    }
    Ok(count)
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
    use nexo_core::{
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
            handlers: nexo_core::Handlers::default(),
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
        let failure = Some(nexo_core::Failure::new(FailureKind::NoReply, "scripted"));
        let state = RunState::Failed;
        let finish = FinishRun { run, fence: 1, state, reply: None, failure, first_delta_at: None };
        store.finish_run(finish).await.unwrap();
    }

    #[tokio::test]
    async fn what_runs_said_goes_some_hours_after_their_end() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
        let store = MemoryStore::with_clock(clock.clone());
        spoken(&store).await;
        let shared = Arc::new(store.clone());
        let (deliveries, events) = (HOUR, 2 * HOUR);
        let retention = Retention { store: shared.clone(), accounts: shared, deliveries, events };
        let left = || store.prune_segments(Duration::ZERO, u32::MAX);

        clock.advance(HOUR);
        retention.prune(&CancellationToken::new()).await;
        clock.advance(HOUR + Duration::from_secs(1));
        let stopped = CancellationToken::new();
        stopped.cancel();
        retention.prune(&stopped).await;
        assert_eq!(retention.store.prune_segments(2 * HOUR, 1).await.unwrap(), 1, "all are there");

        retention.prune(&CancellationToken::new()).await;
        assert_eq!(left().await.unwrap(), 0);
    }
}
