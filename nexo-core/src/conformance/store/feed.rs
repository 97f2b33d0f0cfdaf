//! What changed in threads.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    AppId, Change, ChangeLimit, ChangePage, Changed, Error, FinishRun, Message, NewMessage,
    NewThread, Result, Role, Run, RunId, Scope, Stop, Store, Thread, ThreadChanges, ThreadCursor,
    ThreadId, ThreadStatus,
    conformance::{
        assert_fails,
        fixtures::{Room, at_once, completed, eventually, new_thread, standing, started, sweep},
    },
};

/// Takes whatever there is.
const ALL: ChangeLimit = ChangeLimit { changes: 1_000, bytes: u32::MAX };

/// What changed, without what it is now.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Thread,
    Message(i64),
    Run(RunId),
}

fn what(change: &Change) -> What {
    match &change.what {
        Changed::Thread(_) => What::Thread,
        Changed::Message(message) => What::Message(message.seq),
        Changed::Run(run) => What::Run(run.id),
    }
}

fn whats(page: &ChangePage) -> Vec<What> {
    page.changes.iter().map(what).collect()
}

impl Room {
    async fn changes(&self, after: ThreadCursor, limit: ChangeLimit) -> Result<ChangePage> {
        let (app, thread) = (self.app.id, self.thread.id);
        self.store.list_changes(&Scope::Everything, app, thread, after, limit).await
    }

    async fn after(&self, version: i64) -> ChangePage {
        self.changes(ThreadCursor::Version(version), ALL).await.unwrap()
    }

    async fn version(&self) -> i64 {
        self.thread().await.version
    }

    async fn rename(&self, title: &str) -> Thread {
        let title = Some(Some(title.to_owned()));
        let changes = ThreadChanges { title, ..ThreadChanges::default() };
        self.store.update_thread(&Scope::Everything, self.thread.id, changes).await.unwrap()
    }

    /// Does something, and asserts what of the thread changed by it, in whatever order: each
    /// with a version of its own above that of before.
    async fn assert_changes<T>(&self, act: impl Future<Output = T>, expected: &[What]) -> T {
        let before = self.version().await;

        let done = act.await;

        let page = self.after(before).await;
        let found = whats(&page);
        assert_eq!(found.len(), expected.len(), "{found:?}, not {expected:?}");
        assert!(expected.iter().all(|what| found.contains(what)), "{found:?}, not {expected:?}");
        let versions: Vec<i64> = page.changes.iter().map(|change| change.version).collect();
        let distinct: Vec<i64> = (before + 1..).take(expected.len()).collect();
        assert_eq!(versions, distinct, "one for each change: {found:?}");
        assert_eq!(page.version, self.version().await);
        assert_eq!((page.seen(), page.has_more()), (page.version, false));
        done
    }
}

pub(super) async fn a_new_thread_has_version_one_and_its_greeting_comes_after(
    store: Arc<dyn Store>,
) {
    let room = Room::new(&store).await;
    let greeted = NewThread { greeting: Some("Welcome".into()), ..NewThread::default() };

    let made = store.create_thread(&Scope::Everything, room.app.id, greeted).await.unwrap();

    assert_eq!(room.thread.version, 1);
    let page = room.after(0).await;
    assert_eq!(page.version, 1);
    let itself = Changed::Thread(Box::new(room.thread.clone()));
    assert_eq!(page.changes, [Change { version: 1, what: itself }]);
    let (thread, greeting) = (made.0, made.1.unwrap());
    assert_eq!(thread.version, 2);
    let page = Room { thread: thread.clone(), ..room }.after(0).await;
    let itself = Changed::Thread(Box::new(thread));
    let greeting = Changed::Message(Box::new(greeting));
    let expected = [Change { version: 1, what: itself }, Change { version: 2, what: greeting }];
    assert_eq!(page.changes, expected);
}

pub(super) async fn every_change_is_found_after_the_version_before_it(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let all = Scope::Everything;
    let (app, thread) = (room.app.id, room.thread.id);
    let label = ThreadChanges { status: Some(ThreadStatus::Archived), title: None };

    room.assert_changes(room.rename("New"), &[What::Thread]).await;
    room.assert_changes(store.update_thread(&all, thread, label), &[What::Thread]).await.unwrap();
    room.assert_changes(room.say("Hello?"), &[What::Message(1)]).await;
    let wish = room.start();
    let first = What::Run(wish.run);
    let run = started(room.assert_changes(store.start_run(&all, wish), &[first]).await).run;
    let joined = room.assert_changes(store.start_run(&all, room.start()), &[]).await;
    assert_eq!(standing(joined), run);
    room.say("And this?").await;
    let wish = room.start();
    let second = What::Run(wish.run);
    let next = standing(room.assert_changes(store.start_run(&all, wish), &[second]).await);
    let aside = NewMessage::new(Role::Assistant, "Wait");
    room.assert_changes(room.append(aside), &[What::Message(3)]).await.unwrap();
    room.assert_changes(store.park_run(run.id, run.fence, Duration::from_secs(60)), &[first])
        .await
        .unwrap();
    let end = [What::Message(4), first, second];
    room.assert_changes(store.finish_run(completed(&run, "Hi")), &end).await.unwrap();
    let again = room.assert_changes(store.finish_run(completed(&run, "Hi")), &[]).await;
    assert_fails!(again, Error::Fenced);
    let begun = room.assert_changes(room.claim(), &[second]).await.remove(0).run;
    room.assert_changes(store.hand_back_run(next.id, begun.fence), &[second]).await.unwrap();
    let begun = room.assert_changes(room.claim(), &[second]).await.remove(0).run;
    room.assert_changes(store.stop_run(&all, app, next.id, Stop::Cancel), &[second]).await.unwrap();
    let silent = FinishRun { reply: None, ..completed(&begun, "") };
    room.assert_changes(store.finish_run(silent), &[second]).await.unwrap();
}

pub(super) async fn runs_that_change_at_once_have_versions_of_their_own(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let first = room.started().await.run;
    let (second, third) = (room.queued().await, room.queued().await);
    let (a, b, c) = (What::Run(first.id), What::Run(second.id), What::Run(third.id));

    let taken_over = sweep(&store, Duration::from_secs(3_600));
    assert_eq!(room.assert_changes(taken_over, &[a]).await.queued, [first.id]);
    let stop = store.stop_run(&Scope::Everything, room.app.id, first.id, Stop::Cancel);
    room.assert_changes(stop, &[a, b]).await.unwrap();
    room.say("Stop").await;
    let wish = crate::StartRun { overlap: Some(crate::Overlap::Merge), ..room.start() };
    let merged = What::Run(wish.run);
    room.assert_changes(store.start_run(&Scope::Everything, wish), &[b, c, merged]).await.unwrap();
}

pub(super) async fn what_changed_often_is_listed_once_as_it_is_now(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    room.rename("One").await;
    let run = room.started().await.run;
    let renamed = room.rename("Two").await;
    let reply = store.finish_run(completed(&run, "Hi")).await.unwrap().reply.unwrap();

    let page = room.after(0).await;

    let expected = [What::Message(1), What::Thread, What::Message(2), What::Run(run.id)];
    assert_eq!(whats(&page), expected);
    let versions: Vec<i64> = page.changes.iter().map(|change| change.version).collect();
    assert_eq!(versions, [3, 5, 6, 7]);
    let now: Vec<Changed> = page.changes.into_iter().skip(1).map(|change| change.what).collect();
    let (thread, run) = (room.thread().await, room.run(run.id).await);
    assert_eq!((&thread.title, thread.updated_at), (&renamed.title, reply.created_at));
    let expected = [
        Changed::Thread(Box::new(thread)),
        Changed::Message(Box::new(reply)),
        Changed::Run(Box::new(run)),
    ];
    assert_eq!(now, expected);
}

/// A thread in which much has changed.
async fn busy(store: &Arc<dyn Store>) -> Room {
    let room = Room::new(store).await;
    for text in ["a", "é", "three"] {
        let run = room.started().await.run;
        let long = text.repeat(100);
        store.finish_run(completed(&run, &long)).await.unwrap();
        room.rename(text).await;
    }
    room
}

pub(super) async fn pages_of_changes_leave_nothing_out(store: Arc<dyn Store>) {
    let room = busy(&store).await;
    let whole = room.after(0).await;
    assert_eq!(whole.changes.len(), 10);

    for (changes, bytes) in [(1, u32::MAX), (3, u32::MAX), (100, 0), (100, 150), (4, 250)] {
        let (mut seen, mut found) = (0, Vec::new());
        loop {
            let limit = ChangeLimit { changes, bytes };
            let page = room.changes(ThreadCursor::Version(seen), limit).await.unwrap();
            let count = u32::try_from(page.changes.len()).unwrap();
            assert!((1..=changes).contains(&count), "{count} of {changes}");
            let sizes = page.changes.iter().map(|change| change.what.bytes());
            let but_last: usize = sizes.take(page.changes.len() - 1).sum();
            assert!(but_last < usize::try_from(bytes.max(1)).unwrap(), "{but_last} of {bytes}");
            assert!(page.seen() > seen && page.version == whole.version);
            (seen, found) = (page.seen(), [found, page.changes.clone()].concat());
            if !page.has_more() {
                break;
            }
        }
        assert_eq!((seen, found), (whole.version, whole.changes.clone()));
    }
    assert_eq!(room.after(whole.version).await.changes, []);
}

pub(super) async fn a_seq_stands_for_the_version_of_its_message(store: Arc<dyn Store>) {
    let room = busy(&store).await;
    let whole = room.after(0).await;

    let from_start = room.changes(ThreadCursor::Seq(0), ALL).await.unwrap();
    assert_eq!(from_start, whole);
    for seq in 1..=6 {
        let at = whats(&whole).iter().position(|what| *what == What::Message(seq)).unwrap();

        let after = room.changes(ThreadCursor::Seq(seq), ALL).await.unwrap();

        assert_eq!(after.changes, whole.changes[at + 1..], "{seq}");
    }
}

pub(super) async fn a_cursor_that_nobody_can_have_is_refused(store: Arc<dyn Store>) {
    let room = busy(&store).await;
    let version = room.version().await;
    for cursor in [
        ThreadCursor::Version(version + 1),
        ThreadCursor::Version(i64::MAX),
        ThreadCursor::Version(-1),
        ThreadCursor::Seq(7),
        ThreadCursor::Seq(-1),
        ThreadCursor::Seq(i64::MIN),
        ThreadCursor::Seq(i64::MAX),
    ] {
        assert_fails!(room.changes(cursor, ALL).await, Error::InvalidCursor);
    }
}

pub(super) async fn changes_outside_the_scope_do_not_exist(store: Arc<dyn Store>) {
    let room = busy(&store).await;
    let other = Room::of(&store, &room.app, "nora").await;
    let elsewhere = Room::new(&store).await.app.id;
    let (app, thread) = (room.app.id, room.thread.id);
    let beyond = ThreadCursor::Version(i64::MAX);
    let list = |scope: Scope, app: AppId, thread: ThreadId| {
        let store = Arc::clone(&store);
        async move { store.list_changes(&scope, app, thread, beyond, ALL).await }
    };

    for scope in room.inside() {
        let after = ThreadCursor::Version(0);
        let found = store.list_changes(&scope, app, thread, after, ALL).await.unwrap();
        assert_eq!(found, room.after(0).await);
        let versions = store.thread_versions(&scope, &[thread, ThreadId::new()]).await.unwrap();
        assert_eq!(versions, HashMap::from([(thread, found.version)]));
        assert!(store.thread_versions(&scope, &[]).await.unwrap().is_empty());
        assert_fails!(list(scope, app, thread).await, Error::InvalidCursor);
    }
    for scope in room.outside_app().await {
        assert_fails!(list(scope.clone(), app, thread).await, Error::AppNotFound(_));
        assert!(store.thread_versions(&scope, &[thread]).await.unwrap().is_empty());
    }
    let neighbour = room.neighbour().await;
    let both = [thread, other.thread.id];
    let seen = store.thread_versions(&neighbour, &both).await.unwrap();
    assert_eq!(seen, HashMap::from([(other.thread.id, 1)]));
    for (scope, app, thread) in [
        (neighbour, app, thread),
        (Scope::Everything, elsewhere, thread),
        (Scope::Everything, app, ThreadId::new()),
    ] {
        assert_fails!(list(scope, app, thread).await, Error::ThreadNotFound(_));
    }
}

pub(super) async fn versions_of_many_threads_are_found_at_once(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let mut expected = HashMap::new();
    for _ in 0..30 {
        let thread = new_thread(&store, room.app.id, "").await;
        expected.insert(thread.id, thread.version);
    }
    let gone = *expected.keys().next().unwrap();
    store.delete_thread(&Scope::Everything, gone).await.unwrap();
    let mut asked: Vec<ThreadId> = expected.keys().copied().collect();
    asked.extend((0..2_000).map(|_| ThreadId::new()));

    let found = store.thread_versions(&Scope::Everything, &asked).await.unwrap();

    expected.remove(&gone);
    assert_eq!(found, expected);
}

pub(super) async fn the_newest_threads_are_those_of_lists(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let app = room.app.id;
    let idle = Room::of(&store, &room.app, "carl").await;
    let empty = crate::conformance::fixtures::new_app(&store, "ann").await.id;
    let mut threads = vec![room.thread.id, idle.thread.id];
    room.started().await;
    for _ in 0..3 {
        let thread = new_thread(&store, app, "").await.id;
        threads.push(thread);
        Room { thread: Thread { id: thread, ..room.thread.clone() }, ..room.clone() }
            .say("Hello")
            .await;
    }
    let newest = async |limit| {
        let asked = [app, empty, AppId::new()];
        let mut found = store.newest_threads(&asked, limit).await.unwrap();
        assert_eq!(found.remove(&empty), Some(HashMap::new()));
        let newest = found.remove(&app).unwrap();
        assert!(found.is_empty(), "an app that is not there");
        newest
    };

    let all = newest(10).await;
    assert_eq!(all, store.thread_versions(&Scope::Everything, &threads).await.unwrap());
    assert_eq!(all.len(), 5);

    let few: HashSet<ThreadId> = newest(2).await.into_keys().collect();
    assert_eq!(few, HashSet::from([threads[0], threads[3], threads[4]]), "two and that of a run");
}

/// What a reader knows who goes on from the highest version again and again.
#[derive(Default)]
struct Reader {
    seen: i64,
    messages: Vec<Message>,
    runs: HashMap<RunId, Run>,
    thread: Option<Thread>,
}

impl Reader {
    async fn read(&mut self, room: &Room, limit: ChangeLimit) {
        let page = room.changes(ThreadCursor::Version(self.seen), limit).await.unwrap();
        for change in &page.changes {
            assert!(change.version > self.seen, "a version came twice");
            self.seen = change.version;
            match &change.what {
                Changed::Thread(thread) => self.thread = Some((**thread).clone()),
                Changed::Message(message) => self.messages.push((**message).clone()),
                Changed::Run(run) => drop(self.runs.insert(run.id, (**run).clone())),
            }
        }
        self.seen = page.seen();
    }
}

/// One of many who work in a thread at once.
async fn work(room: &Room, number: usize) {
    for step in 0..6 {
        match (number + step) % 3 {
            0 => drop(room.say("Hello").await),
            1 => drop(room.rename(&format!("{number} {step}")).await),
            _ => {
                room.say("Hello?").await;
                let wish = room.start();
                room.store.start_run(&Scope::Everything, wish).await.unwrap();
                for begun in room.claim().await {
                    let finish = completed(&begun.run, "Hi");
                    room.store.finish_run(finish).await.unwrap();
                }
            }
        }
    }
}

/// A reader must find everything, whenever it looks: what is committed later must not have a
/// lower version.
pub(super) async fn a_reader_misses_nothing_while_many_write(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (1..=3)
        .map(|changes| {
            let (room, done) = (room.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let limit = ChangeLimit { changes, bytes: u32::MAX };
                let mut reader = Reader::default();
                while !done.load(Ordering::SeqCst) {
                    reader.read(&room, limit).await;
                }
                while reader.seen < room.version().await {
                    reader.read(&room, limit).await;
                }
                reader
            })
        })
        .collect();

    at_once(6, |number| {
        let room = room.clone();
        async move { work(&room, number).await }
    })
    .await;
    done.store(true, Ordering::SeqCst);

    let (messages, thread) = (room.messages().await, room.thread().await);
    for reader in readers {
        let reader = reader.await.unwrap();
        assert_eq!(reader.messages, messages, "each once, in order");
        assert_eq!(reader.thread.unwrap().title, thread.title);
        assert_eq!(reader.seen, thread.version);
        for run in reader.runs.into_values() {
            assert_eq!(room.run(run.id).await, run);
        }
    }
}

/// A message, and a run that the passing of time begins or ends.
pub(super) async fn what_time_brings_about_is_a_change(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let wish = |start: &mut crate::StartRun| {
        start.debounce = Some(Duration::from_micros(1));
    };
    let run = standing(room.wish(wish).await);
    let before = room.version().await;

    eventually("a claimed run", || async { !room.claim().await.is_empty() }).await;

    assert_eq!(whats(&room.after(before).await), [What::Run(run.id)]);
}
