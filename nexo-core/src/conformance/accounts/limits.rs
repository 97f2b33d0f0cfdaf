//! Rate limits.

use std::{sync::Arc, time::Duration};

use super::StoreWithAccounts;
use crate::{
    accounts::{LimitDecision, Rate},
    conformance::fixtures::{at_once, eventually},
};

const HOUR: Duration = Duration::from_secs(3_600);

/// Nothing is won back while a case runs.
const SLOW: Rate = Rate { burst: 3, interval: HOUR };

async fn take(store: &Arc<dyn StoreWithAccounts>, key: &str, rate: Rate) -> bool {
    store.take_limit(key, rate).await.unwrap() == LimitDecision::Allowed
}

/// How long the next one, which is refused, has to wait.
async fn wait(store: &Arc<dyn StoreWithAccounts>, key: &str, rate: Rate) -> Duration {
    match store.take_limit(key, rate).await.unwrap() {
        LimitDecision::Allowed => panic!("one more was allowed"),
        LimitDecision::Refused { retry_after } => retry_after,
    }
}

pub(super) async fn a_burst_is_allowed_and_no_more(store: Arc<dyn StoreWithAccounts>) {
    for _ in 0..3 {
        assert!(take(&store, "k", SLOW).await);
    }
    let wait = wait(&store, "k", SLOW).await;
    assert!(wait > HOUR - Duration::from_secs(300) && wait <= HOUR, "{wait:?}");

    let quick = Rate { burst: 1, interval: Duration::from_millis(200) };
    for _ in 0..3 {
        eventually("the next one", || async { take(&store, "quick", quick).await }).await;
    }
}

pub(super) async fn fifty_takes_at_once_never_exceed_the_burst(store: Arc<dyn StoreWithAccounts>) {
    let rate = Rate { burst: 10, interval: HOUR };

    let taken = at_once(50, |_| {
        let store = Arc::clone(&store);
        async move { take(&store, "k", rate).await }
    })
    .await;

    assert_eq!(taken.iter().filter(|allowed| **allowed).count(), 10);
}

pub(super) async fn a_refused_take_does_not_count(store: Arc<dyn StoreWithAccounts>) {
    for _ in 0..3 {
        take(&store, "k", SLOW).await;
    }
    for _ in 0..10 {
        assert!(!take(&store, "k", SLOW).await);
    }

    assert!(wait(&store, "k", SLOW).await <= HOUR, "only what was allowed is waited for");
}

pub(super) async fn each_key_counts_for_itself(store: Arc<dyn StoreWithAccounts>) {
    let once = Rate { burst: 1, interval: HOUR };

    for key in ["login:ann", "login:Ann", "login:bob", "address:192.0.2.0/24", ""] {
        assert!(take(&store, key, once).await, "{key}");
        assert!(!take(&store, key, once).await, "{key}");
    }
}

pub(super) async fn pruning_forgets_no_limit_that_still_holds(store: Arc<dyn StoreWithAccounts>) {
    let quick = Rate { burst: 1, interval: Duration::from_millis(1) };
    take(&store, "quick", quick).await;
    for _ in 0..3 {
        take(&store, "k", SLOW).await;
    }

    store.prune_limits().await.unwrap();

    assert!(!take(&store, "k", SLOW).await);
    eventually("the next one", || async { take(&store, "quick", quick).await }).await;
}
