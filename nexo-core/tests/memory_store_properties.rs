//! Lists keep their order, and walks miss nothing, whatever happened before.
#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::{cmp::Reverse, sync::Arc, time::Duration};

use nexo_core::{
    AppId, AppStore, Cursor, CursorPage, ManualClock, MemoryStore, MessageRange, MessageStore,
    NewApp, NewMessage, NewThread, Result, Role, Scope, SubscriberStore, ThreadChanges,
    ThreadFilter, ThreadId, ThreadStore, Timestamp,
};
use proptest::{collection::vec, prelude::*};

const ALL: u32 = 10_000;

/// Something that happens in an app; a thread is picked among those there are.
#[derive(Clone, Debug)]
enum Event {
    Open { customer: u8 },
    Say { pick: usize, role: Role },
    Rename { pick: usize },
    Delete { pick: usize },
    Wait,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..5_u8).prop_map(|customer| Event::Open { customer }),
        4 => (any::<usize>(), prop::sample::select(Role::ALL.to_vec()))
            .prop_map(|(pick, role)| Event::Say { pick, role }),
        2 => any::<usize>().prop_map(|pick| Event::Rename { pick }),
        1 => any::<usize>().prop_map(|pick| Event::Delete { pick }),
        2 => Just(Event::Wait),
    ]
}

struct World {
    store: MemoryStore,
    clock: Arc<ManualClock>,
    app: AppId,
    /// Every thread there is, and how many messages it has.
    threads: Vec<(ThreadId, usize)>,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
        let store = MemoryStore::with_clock(clock.clone());
        let app = store.create_app(NewApp::new("ann".parse().unwrap(), "Shop")).await.unwrap().id;
        Self { store, clock, app, threads: Vec::new() }
    }

    async fn happen(&mut self, event: Event) {
        let all = Scope::Everything;
        let pick = |pick: usize| (!self.threads.is_empty()).then(|| pick % self.threads.len());
        match event {
            // The customer 0 has no name, and is no subscriber.
            Event::Open { customer } => {
                let customer_id = (customer > 0).then(|| format!("customer {customer}"));
                let thread = NewThread { customer_id, ..NewThread::default() };
                let made = self.store.create_thread(&all, self.app, thread).await.unwrap().0;
                self.threads.push((made.id, 0));
            }
            Event::Say { pick: at, role } => {
                let Some(at) = pick(at) else { return };
                let (thread, count) = &mut self.threads[at];
                *count += 1;
                let message = NewMessage::new(role, count.to_string());
                self.store.append_message(&all, self.app, *thread, message).await.unwrap();
            }
            Event::Rename { pick: at } => {
                let Some(at) = pick(at) else { return };
                let changes = ThreadChanges { title: Some(None), ..ThreadChanges::default() };
                self.store.update_thread(&all, self.threads[at].0, changes).await.unwrap();
            }
            Event::Delete { pick: at } => {
                let Some(at) = pick(at) else { return };
                self.store.delete_thread(&all, self.threads.swap_remove(at).0).await.unwrap();
            }
            Event::Wait => self.clock.advance(Duration::from_micros(1)),
        }
    }

    async fn check(&self, limit: u32) {
        self.check_threads(limit).await;
        self.check_subscribers(limit).await;
        for (thread, count) in &self.threads {
            let range = MessageRange::After(0);
            let all = Scope::Everything;
            let found = self.store.list_messages(&all, self.app, *thread, range, ALL).await;
            let seqs: Vec<i64> = found.unwrap().iter().map(|message| message.seq).collect();
            assert_eq!(seqs, (1..=i64::try_from(*count).unwrap()).collect::<Vec<_>>());
        }
    }

    /// The walk finds the threads that there are, in the order that is promised.
    async fn check_threads(&self, limit: u32) {
        let (all, filter) = (Scope::Everything, ThreadFilter::default());
        let mut expected = Vec::new();
        for (thread, _) in &self.threads {
            expected.push(self.store.get_thread(&all, *thread).await.unwrap());
        }
        expected.sort_by_key(|thread| Reverse((thread.updated_at, thread.id)));

        let found = walk(async |cursor| {
            self.store.list_threads(&all, self.app, &filter, cursor.as_ref(), limit).await
        })
        .await;

        assert_eq!(found, expected);
    }

    /// The walk finds the subscribers of the threads that there are, each with all of theirs.
    async fn check_subscribers(&self, limit: u32) {
        let all = Scope::Everything;
        let mut threads = 0;
        let found = walk(async |cursor| {
            self.store.list_subscribers(&all, self.app, "", cursor.as_ref(), limit).await
        })
        .await;

        let key = |at: usize| {
            let one = &found[at].subscriber;
            Reverse((one.last_message_at, one.created_at, one.id))
        };
        assert!((1..found.len()).all(|at| key(at - 1) < key(at)), "out of order: {found:?}");
        for row in &found {
            let id = row.subscriber.id;
            let theirs = walk(async |cursor| {
                let cursor = cursor.as_ref();
                self.store.list_subscriber_threads(&all, self.app, id, cursor, limit).await
            })
            .await;
            assert_eq!(theirs.len() as u64, row.thread_count);
            assert!(theirs.iter().all(|thread| thread.thread.subscriber == Some(id)));
            threads += theirs.len();
        }
        assert_eq!(threads, self.threads_with_subscriber().await);
    }

    async fn threads_with_subscriber(&self) -> usize {
        let mut count = 0;
        for (thread, _) in &self.threads {
            let thread = self.store.get_thread(&Scope::Everything, *thread).await.unwrap();
            count += usize::from(thread.subscriber.is_some());
        }
        count
    }
}

async fn walk<T>(page: impl AsyncFn(Option<Cursor>) -> Result<CursorPage<T>>) -> Vec<T> {
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let found = page(cursor).await.unwrap();
        seen.extend(found.items);
        cursor = found.next;
        if cursor.is_none() {
            return seen;
        }
    }
}

/// Few by default; `PROPTEST_CASES` says how many.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(32),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn walks_find_everything_in_order_whatever_happened(
        events in vec(event(), 0..60),
        limit in 1..6_u32,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for event in events {
                world.happen(event).await;
            }
            world.check(limit).await;
        });
    }
}
