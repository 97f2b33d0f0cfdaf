//! Telling other servers: one task sends what has gathered.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nexo_core::{Hint, Result};
use tokio::sync::Notify;
use tracing::debug;

use super::{CHANNEL, Shared, letter::Letter};
use crate::PostgresStore;

/// From one letter to the next: twenty a second at most.
const PAUSE: Duration = Duration::from_millis(50);
/// The same after one that could not be sent.
const RETRY_AFTER: Duration = Duration::from_secs(1);

const TELL: &str = "select pg_notify($1, $2)";

/// Where what is to be told gathers.
#[derive(Default)]
pub(super) struct Outbox {
    letter: Mutex<Letter>,
    news: Notify,
}

impl Outbox {
    pub(super) fn put(&self, hint: Hint) {
        self.lock().put(hint);
        self.news.notify_one();
    }

    /// What was to be told may be lost.
    fn put_everything(&self) {
        self.lock().put_everything();
        self.news.notify_one();
    }

    async fn next(&self) -> Letter {
        self.news.notified().await;
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Letter> {
        self.letter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends again and again, until the pool is closed.
pub(super) async fn tell(store: PostgresStore, shared: Arc<Shared>) {
    while !store.pool().is_closed() {
        let letter = shared.outbox.next().await;
        let pause = match send(&store, &letter.write(shared.sender)).await {
            Ok(()) => PAUSE,
            Err(error) => {
                debug!(%error, "other servers could not be told what has changed");
                shared.outbox.put_everything();
                RETRY_AFTER
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Sends a letter to all servers, this one included.
pub(super) async fn send(store: &PostgresStore, letter: &str) -> Result<()> {
    store.write(sqlx::query(TELL).bind(CHANNEL).bind(letter)).await.map(drop)
}
