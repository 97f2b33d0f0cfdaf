//! Listening to other servers: one task, with a connection of its own.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use nexo_core::Heard;
use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use super::{
    CHANNEL, Shared,
    letter::{self, Letter},
    notify::send,
};
use crate::PostgresStore;

/// After this much silence it is asked whether the connection is still there: of one that was
/// cut somewhere on its way nothing else would tell.
const ASK_AFTER: Duration = Duration::from_secs(10);
/// How long whatever is asked of the database may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// After how long it is tried again to listen, at first and at last.
const RETRY_AFTER: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(15);
/// The same where everything works, but nothing is heard.
const RETRY_DEAF_AFTER: Duration = Duration::from_secs(60);

/// Why nothing is heard any more.
#[derive(Debug)]
enum Silence {
    /// The connection could not be had, or was lost.
    Lost(Box<dyn Error + Send + Sync>),
    /// It does not carry notifications.
    Deaf,
}

/// Listens again and again, until the pool is closed.
pub(super) async fn listen(store: PostgresStore, shared: Arc<Shared>) {
    let (mut pause, mut is_news) = (RETRY_AFTER, true);
    while !store.pool().is_closed() {
        let Err(silence) = hear_all(&store, &shared).await;
        if shared.is_listening.swap(false, Ordering::Relaxed) {
            // Whoever waits for others has to look often from now on.
            shared.local.pass_on(Heard::Everything);
            (pause, is_news) = (RETRY_AFTER, true);
        }
        // Once is enough, however often it is tried again.
        if std::mem::take(&mut is_news) {
            warn!(%silence, "nothing is heard of other servers; what they do is looked for");
        }
        let deaf = matches!(silence, Silence::Deaf);
        tokio::time::sleep(if deaf { RETRY_DEAF_AFTER } else { pause }).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Listens until that is over.
async fn hear_all(store: &PostgresStore, shared: &Shared) -> Result<Infallible, Silence> {
    let mut listener = within_patience(connect(store.pool())).await?;
    find_out_whether_it_hears(store, shared, &mut listener).await?;
    shared.is_listening.store(true, Ordering::Relaxed);
    // What was told until now went unheard.
    shared.local.pass_on(Heard::Everything);
    info!("other servers are heard");
    loop {
        match timeout(ASK_AFTER, listener.try_recv()).await {
            Ok(received) => {
                let letter = received?.ok_or(Silence::lost())?;
                shared.read(letter.payload());
            }
            Err(_) => {
                let ask = sqlx::query("select 1").execute(&mut listener);
                within_patience(ask).await?;
            }
        }
    }
}

/// A listener on a connection of its own. It is not to connect again by itself: what was told
/// meanwhile would be missed without a word.
async fn connect(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let options = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let own = options.connect_lazy_with((*pool.connect_options()).clone());
    let mut listener = PgListener::connect_with(&own).await?;
    listener.eager_reconnect(false);
    listener.ignore_pool_close_event(true);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Sends a letter to itself, and waits for it: a pooler that gives each transaction any
/// connection takes LISTEN without complaint, and passes nothing on.
async fn find_out_whether_it_hears(
    store: &PostgresStore,
    shared: &Shared,
    listener: &mut PgListener,
) -> Result<(), Silence> {
    within_patience(send(store, &Letter::default().write(shared.sender))).await?;
    let give_up = Instant::now() + PATIENCE;
    loop {
        let received = timeout_at(give_up, listener.try_recv()).await;
        let letter = received.map_err(|_| Silence::Deaf)??.ok_or(Silence::lost())?;
        if shared.read(letter.payload()) {
            return Ok(());
        }
    }
}

async fn within_patience<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, Silence>
where
    Silence: From<E>,
{
    Ok(timeout(PATIENCE, work).await.map_err(|late| Silence::Lost(late.into()))??)
}

impl Shared {
    /// Lets everybody here hear what a letter says. Gives whether it is one of this server's
    /// own: everybody has heard that already.
    fn read(&self, letter: &str) -> bool {
        let (sender, heard) = letter::read(letter);
        let is_own = sender == Some(self.sender);
        heard.into_iter().filter(|_| !is_own).for_each(|heard| self.local.pass_on(heard));
        is_own
    }
}

impl Silence {
    fn lost() -> Self {
        Self::Lost("the connection was lost".into())
    }
}

impl From<sqlx::Error> for Silence {
    fn from(error: sqlx::Error) -> Self {
        Self::Lost(error.into())
    }
}

impl From<nexo_core::Error> for Silence {
    fn from(error: nexo_core::Error) -> Self {
        Self::Lost(error.into())
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(error) => error.fmt(f),
            Self::Deaf => f.write_str("the connection carries no notifications"),
        }
    }
}
