//! Idempotency keys: what a client names a request by, so that a retry has no second effect.
//!
//! A client that never learns what came of a request sends it again with the same key. What
//! the first one made is found by the key then, and nothing is made again. The key is stored
//! in the transaction of the effect: there is never one without the other.

use std::{fmt, str::FromStr, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    AppId, Error, Message, MessageId, NewMessage, NewThread, Result, RunId, Scope, StartRun,
    StartedRun, Thread, ThreadId,
};

/// The longest key, in characters.
pub const MAX_IDEMPOTENCY_KEY_CHARS: usize = 255;

/// For how long a key is remembered.
pub const IDEMPOTENCY_KEY_LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// What a client names a request by: 1 to [`MAX_IDEMPOTENCY_KEY_CHARS`] printable ASCII
/// characters. Keys of two apps never meet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key as the client wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdempotencyKey {
    /// There is nothing in it.
    #[error("an idempotency key has at least one character")]
    Empty,
    /// It is too long.
    #[error("an idempotency key has at most {MAX_IDEMPOTENCY_KEY_CHARS} characters")]
    TooLong,
    /// There is something else in it than printable ASCII.
    #[error("an idempotency key consists of printable ASCII characters")]
    NotPrintable,
}

impl FromStr for IdempotencyKey {
    type Err = InvalidIdempotencyKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidIdempotencyKey::Empty);
        }
        if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(InvalidIdempotencyKey::NotPrintable);
        }
        if text.len() > MAX_IDEMPOTENCY_KEY_CHARS {
            return Err(InvalidIdempotencyKey::TooLong);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A request that carries a key, as far as it has to be told from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRequest {
    /// Its key.
    pub key: IdempotencyKey,
    /// What is asked, and of what: for a request over HTTP the method, the path and the query.
    pub route: String,
    /// The SHA-256 of what is said with it.
    pub body_sha256: [u8; 32],
    /// For how long the key is remembered; an older one counts as free.
    pub lifetime: Duration,
}

impl KeyedRequest {
    /// Whether this is the request that the key was first used for.
    ///
    /// # Errors
    ///
    /// [`Error::IdempotencyKeyReused`] if it is another one.
    pub fn repeats(&self, route: &str, body_sha256: &[u8]) -> Result<()> {
        if self.route == route && self.body_sha256 == body_sha256 {
            return Ok(());
        }
        Err(Error::IdempotencyKeyReused)
    }
}

/// What a request with a key made, as it is stored: from this its answer is given again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// The message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    /// The run that was made, or joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

impl Made {
    /// The thread that the request must have made.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it made none.
    pub fn thread(&self) -> Result<ThreadId> {
        self.thread.ok_or(Error::Corrupt("what an idempotency key made"))
    }

    /// The message that the request must have made.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it made none.
    pub fn message(&self) -> Result<MessageId> {
        self.message.ok_or(Error::Corrupt("what an idempotency key made"))
    }

    /// The run that the request must have led to.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it led to none.
    pub fn run(&self) -> Result<RunId> {
        self.run.ok_or(Error::Corrupt("what an idempotency key made"))
    }
}

impl From<&(Thread, Option<Message>)> for Made {
    fn from((thread, greeting): &(Thread, Option<Message>)) -> Self {
        let message = greeting.as_ref().map(|greeting| greeting.id);
        Self { thread: Some(thread.id), message, run: None }
    }
}

impl From<&Message> for Made {
    fn from(message: &Message) -> Self {
        Self { message: Some(message.id), ..Self::default() }
    }
}

impl From<&StartedRun> for Made {
    fn from(started: &StartedRun) -> Self {
        Self { run: Some(started.run().id), ..Self::default() }
    }
}

impl From<&(Message, StartedRun)> for Made {
    fn from((message, started): &(Message, StartedRun)) -> Self {
        Self { message: Some(message.id), run: Some(started.run().id), thread: None }
    }
}

/// Something that is done once, however often it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once<T> {
    /// What was made.
    pub made: T,
    /// Whether an earlier request made it.
    pub replayed: bool,
}

impl<T> Once<T> {
    /// It was made just now.
    pub const fn first(made: T) -> Self {
        Self { made, replayed: false }
    }

    /// An earlier request made it.
    pub const fn again(made: T) -> Self {
        Self { made, replayed: true }
    }

    /// The same of what `change` makes of it.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Once<U> {
        Once { made: change(self.made), replayed: self.replayed }
    }
}

/// What requests with a key bring about.
///
/// Each method does what another one does, and remembers the key, as one atomic step. Where the
/// app has the key already, for the same request, nothing is done: what that one made is given
/// as it is now, if the scope holds it. Of many at once with one key, one has the effect, and
/// all get the same. What fails leaves no key behind.
///
/// # Errors
///
/// Those of the method without a key, and after [`crate::Error::AppNotFound`]
/// [`crate::Error::IdempotencyKeyReused`] if the key was used for another request;
/// [`crate::Error::RequestInProgress`] if a request with the key was not done in time, so that
/// nobody knows yet what comes of it. Where what was made is gone or lies outside the scope,
/// it is not found: it is never made again.
#[async_trait]
pub trait IdempotencyStore: fmt::Debug + Send + Sync + 'static {
    /// Creates a thread ([`crate::ThreadStore::create_thread`]), once.
    ///
    /// # Errors
    ///
    /// [`crate::Error::ThreadNotFound`] if the thread was deleted meanwhile.
    async fn create_thread_once(
        &self,
        scope: &Scope,
        app: AppId,
        thread: NewThread,
        request: KeyedRequest,
    ) -> Result<Once<(Thread, Option<Message>)>>;

    /// Appends a message ([`crate::MessageStore::append_message`]), once.
    ///
    /// # Errors
    ///
    /// [`crate::Error::ThreadNotFound`] if the message went with its thread meanwhile.
    async fn append_message_once(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        message: NewMessage,
        request: KeyedRequest,
    ) -> Result<Once<Message>>;

    /// Has a thread answered ([`crate::RunStore::start_run`]), once: the key names the run that
    /// was made or joined. Again, it is [`StartedRun::Standing`], also when it has ended.
    ///
    /// # Errors
    ///
    /// [`crate::Error::ThreadNotFound`] if the run went with its thread meanwhile.
    async fn start_run_once(
        &self,
        scope: &Scope,
        start: StartRun,
        request: KeyedRequest,
    ) -> Result<Once<StartedRun>>;

    /// Says something and has it answered ([`crate::RunStore::ask`]), once, as
    /// [`IdempotencyStore::start_run_once`].
    ///
    /// # Errors
    ///
    /// [`crate::Error::ThreadNotFound`] if both went with their thread meanwhile.
    async fn ask_once(
        &self,
        scope: &Scope,
        message: NewMessage,
        start: StartRun,
        request: KeyedRequest,
    ) -> Result<Once<(Message, StartedRun)>>;

    /// Forgets the keys that are at least `age` old, by the store's clock, at most `limit` of
    /// them, the oldest first; gives how many.
    async fn prune_idempotency_keys(&self, age: Duration, limit: u32) -> Result<u64>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_printable_ascii_of_a_limited_length() {
        for (text, expected) in [
            ("", Err(InvalidIdempotencyKey::Empty)),
            ("8e03978e-40d5-43e8-bc93-6894a57f9324", Ok(())),
            ("\"quoted, and with a space ~\"", Ok(())),
            ("tab\there", Err(InvalidIdempotencyKey::NotPrintable)),
            ("caf\u{e9}", Err(InvalidIdempotencyKey::NotPrintable)),
            ("\u{7f}", Err(InvalidIdempotencyKey::NotPrintable)),
            (&"x".repeat(255), Ok(())),
            (&"x".repeat(256), Err(InvalidIdempotencyKey::TooLong)),
        ] {
            assert_eq!(text.parse::<IdempotencyKey>().map(drop), expected, "{text:?}");
        }
    }

    #[test]
    fn what_was_made_is_stored_by_its_names() {
        let message = MessageId::new();

        let stored = serde_json::to_string(&Made { message: Some(message), ..Made::default() });

        assert_eq!(stored.unwrap(), format!(r#"{{"message":"{message}"}}"#));
        assert!(matches!(Made::default().run(), Err(Error::Corrupt(_))));
    }
}
