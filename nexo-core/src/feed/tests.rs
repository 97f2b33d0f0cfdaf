use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::*;
use crate::{
    AppId, Heard, Hint, Hints, LocalHub, NewApp, NewMessage, NewThread, Nexo, Role, Scope,
    SubscriberId, ThreadChanges, ThreadId, Topic,
};

const ALL: Scope = Scope::Everything;
/// More than any wait takes; the clock of these tests leaps.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// A hub over which no hint ever comes.
#[derive(Debug)]
struct DeafHub(LocalHub);

impl StreamHub for DeafHub {
    fn tell(&self, _: Hint) {}

    fn listen(&self) -> Hints {
        self.0.listen()
    }

    fn reaches_others(&self) -> bool {
        false
    }
}

/// A thread in an app, and who changes it.
struct Room {
    nexo: Nexo,
    hub: LocalHub,
    app: AppId,
    thread: ThreadId,
}

impl Room {
    async fn new() -> Self {
        let hub = LocalHub::default();
        let nexo = Nexo::builder().hub(Arc::new(hub.clone())).build();
        let app = NewApp::new("ann".parse().unwrap(), "Shop");
        let app = nexo.store().create_app(app).await.unwrap().id;
        let mut room = Self { nexo, hub, app, thread: ThreadId::new() };
        room.thread = room.new_thread("").await.0;
        room
    }

    async fn new_thread(&self, customer: &str) -> (ThreadId, Option<SubscriberId>) {
        let new = NewThread { customer_id: Some(customer.into()), ..NewThread::default() };
        let thread = self.nexo.store().create_thread(&ALL, self.app, new).await.unwrap().0;
        (thread.id, thread.subscriber)
    }

    async fn say_in(&self, thread: ThreadId, text: &str) {
        let message = NewMessage::new(Role::User, text);
        self.nexo.store().append_message(&ALL, self.app, thread, message).await.unwrap();
    }

    async fn say(&self, text: &str) {
        self.say_in(self.thread, text).await;
    }

    fn tell(&self, topic: Topic) -> Hint {
        let hint = Hint { app: self.app, thread: self.thread, topic };
        self.nexo.hub().tell(hint);
        hint
    }

    async fn watch(&self, after: Option<ThreadCursor>) -> ThreadWatch {
        self.nexo.feed().watch_thread(&ALL, self.app, self.thread, after).await.unwrap()
    }

    async fn watch_app(&self, scope: &Scope) -> AppWatch {
        self.nexo.feed().watch_app(scope, self.app).await.unwrap()
    }

    fn changed(&self, thread: ThreadId) -> AppEvent {
        AppEvent::Changed(Hint { app: self.app, thread, topic: Topic::Thread })
    }
}

async fn next(watch: &mut ThreadWatch) -> Option<ThreadEvent> {
    timeout(PATIENCE, watch.next()).await.expect("nothing came")
}

/// The text of the message that comes next.
async fn heard(watch: &mut ThreadWatch) -> String {
    match next(watch).await {
        Some(ThreadEvent::Changed(Change { what: Changed::Message(message), .. })) => {
            message.content.unwrap()
        }
        other => panic!("no message: {other:?}"),
    }
}

async fn told(watch: &mut AppWatch) -> Option<AppEvent> {
    timeout(PATIENCE, watch.next()).await.expect("nothing came")
}

/// Asserts that nothing comes for a long time.
async fn assert_silent(watch: &mut AppWatch) {
    let outcome = timeout(Duration::from_secs(30), watch.next()).await;
    assert!(outcome.is_err(), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watcher_sees_what_changes_from_now_on_each_once_and_in_order() {
    let room = Room::new().await;
    room.say("before").await;
    let mut watchers = [room.watch(None).await, room.watch(None).await];
    assert_eq!(watchers[0].cursor(), ThreadCursor::Version(2));

    for text in ["one", "two"] {
        room.say(text).await;
        room.tell(Topic::Message);
    }
    room.say("three").await;

    for watcher in &mut watchers {
        for text in ["one", "two", "three"] {
            assert_eq!(heard(watcher).await, text);
        }
        assert_eq!(watcher.cursor(), ThreadCursor::Version(5));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_is_followed_at_once_and_its_lack_costs_half_a_second() {
    let room = Room::new().await;
    let mut watcher = room.watch(None).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let begun = Instant::now();

    room.say("hinted").await;
    room.tell(Topic::Message);
    assert_eq!(heard(&mut watcher).await, "hinted");
    assert_eq!(begun.elapsed(), Duration::ZERO);

    room.say("silent").await;
    assert_eq!(heard(&mut watcher).await, "silent");
    assert!(begun.elapsed() <= Duration::from_millis(510), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_connects_again_goes_on_where_it_was() {
    let room = Room::new().await;
    let texts: Vec<String> = (0..250).map(|number| number.to_string()).collect();
    for text in &texts {
        room.say(text).await;
    }
    let mut seen = Vec::new();
    let mut cursor = ThreadCursor::Seq(0);

    while seen.len() < texts.len() {
        let mut watcher = room.watch(Some(cursor)).await;
        assert!(seen.is_empty() || watcher.cursor() == cursor);
        for _ in 0..60 {
            match timeout(Duration::from_millis(1), watcher.next()).await {
                Ok(Some(ThreadEvent::Changed(change))) => match change.what {
                    Changed::Message(message) => seen.extend(message.content),
                    Changed::Thread(_) => assert!(seen.is_empty()),
                    Changed::Run(run) => panic!("nobody made {run:?}"),
                },
                Ok(other) => panic!("{other:?}"),
                Err(_) => break,
            }
        }
        cursor = watcher.cursor();
    }

    assert_eq!(seen, texts);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_up_nobody_and_skips_what_is_outdated() {
    let room = Room::new().await;
    let (mut slow, mut quick) = (room.watch(None).await, room.watch(None).await);
    for number in 0..500 {
        let title = Some(Some(number.to_string()));
        let changes = ThreadChanges { title, ..ThreadChanges::default() };
        room.nexo.store().update_thread(&ALL, room.thread, changes).await.unwrap();
        room.tell(Topic::Thread);
        assert!(matches!(next(&mut quick).await, Some(ThreadEvent::Changed(_))));
    }

    let Some(ThreadEvent::Changed(Change { version, what })) = next(&mut slow).await else {
        panic!("no change")
    };
    let Changed::Thread(thread) = what else { panic!("{what:?}") };
    assert_eq!((version, thread.title.as_deref()), (501, Some("499")));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_thread_ends_its_watchers() {
    let room = Room::new().await;
    let mut watchers = [room.watch(None).await, room.watch(Some(ThreadCursor::Version(1))).await];

    room.nexo.store().delete_thread(&ALL, room.thread).await.unwrap();

    for watcher in &mut watchers {
        assert_eq!(next(watcher).await, Some(ThreadEvent::Deleted));
        assert_eq!(next(watcher).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shuts_down_ends_all_watchers_and_takes_no_new_ones() {
    let room = Room::new().await;
    let (mut thread, mut app) = (room.watch(None).await, room.watch_app(&ALL).await);

    room.nexo.engine().shutdown(Duration::ZERO).await;

    assert_eq!(next(&mut thread).await, None);
    assert_eq!(told(&mut app).await, None);
    let feed = room.nexo.feed();
    let refused = feed.watch_thread(&ALL, room.app, room.thread, None).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))));
    assert!(matches!(feed.watch_app(&ALL, room.app).await, Err(Error::Unavailable(_))));
}

#[tokio::test(start_paused = true)]
async fn what_is_watched_is_forgotten_with_its_last_watcher() {
    let room = Room::new().await;
    let (thread, app) = (room.watch(None).await, room.watch_app(&ALL).await);
    assert_eq!(format!("{:?}", room.nexo.feed()), "Feed(1 threads, 1 apps)");

    drop((thread, app));

    assert_eq!(format!("{:?}", room.nexo.feed()), "Feed(0 threads, 0 apps)");
}

#[tokio::test(start_paused = true)]
async fn the_watcher_of_an_app_is_told_once_what_was_hinted() {
    let room = Room::new().await;
    let mut watcher = room.watch_app(&ALL).await;

    room.say("Hello").await;
    let hint = room.tell(Topic::Message);
    room.tell(Topic::Message);
    room.tell(Topic::Text(crate::RunId::new()));

    assert_eq!(told(&mut watcher).await, Some(AppEvent::Changed(hint)));
    assert_silent(&mut watcher).await;
}

#[tokio::test(start_paused = true)]
async fn the_watcher_of_an_app_is_told_what_nobody_hinted_at() {
    let nexo = Nexo::builder().hub(Arc::new(DeafHub(LocalHub::default()))).build();
    let room = Room { nexo, ..Room::new().await };
    let app = NewApp::new("ann".parse().unwrap(), "Shop");
    let app = room.nexo.store().create_app(app).await.unwrap().id;
    let mut room = Room { app, ..room };
    room.thread = room.new_thread("").await.0;
    let mut watcher = room.watch_app(&ALL).await;

    room.say("Hello").await;
    assert_eq!(told(&mut watcher).await, Some(room.changed(room.thread)));
    let new = room.new_thread("").await.0;
    assert_eq!(told(&mut watcher).await, Some(room.changed(new)));
    room.nexo.store().delete_thread(&ALL, room.thread).await.unwrap();
    assert_eq!(told(&mut watcher).await, Some(room.changed(room.thread)));
    assert_silent(&mut watcher).await;
    room.nexo.store().delete_app(&ALL, room.app).await.unwrap();
    while let Some(event) = told(&mut watcher).await {
        assert!(event == AppEvent::Deleted || event == room.changed(new), "{event:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_watches_a_busy_app_is_told_to_look_everywhere_and_then_left_alone() {
    let room = Room::new().await;
    let mut watcher = room.watch_app(&ALL).await;
    let run = || Topic::Run(crate::RunId::new());
    let first = AppEvent::Changed(room.tell(run()));
    assert_eq!(told(&mut watcher).await, Some(first));

    for _ in 0..2_000 {
        room.tell(run());
        tokio::task::yield_now().await;
    }
    assert_eq!(told(&mut watcher).await, Some(AppEvent::Resync));
    let resynced = Instant::now();
    let last = AppEvent::Changed(room.tell(run()));

    assert_eq!(told(&mut watcher).await, Some(last));
    assert!(resynced.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn hints_that_may_have_been_missed_have_everybody_look() {
    let room = Room::new().await;
    let (mut thread, mut app) = (room.watch(None).await, room.watch_app(&ALL).await);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let begun = Instant::now();

    room.say("Hello").await;
    room.hub.pass_on(Heard::Everything);

    assert_eq!(heard(&mut thread).await, "Hello");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(told(&mut app).await, Some(AppEvent::Resync));
}

#[tokio::test(start_paused = true)]
async fn a_customer_is_told_of_their_own_threads_only() {
    let mut room = Room::new().await;
    let (own, carl) = room.new_thread("carl").await;
    let (other, _) = room.new_thread("nora").await;
    let scope = Scope::Subscriber { app: room.app, subscriber: carl.unwrap() };
    let mut watcher = room.watch_app(&scope).await;

    for thread in [other, own, room.thread] {
        room.thread = thread;
        room.say("Hello").await;
        room.tell(Topic::Message);
    }
    let said = Hint { app: room.app, thread: own, topic: Topic::Message };
    assert_eq!(told(&mut watcher).await, Some(AppEvent::Changed(said)));

    room.nexo.store().delete_thread(&ALL, other).await.unwrap();
    room.nexo.store().delete_thread(&ALL, own).await.unwrap();
    assert_eq!(told(&mut watcher).await, Some(room.changed(own)));
    assert_silent(&mut watcher).await;
}
