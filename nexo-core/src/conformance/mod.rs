//! Suites that prove that a store, a hub or a dispatcher keeps its promises.
//!
//! Whatever a store's traits promise has a case here: an async function that is handed an
//! empty store, and panics if the promise is broken. [`store_conformance!`] makes a test of
//! each case of [`Store`], [`accounts_conformance!`] of each case of
//! [`AccountStore`](crate::accounts::AccountStore), [`hub_conformance!`] of each case of
//! [`StreamHub`], and [`dispatcher_conformance!`] of each case of
//! [`Dispatcher`](crate::Dispatcher), whose agents the dispatcher's author brings
//! ([`dispatcher::Stage`]).
//!
//! A store's author enables the feature `conformance` in a dev-dependency, and writes one
//! file:
//!
//! ```
//! use nexo_core::MemoryStore;
//!
//! async fn fresh_store() -> MemoryStore {
//!     MemoryStore::new()
//! }
//!
//! nexo_core::store_conformance!(fresh_store);
//! nexo_core::accounts_conformance!(fresh_store);
//! ```
//!
//! The function is called once for each test and gives a store that shares nothing with the
//! others. If something has to live as long as the store, such as the directory it keeps its
//! file in, it gives both: `(store, guard)`. A database that can't be reached is a failed
//! test: the function panics then.
//!
//! Some promises have no case, since no method brings about what they speak of: that a run
//! does not start on a thread held by a person, that a reply is refused once its thread's
//! epoch has risen, that a thread with a customer and no subscriber gets one, and the order
//! of an app's agents. A store's author tests them in the store's own terms.
//!
//! [`store_conformance!`]: crate::store_conformance
//! [`accounts_conformance!`]: crate::accounts_conformance
//! [`hub_conformance!`]: crate::hub_conformance
//! [`dispatcher_conformance!`]: crate::dispatcher_conformance
//! [`StreamHub`]: crate::StreamHub
#![allow(clippy::unwrap_used, reason = "a case that can't go on has failed")]

pub mod accounts;
pub mod dispatcher;
mod fixtures;
pub mod hub;
pub mod store;

use std::{future::Future, time::Duration};

use crate::{Store, StreamHub};

/// More than any case takes on a slow machine: one that is not done by then hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a suite gets its stores from: a store, or a store with what has to outlive it.
pub trait Fresh {
    /// The store.
    type Store: Store;
    /// What has to live as long.
    type Guard;

    /// Takes the two apart.
    fn split(self) -> (Self::Store, Self::Guard);
}

impl<T: Store> Fresh for T {
    type Store = T;
    type Guard = ();

    fn split(self) -> (T, ()) {
        (self, ())
    }
}

impl<T: Store, G> Fresh for (T, G) {
    type Store = T;
    type Guard = G;

    fn split(self) -> (T, G) {
        self
    }
}

/// What the suite for hubs gets them from: two hubs that are to reach each other, as those of two
/// servers do, or the two with what has to outlive them.
pub trait FreshHubs {
    /// What has to live as long.
    type Guard;

    /// Takes the hubs and the guard apart.
    fn split(self) -> (hub::Hubs, Self::Guard);
}

impl<T: StreamHub> FreshHubs for (T, T) {
    type Guard = ();

    fn split(self) -> (hub::Hubs, ()) {
        (hub::Hubs::new(self), ())
    }
}

impl<T: StreamHub, G> FreshHubs for ((T, T), G) {
    type Guard = G;

    fn split(self) -> (hub::Hubs, G) {
        (hub::Hubs::new(self.0), self.1)
    }
}

/// What the suite for dispatchers gets them from: a stage, or a stage with what has to outlive it.
pub trait FreshStage {
    /// The stage.
    type Stage: dispatcher::Stage;
    /// What has to live as long.
    type Guard;

    /// Takes the two apart.
    fn split(self) -> (Self::Stage, Self::Guard);
}

impl<T: dispatcher::Stage> FreshStage for T {
    type Stage = T;
    type Guard = ();

    fn split(self) -> (T, ()) {
        (self, ())
    }
}

impl<T: dispatcher::Stage, G> FreshStage for (T, G) {
    type Stage = T;
    type Guard = G;

    fn split(self) -> (T, G) {
        self
    }
}

/// Runs a case to its end, on several threads, so that what is done at once really is.
#[doc(hidden)]
pub fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("the system gives four threads");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, case).await.expect("the case hangs") });
}

/// Makes of one list of cases what calls them, and the macro that tests them.
///
/// The cases themselves are private. One that is not listed is an unused function, which the
/// compiler tells.
macro_rules! suite {
    (
        $d:tt
        $(#[$doc:meta])*
        macro $suite:ident($module:ident: $store:ty) from $fresh:ident;
        $($noun:ident { $($case:ident,)* })*
    ) => {
        /// The cases, each by its name.
        #[doc(hidden)]
        pub mod cases {
            use super::*;

            $($(
                pub fn $case(store: $store) -> futures::future::BoxFuture<'static, ()> {
                    Box::pin(super::$noun::$case(store))
                }
            )*)*
        }

        $(#[$doc])*
        #[macro_export]
        macro_rules! $suite {
            ($d fresh:path) => {
                $($(
                    #[test]
                    fn $case() {
                        $crate::conformance::run(async {
                            let fresh = $d fresh().await;
                            let (store, _guard) = $crate::conformance::$fresh::split(fresh);
                            let store = ::std::sync::Arc::new(store);
                            $crate::conformance::$module::cases::$case(store).await;
                        });
                    }
                )*)*
            };
        }
    };
}
use suite;

/// Asserts that a call failed in this way.
macro_rules! assert_fails {
    ($call:expr, $error:pat) => {{
        let outcome = $call;
        assert!(matches!(outcome, Err($error)), "expected {}, got {outcome:?}", stringify!($error));
    }};
}
use assert_fails;
