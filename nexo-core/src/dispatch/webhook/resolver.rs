//! How host names become network addresses.

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, ToSocketAddrs},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::future::{Either, select};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};

/// How many look-ups are under way at once. Each holds a thread of the runtime for as long as
/// the name's servers keep it waiting, and nothing can end it.
const AT_ONCE: usize = 128;
/// After so long a look-up is not joined any more, but followed by a second one: a question that
/// got lost on its way is asked again only much later.
const FRESH: Duration = Duration::from_secs(1);
/// How many look-ups of one name are under way at once.
const AT_ONCE_OF_ONE_NAME: usize = 2;

/// Looks host names up. What comes back is vetted by the [`Guard`](super::Guard), and exactly
/// that is dialled.
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// All addresses of a name.
    ///
    /// # Errors
    ///
    /// If the name does not exist, or can't be looked up now.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Looks names up as the operating system does, 128 at once, and each only once or twice at a
/// time: names whose servers never answer must not take up all threads. Those who ask for more
/// wait.
#[derive(Clone)]
pub struct SystemResolver {
    room: Arc<Semaphore>,
    under_way: Arc<Mutex<HashMap<String, UnderWay>>>,
    look_up: LookUp,
}

/// What the operating system is asked with, on a thread that may block.
type LookUp = fn(&str) -> io::Result<Vec<IpAddr>>;
/// An error is shared by all who asked.
type Answer = Result<Vec<IpAddr>, Arc<io::Error>>;
type Tell = Arc<watch::Sender<Option<Answer>>>;

/// The look-ups of one name, and the newest of them, which may be joined while it goes on.
struct UnderWay {
    count: usize,
    newest: Option<Tell>,
    since: Instant,
}

impl UnderWay {
    /// What may be joined: it is fresh, or no other may be begun.
    fn joinable(&self) -> Option<&Tell> {
        let joins = self.since.elapsed() < FRESH || self.count >= AT_ONCE_OF_ONE_NAME;
        self.newest.as_ref().filter(|_| joins)
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new(AT_ONCE, |name| Ok((name, 0).to_socket_addrs()?.map(|it| it.ip()).collect()))
    }
}

impl SystemResolver {
    fn new(at_once: usize, look_up: LookUp) -> Self {
        let room = Arc::new(Semaphore::new(at_once));
        Self { room, under_way: Arc::default(), look_up }
    }

    /// Where the answer to a look-up comes, which is begun if it is not under way.
    fn asked(&self, name: &str) -> watch::Receiver<Option<Answer>> {
        let mut under_way = self.lock();
        let known = under_way.get(name);
        if let Some(tell) = known.and_then(UnderWay::joinable) {
            return tell.subscribe();
        }
        let count = known.map_or(0, |known| known.count) + 1;
        let (tell, answer) = watch::channel(None);
        let tell = Arc::new(tell);
        let newest = Some(Arc::clone(&tell));
        under_way.insert(name.to_owned(), UnderWay { count, newest, since: Instant::now() });
        tokio::spawn(self.clone().look_up(name.to_owned(), tell));
        answer
    }

    /// Looks a name up once there is room, unless nobody waits for it any more by then.
    async fn look_up(self, name: String, tell: Tell) {
        let Some(room) = self.room(&name, &tell).await else { return };
        let (look_up, wanted) = (self.look_up, name.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let _room = room;
            look_up(&wanted)
        });
        let answer = looked.await.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
        // Whoever asks from now on begins another one, or joins one that still goes on.
        end_one(&mut self.lock(), &name, &tell);
        tell.send_replace(Some(answer.map_err(Arc::new)));
    }

    async fn room(&self, name: &str, tell: &Tell) -> Option<OwnedSemaphorePermit> {
        let mut room = pin!(Arc::clone(&self.room).acquire_owned());
        loop {
            match select(room.as_mut(), pin!(tell.closed())).await {
                Either::Left((room, _)) => return room.ok(),
                Either::Right(_) => {
                    let mut under_way = self.lock();
                    // Nobody can join meanwhile.
                    if tell.receiver_count() == 0 {
                        end_one(&mut under_way, name, tell);
                        return None;
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end_one(under_way: &mut HashMap<String, UnderWay>, name: &str, ended: &Tell) {
    let Some(known) = under_way.get_mut(name) else { return };
    known.count -= 1;
    known.newest.take_if(|newest| Arc::ptr_eq(newest, ended));
    if known.count == 0 {
        under_way.remove(name);
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut asked = self.asked(name);
        let answered = asked.wait_for(Option::is_some).await.map_err(io::Error::other)?;
        match answered.clone() {
            Some(Ok(addresses)) => Ok(addresses),
            Some(Err(error)) => Err(io::Error::new(error.kind(), error)),
            None => Err(io::Error::other("the look-up was given up")),
        }
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemResolver({} under way)", self.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Condvar,
        atomic::{AtomicUsize, Ordering},
    };

    use futures::FutureExt;

    use super::*;

    const ANSWER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[tokio::test]
    async fn a_name_is_looked_up_once_for_all_who_ask() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let resolver = SystemResolver::new(1, |name| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            if name == "there.example" {
                Ok(vec![ANSWER])
            } else {
                Err(io::ErrorKind::NotFound.into())
            }
        });

        let both =
            futures::join!(resolver.resolve("there.example"), resolver.resolve("there.example"));

        assert_eq!((both.0.unwrap(), both.1.unwrap()), (vec![ANSWER], vec![ANSWER]));
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
        assert_eq!(
            resolver.resolve("nowhere.example").await.unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(resolver.resolve("there.example").await.unwrap(), [ANSWER]);
        assert_eq!(ASKED.load(Ordering::SeqCst), 3, "an answer is not kept");
        assert!(resolver.lock().is_empty());
    }

    #[tokio::test]
    async fn names_that_hang_take_up_their_own_room_and_nobody_waits_for_what_is_given_up() {
        static LET_GO: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
        let resolver = SystemResolver::new(1, |name| {
            let mut let_go = LET_GO.0.lock().unwrap();
            while name == "hangs.example" && !*let_go {
                let_go = LET_GO.1.wait(let_go).unwrap();
            }
            Ok(vec![ANSWER])
        });
        let patience = Duration::from_millis(20);
        for name in ["hangs.example", "hangs.example", "waits.example"] {
            assert!(tokio::time::timeout(patience, resolver.resolve(name)).await.is_err());
        }

        let mut joined = pin!(resolver.resolve("hangs.example"));
        assert!((&mut joined).now_or_never().is_none());
        *LET_GO.0.lock().unwrap() = true;
        LET_GO.1.notify_all();

        assert_eq!(joined.await.unwrap(), [ANSWER]);
        assert_eq!(resolver.resolve("waits.example").await.unwrap(), [ANSWER]);
        assert!(resolver.lock().is_empty(), "{resolver:?}");
    }

    #[tokio::test]
    async fn a_look_up_that_takes_long_is_followed_by_a_second_one_and_no_third() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static LET_GO: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
        let resolver = SystemResolver::new(8, |_| {
            let is_first = ASKED.fetch_add(1, Ordering::SeqCst) == 0;
            let mut let_go = LET_GO.0.lock().unwrap();
            while is_first && !*let_go {
                let_go = LET_GO.1.wait(let_go).unwrap();
            }
            Ok(vec![ANSWER])
        });
        let mut first = pin!(resolver.resolve("slow.example"));
        assert!((&mut first).now_or_never().is_none());
        let age = |by| {
            let mut under_way = resolver.lock();
            let known = under_way.get_mut("slow.example").unwrap();
            known.since = known.since.checked_sub(by).unwrap();
        };

        age(FRESH);
        assert_eq!(resolver.resolve("slow.example").await.unwrap(), [ANSWER]);
        let left = resolver.lock()["slow.example"].newest.is_none();
        assert!(left, "the first is still under way, and the second is not joined any more");
        *LET_GO.0.lock().unwrap() = true;
        LET_GO.1.notify_all();

        assert_eq!(first.await.unwrap(), [ANSWER]);
        assert_eq!(ASKED.load(Ordering::SeqCst), 2);
        assert!(resolver.lock().is_empty());
    }
}
