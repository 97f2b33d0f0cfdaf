//! What the store keeps, and how it is found from within a scope.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::accounts::Accounts;
use crate::{
    Agent, App, AppId, AppKey, Delivery, Error, Handlers, IdempotencyKey, Made, Message, MessageId,
    OwnerId, Replay, ReplayId, Result, Run, RunId, Scope, Segment, ServerId, Subscriber,
    SubscriberId, Thread, ThreadId, Timestamp,
};

/// The order of threads in a list, read backwards.
pub(super) type ThreadKey = (Timestamp, ThreadId);

/// The order of subscribers in a list, read backwards: `None` is the smallest, so who never
/// said anything comes last.
pub(super) type SubscriberKey = (Option<Timestamp>, Timestamp, SubscriberId);

/// Everything. Rows refer to each other by id; a row's indexes lie with what owns it.
#[derive(Default)]
pub(super) struct State {
    pub(super) apps: HashMap<AppId, AppRow>,
    pub(super) apps_by_owner: HashMap<OwnerId, BTreeSet<(Timestamp, AppId)>>,
    pub(super) subscribers: HashMap<SubscriberId, SubscriberRow>,
    pub(super) threads: HashMap<ThreadId, ThreadRow>,
    /// The thread of each message, and its `seq` there.
    pub(super) messages: HashMap<MessageId, (ThreadId, i64)>,
    pub(super) runs: HashMap<RunId, RunRow>,
    /// The runs that have not ended.
    pub(super) standing: BTreeSet<RunId>,
    pub(super) servers: HashMap<ServerId, ServerRow>,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) accounts: Accounts,
}

pub(super) struct ServerRow {
    pub(super) beat_at: Timestamp,
    pub(super) handlers: Handlers,
}

pub(super) struct AppRow {
    pub(super) app: App,
    pub(super) agents: Vec<Agent>,
    pub(super) keys: Vec<AppKey>,
    pub(super) customers: HashMap<String, SubscriberId>,
    pub(super) subscribers: BTreeSet<SubscriberKey>,
    pub(super) threads: BTreeSet<ThreadKey>,
    /// What requests with a key made.
    pub(super) requests: HashMap<IdempotencyKey, RequestRow>,
}

pub(super) struct RequestRow {
    pub(super) route: String,
    pub(super) body_sha256: [u8; 32],
    pub(super) made: Made,
    pub(super) created_at: Timestamp,
}

pub(super) struct SubscriberRow {
    pub(super) subscriber: Subscriber,
    /// Both names in lower case.
    pub(super) search: String,
    pub(super) threads: BTreeSet<ThreadKey>,
}

pub(super) struct ThreadRow {
    pub(super) thread: Thread,
    /// The version of the last change of the thread itself.
    pub(super) own_version: i64,
    /// The message with `seq` n at n - 1.
    pub(super) messages: Vec<Message>,
    /// The version that came with each of them.
    pub(super) versions: Vec<i64>,
    pub(super) runs: Vec<RunId>,
    /// Those of them that have not ended.
    pub(super) standing: BTreeSet<RunId>,
}

pub(super) struct RunRow {
    pub(super) run: Run,
    /// The version of its last change.
    pub(super) version: i64,
    /// When it began last.
    pub(super) began_at: Option<Timestamp>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) replays: BTreeMap<ReplayId, Replay>,
    /// By attempt and position.
    pub(super) segments: BTreeMap<(i32, u32), Segment>,
}

pub(super) fn thread_key(thread: &Thread) -> ThreadKey {
    (thread.updated_at, thread.id)
}

pub(super) fn subscriber_key(subscriber: &Subscriber) -> SubscriberKey {
    (subscriber.last_message_at, subscriber.created_at, subscriber.id)
}

impl State {
    pub(super) fn app(&self, scope: &Scope, app: AppId) -> Result<&AppRow> {
        self.apps
            .get(&app)
            .filter(|row| scope.sees_app(app, &row.app.owner))
            .ok_or(Error::AppNotFound(app))
    }

    pub(super) fn app_mut(&mut self, scope: &Scope, app: AppId) -> Result<&mut AppRow> {
        self.apps
            .get_mut(&app)
            .filter(|row| scope.sees_app(app, &row.app.owner))
            .ok_or(Error::AppNotFound(app))
    }

    /// An app whose id another row holds: it goes only together with that row.
    pub(super) fn owning_app(&mut self, app: AppId) -> &mut AppRow {
        self.apps.get_mut(&app).expect("what belongs to an app goes with it")
    }

    pub(super) fn thread(&self, scope: &Scope, thread: ThreadId) -> Result<&ThreadRow> {
        self.threads
            .get(&thread)
            .filter(|row| self.app(scope, row.thread.app).is_ok())
            .filter(|row| scope.sees_subscriber(row.thread.subscriber))
            .ok_or(Error::ThreadNotFound(thread))
    }

    /// A thread of this app.
    pub(super) fn thread_in(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
    ) -> Result<&ThreadRow> {
        self.app(scope, app)?;
        let row = self.thread(scope, thread)?;
        if row.thread.app == app { Ok(row) } else { Err(Error::ThreadNotFound(thread)) }
    }

    /// A thread that was found before, in the same step.
    pub(super) fn found_thread(&mut self, thread: ThreadId) -> &mut ThreadRow {
        self.threads.get_mut(&thread).expect("the thread was found in this step")
    }

    pub(super) fn subscriber_in(
        &self,
        scope: &Scope,
        app: AppId,
        subscriber: SubscriberId,
    ) -> Result<&SubscriberRow> {
        self.app(scope, app)?;
        self.subscribers
            .get(&subscriber)
            .filter(|row| row.subscriber.app == app && scope.sees_subscriber(Some(subscriber)))
            .ok_or(Error::SubscriberNotFound)
    }

    pub(super) fn run(&self, scope: &Scope, run: RunId) -> Result<&RunRow> {
        self.runs
            .get(&run)
            .filter(|row| self.thread(scope, row.run.thread).is_ok())
            .ok_or(Error::RunNotFound)
    }

    /// Has the thread's readers see a change of the thread itself.
    pub(super) fn show_thread(&mut self, thread: ThreadId) {
        let row = self.found_thread(thread);
        row.thread.version += 1;
        row.own_version = row.thread.version;
    }

    /// Changes a thread, and keeps it where the lists' order wants it.
    pub(super) fn change_thread(&mut self, thread: ThreadId, change: impl FnOnce(&mut Thread)) {
        let row = &mut self.found_thread(thread).thread;
        let (app, old) = (row.app, thread_key(row));
        change(row);
        let (new, subscriber) = (thread_key(row), row.subscriber);
        reindex(&mut self.owning_app(app).threads, &old, new);
        if let Some(row) = subscriber.and_then(|id| self.subscribers.get_mut(&id)) {
            reindex(&mut row.threads, &old, new);
        }
    }

    /// Changes a subscriber, and keeps it where the list's order wants it.
    pub(super) fn change_subscriber(
        &mut self,
        subscriber: SubscriberId,
        change: impl FnOnce(&mut Subscriber),
    ) {
        let Some(row) = self.subscribers.get_mut(&subscriber) else { return };
        let (app, old) = (row.subscriber.app, subscriber_key(&row.subscriber));
        change(&mut row.subscriber);
        let new = subscriber_key(&row.subscriber);
        reindex(&mut self.owning_app(app).subscribers, &old, new);
    }
}

fn reindex<K: Ord>(index: &mut BTreeSet<K>, old: &K, new: K) {
    index.remove(old);
    index.insert(new);
}
