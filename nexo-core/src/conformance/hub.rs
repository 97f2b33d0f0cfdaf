//! The cases of [`StreamHub`].

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::time::timeout;

use super::suite;
use crate::{AppId, Heard, Hint, Hints, RunId, StreamHub, ThreadId, Topic};

/// The hubs of two servers.
#[derive(Clone, Debug)]
pub struct Hubs {
    one: Arc<dyn StreamHub>,
    other: Arc<dyn StreamHub>,
}

impl Hubs {
    pub(super) fn new<T: StreamHub>((one, other): (T, T)) -> Self {
        Self { one: Arc::new(one), other: Arc::new(other) }
    }
}

suite! { $
    /// Makes a test of each promise of [`StreamHub`](crate::StreamHub), in the calling crate.
    ///
    /// It takes the path of an async function that gives the hubs of two servers, or these and
    /// what has to live as long; see [`conformance`](crate::conformance).
    ///
    /// ```
    /// mod conformance {
    ///     use nexo_core::LocalHub;
    ///
    ///     async fn fresh_hubs() -> (LocalHub, LocalHub) {
    ///         let hub = LocalHub::default();
    ///         (hub.clone(), hub)
    ///     }
    ///
    ///     nexo_core::hub_conformance!(fresh_hubs);
    /// }
    /// ```
    macro hub_conformance(hub: Arc<Hubs>) from FreshHubs;

    promises {
        a_hint_is_heard_by_all_who_listen_here,
        a_hint_is_heard_on_another_server_as_it_was_told,
        many_hints_are_heard_or_everything_is,
        waiting_for_a_hint_can_be_broken_off,
        listening_ends_with_the_hubs,
    }
}

mod promises {
    use super::*;

    /// How long a hint may be on its way before it counts as lost.
    const ON_ITS_WAY: Duration = Duration::from_secs(1);
    /// How often a hint is told before it is clear that none arrives.
    const TIMES: usize = 30;

    fn hint(topic: Topic) -> Hint {
        Hint { app: AppId::new(), thread: ThreadId::new(), topic }
    }

    fn every_topic() -> [Hint; 4] {
        let run = RunId::new();
        [Topic::Thread, Topic::Message, Topic::Run(run), Topic::Text(run)].map(hint)
    }

    /// Whether it is heard soon, among whatever else there is to hear.
    async fn is_heard(hints: &mut Hints, hint: Hint) -> bool {
        let heard = async {
            while let Some(heard) = hints.next().await {
                if heard == Heard::Hint(hint) {
                    return true;
                }
            }
            false
        };
        timeout(ON_ITS_WAY, heard).await.unwrap_or(false)
    }

    pub(super) async fn a_hint_is_heard_by_all_who_listen_here(hubs: Arc<Hubs>) {
        let mut listeners = [hubs.one.listen(), hubs.one.listen()];

        for hint in every_topic() {
            hubs.one.tell(hint);
            for listener in &mut listeners {
                assert!(is_heard(listener, hint).await, "{hint:?} is lost on its own server");
            }
        }
    }

    pub(super) async fn a_hint_is_heard_on_another_server_as_it_was_told(hubs: Arc<Hubs>) {
        for (here, there) in [(&hubs.one, &hubs.other), (&hubs.other, &hubs.one)] {
            let mut listener = there.listen();
            for hint in every_topic() {
                let mut is_there = false;
                for _ in 0..TIMES {
                    here.tell(hint);
                    is_there = is_heard(&mut listener, hint).await;
                    if is_there {
                        break;
                    }
                }
                assert!(is_there, "{hint:?} never arrives");
            }
        }
    }

    /// However many it are, telling does not wait, and nobody is left without a word.
    pub(super) async fn many_hints_are_heard_or_everything_is(hubs: Arc<Hubs>) {
        // The first one shows that the hubs are up.
        a_hint_is_heard_on_another_server_as_it_was_told(Arc::clone(&hubs)).await;
        for listening in [&hubs.one, &hubs.other] {
            let mut listener = listening.listen();
            let mut missed: HashSet<Hint> = (0..5_000).map(|_| hint(Topic::Message)).collect();
            missed.iter().for_each(|hint| hubs.one.tell(*hint));
            while !missed.is_empty() {
                let heard = timeout(ON_ITS_WAY * 30, listener.next()).await;
                match heard.expect("some were lost without a word").expect("the hub is there") {
                    Heard::Hint(hint) => drop(missed.remove(&hint)),
                    Heard::Everything => missed.clear(),
                    Heard::Texts => {}
                }
            }
        }
    }

    pub(super) async fn waiting_for_a_hint_can_be_broken_off(hubs: Arc<Hubs>) {
        let mut listener = hubs.one.listen();
        let hint = hint(Topic::Thread);

        while listener.next().now_or_never().is_some() {}
        hubs.one.tell(hint);

        assert!(is_heard(&mut listener, hint).await);
    }

    pub(super) async fn listening_ends_with_the_hubs(hubs: Arc<Hubs>) {
        let mut listener = hubs.other.listen();

        drop(hubs);

        let end = async { while listener.next().await.is_some() {} };
        timeout(ON_ITS_WAY * 30, end).await.expect("it goes on without a hub");
    }
}
