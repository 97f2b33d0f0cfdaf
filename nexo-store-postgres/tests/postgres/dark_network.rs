//! A network that goes dark: nothing passes over the connections that there are, and nobody is
//! told. Whoever waits for an answer gives up, and the pool has its connections back.

use std::{
    future::{Future, pending},
    sync::{Arc, Mutex},
    time::Duration,
};

use nexo_core::{
    App, AppChanges, AppStore as _, Error, Heard, Hint, IdempotencyStore as _, KeyRing,
    MessageStore as _, NewMessage, Result, Role, StreamHub as _, Thread, ThreadStore as _, Topic,
};
use nexo_store_postgres::{PostgresOptions, PostgresStore};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use crate::{
    hearing::hearing,
    room::{Room, keyed},
};

/// What is between a store and its database.
#[derive(Default)]
struct Network {
    is_dark: watch::Sender<bool>,
    goes_dark_at: Mutex<Option<&'static str>>,
}

impl Network {
    /// It goes dark as soon as this text has passed to the server.
    fn go_dark_at(&self, text: &'static str) {
        *self.goes_dark_at.lock().unwrap() = Some(text);
    }

    async fn darkness(&self) {
        self.is_dark.subscribe().wait_for(|is_dark| *is_dark).await.unwrap();
    }

    /// New connections work again. The old ones stay as they are.
    fn light_up(&self) {
        self.goes_dark_at.lock().unwrap().take();
        self.is_dark.send_replace(false);
    }

    fn ends_with(&self, sent: &[u8]) -> bool {
        self.goes_dark_at
            .lock()
            .unwrap()
            .is_some_and(|text| sent.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    async fn relay_all(self: Arc<Self>, proxy: TcpListener, server: String) {
        while let Ok((client, _)) = proxy.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(Arc::clone(&self).relay(client, server));
        }
    }

    async fn relay(self: Arc<Self>, mut client: TcpStream, mut server: TcpStream) {
        tokio::select! {
            biased;
            () = self.darkness() => pending().await,
            () = self.pass_on(&mut client, &mut server) => {}
        }
    }

    /// Passes on what comes from either side, until one is gone.
    async fn pass_on(&self, client: &mut TcpStream, server: &mut TcpStream) {
        let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        loop {
            tokio::select! {
                Ok(count @ 1..) = client.read(&mut asked) => {
                    if server.write_all(&asked[..count]).await.is_err() {
                        return;
                    }
                    if self.ends_with(&asked[..count]) {
                        self.is_dark.send_replace(true);
                        return pending().await;
                    }
                }
                Ok(count @ 1..) = server.read(&mut answered) => {
                    if client.write_all(&answered[..count]).await.is_err() {
                        return;
                    }
                }
                else => return,
            }
        }
    }
}

/// A room, and a store of two connections that is behind a network.
struct Far {
    room: Room,
    network: Arc<Network>,
    store: PostgresStore,
}

impl Far {
    async fn new() -> Self {
        let (room, network) = (Room::new().await, Arc::new(Network::default()));
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (server, url) = room.database_behind(proxy.local_addr().unwrap());
        tokio::spawn(Arc::clone(&network).relay_all(proxy, server));
        let store = PostgresStore::connect(&url, options(), KeyRing::generate("test")).await;
        let far = Self { room, network, store: store.unwrap() };
        far.have_both_connections().await;
        while far.store.pool().num_idle() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        far
    }

    /// What comes of something during which the network goes dark.
    async fn dark_at<T>(&self, text: &'static str, work: impl Future<Output = T>) -> T {
        self.network.go_dark_at(text);
        let outcome = in_time(work).await;
        assert!(*self.network.is_dark.borrow(), "{text:?} was never sent");
        self.network.light_up();
        outcome
    }

    /// Goes away while the network is dark.
    async fn break_off(&self, text: &'static str, work: impl Future) {
        self.network.go_dark_at(text);
        tokio::select! {
            _ = work => panic!("it was answered"),
            () = in_time(self.network.darkness()) => {}
        }
        self.network.light_up();
    }

    async fn read(&self) -> Result<Thread> {
        self.store.get_thread(&self.room.scope(), self.room.thread.id).await
    }

    async fn rename(&self, name: &str) -> Result<App> {
        let changes = AppChanges { name: Some(name.into()), ..AppChanges::default() };
        self.store.update_app(&self.room.scope(), self.room.app.id, changes).await
    }

    async fn have_both_connections(&self) {
        let pool = self.store.pool();
        let both = in_time(async { tokio::join!(pool.acquire(), pool.acquire()) }).await;
        drop((both.0.unwrap(), both.1.unwrap()));
    }

    /// Both connections are to be had at once, and work at the first try.
    async fn assert_that_it_works(&self) {
        self.have_both_connections().await;
        let (read, renamed) =
            in_time(async { tokio::join!(self.read(), self.rename("New")) }).await;

        assert_eq!(read.unwrap().id, self.room.thread.id);
        assert_eq!(renamed.unwrap().name, "New");
    }
}

/// What waits in vain does so for longer than a connection is trusted without a sign of life.
fn options() -> PostgresOptions {
    PostgresOptions::new()
        .with_max_connections(2)
        .with_acquire_timeout(Duration::from_secs(30))
        .with_statement_timeout(Duration::from_secs(3))
        .with_silence_timeout(Duration::from_millis(500))
        .with_standstill_timeout(Duration::from_secs(1))
}

fn hello() -> NewMessage {
    NewMessage::new(Role::User, "Hello")
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), work).await.expect("it waits without an end")
}

#[tokio::test]
async fn a_read_that_nobody_answers_is_unavailable() {
    let far = Far::new().await;

    let read = far.dark_at("from nexo_threads", far.read()).await;

    assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
    far.assert_that_it_works().await;
}

#[tokio::test]
async fn of_a_write_that_nobody_answers_the_outcome_is_unknown() {
    let far = Far::new().await;
    let (scope, app, thread) = (far.room.scope(), far.room.app.id, far.room.thread.id);
    let saying = far.store.append_message(&scope, app, thread, hello());

    let said = far.dark_at("insert into nexo_messages", saying).await;

    assert!(matches!(said, Err(Error::OutcomeUnknown(_))), "{said:?}");
    far.assert_that_it_works().await;
}

#[tokio::test]
async fn what_was_committed_without_an_answer_is_not_done_again() {
    let far = Far::new().await;
    let (scope, app, thread) = (far.room.scope(), far.room.app.id, far.room.thread.id);
    let say = || far.store.append_message_once(&scope, app, thread, hello(), keyed("k"));

    let said = far.dark_at("COMMIT", say()).await;
    let again = in_time(say()).await.unwrap();

    assert!(matches!(said, Err(Error::OutcomeUnknown(_))), "{said:?}");
    assert!(again.replayed);
    assert_eq!(far.room.message_count().await, 1);
    far.assert_that_it_works().await;
}

#[tokio::test]
async fn a_transaction_that_nobody_answers_has_changed_nothing() {
    let far = Far::new().await;

    let renamed = far.dark_at("update nexo_apps", far.rename("Dark")).await;

    assert!(matches!(renamed, Err(Error::Unavailable(_))), "{renamed:?}");
    let app = far.room.store.get_app(&far.room.scope(), far.room.app.id).await.unwrap();
    assert_eq!(app.name, "Shop");
    far.assert_that_it_works().await;
}

#[tokio::test]
async fn a_transaction_whose_begin_nobody_answers_is_unavailable() {
    let far = Far::new().await;

    let renamed = far.dark_at("BEGIN", far.rename("Dark")).await;

    assert!(matches!(renamed, Err(Error::Unavailable(_))), "{renamed:?}");
    far.assert_that_it_works().await;
}

#[tokio::test]
async fn a_read_that_is_broken_off_in_the_dark_keeps_no_connection() {
    let far = Far::new().await;

    far.break_off("from nexo_threads", far.read()).await;

    far.assert_that_it_works().await;
}

#[tokio::test]
async fn a_transaction_that_is_broken_off_in_the_dark_keeps_no_connection() {
    let far = Far::new().await;

    far.break_off("update nexo_apps", far.rename("Dark")).await;

    far.assert_that_it_works().await;
}

#[tokio::test]
async fn on_a_pool_of_the_callers_no_answer_is_waited_for_without_an_end_either() {
    let far = Far::new().await;
    let pool = far.store.pool().clone();
    let patience = Duration::from_millis(500);
    let store = PostgresStore::new(pool, KeyRing::generate("test")).with_patience(patience);
    let scope = far.room.scope();

    let reading = store.get_thread(&scope, far.room.thread.id);
    let read = far.dark_at("from nexo_threads", reading).await;

    assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
}

#[tokio::test]
async fn a_hub_whose_news_nobody_takes_tells_them_again() {
    let far = Far::new().await;
    let (there, here) = (hearing(&far.room.store).await, hearing(&far.store).await);
    let mut hints = there.listen();
    far.network.go_dark_at("nexo_hints");

    let (app, thread, topic) = (far.room.app.id, far.room.thread.id, Topic::Message);
    here.tell(Hint { app, thread, topic });
    in_time(far.network.darkness()).await;
    far.network.light_up();

    let mut heard = in_time(hints.next()).await;
    while heard != Some(Heard::Everything) {
        heard = in_time(hints.next()).await;
    }
}
