//! The hub: carries hints to all servers that work on one database, by NOTIFY and LISTEN.
//!
//! Whoever commits a NOTIFY holds a lock of the whole database's while doing so. So nothing is
//! ever sent from within a transaction that writes: one task sends what has gathered, a few
//! times a second at most. Another one listens, on a connection of its own.

mod letter;
mod listen;
mod notify;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use nexo_core::{Hint, Hints, LocalHub, StreamHub};
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::PostgresStore;
use notify::Outbox;

/// What all servers on a database listen to.
const CHANNEL: &str = "nexo_hints";

/// Carries hints to all servers that work on the same database.
///
/// While it can't listen, because the connection is lost or a pooler in between passes nothing
/// on, it says so ([`StreamHub::reaches_others`]), tries again and again, and whoever waits for
/// other servers looks often instead. Nothing depends on it.
pub struct PostgresHub {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

/// What the hub and its tasks work on.
struct Shared {
    /// Who this is, so that it does not hear itself.
    sender: Uuid,
    local: LocalHub,
    outbox: Outbox,
    is_listening: AtomicBool,
}

impl PostgresHub {
    /// Begins to listen to other servers, and to tell them, until it is dropped. It takes one
    /// connection beside those of the store's pool, and shares these for what it tells.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(store: &PostgresStore) -> Self {
        let shared = Arc::new(Shared {
            sender: Uuid::now_v7(),
            local: LocalHub::default(),
            outbox: Outbox::default(),
            is_listening: AtomicBool::new(false),
        });
        let telling = tokio::spawn(notify::tell(store.clone(), Arc::clone(&shared)));
        let listening = tokio::spawn(listen::listen(store.clone(), Arc::clone(&shared)));
        Self { shared, tasks: [telling.abort_handle(), listening.abort_handle()] }
    }
}

impl StreamHub for PostgresHub {
    fn tell(&self, hint: Hint) {
        self.shared.local.tell(hint);
        self.shared.outbox.put(hint);
    }

    fn listen(&self) -> Hints {
        self.shared.local.listen()
    }

    fn reaches_others(&self) -> bool {
        self.shared.is_listening.load(Ordering::Relaxed)
    }
}

impl Drop for PostgresHub {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for PostgresHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresHub").field("reaches_others", &self.reaches_others()).finish()
    }
}
