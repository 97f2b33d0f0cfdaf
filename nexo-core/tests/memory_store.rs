//! The store in memory keeps every promise of a store.

use nexo_core::MemoryStore;

async fn fresh_store() -> MemoryStore {
    MemoryStore::new()
}

nexo_core::store_conformance!(fresh_store);
nexo_core::accounts_conformance!(fresh_store);

/// The same with a clock that moves in steps of 50 ms: what happens within one step has equal
/// times, and only the ids decide about an order.
mod with_equal_times {
    use std::sync::Arc;

    use nexo_core::{Clock, MemoryStore, SystemClock, Timestamp};

    const STEP_MICROS: i64 = 50_000;

    #[derive(Debug)]
    struct CoarseClock;

    impl Clock for CoarseClock {
        fn now(&self) -> Timestamp {
            let micros = SystemClock.now().as_micros();
            Timestamp::from_micros(micros - micros % STEP_MICROS)
        }
    }

    /// The suite takes a guard as well, which lives as long as the store.
    async fn fresh_store() -> (MemoryStore, Arc<CoarseClock>) {
        let clock = Arc::new(CoarseClock);
        (MemoryStore::with_clock(clock.clone()), clock)
    }

    nexo_core::store_conformance!(fresh_store);
    nexo_core::accounts_conformance!(fresh_store);
}
