//! What the author of an agent writes.

use futures::future::BoxFuture;

use super::LiveTurn;
use crate::{BoxError, JsonObject};

/// Answers turns within this process.
///
/// An `async fn` is one, and so is a closure that gives a future. `?` works on any error:
///
/// ```
/// use nexo_core::{BoxError, LiveTurn, Nexo};
///
/// async fn add(turn: LiveTurn) -> Result<String, BoxError> {
///     let (left, right) = turn.text().split_once('+').ok_or("that is no sum")?;
///     let sum = left.trim().parse::<i64>()? + right.trim().parse::<i64>()?;
///     Ok(sum.to_string())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let nexo = Nexo::builder().agent("add", add).build();
/// # drop(nexo);
/// # }
/// ```
///
/// A type is one for which the trait is implemented, with an `async fn` as well:
///
/// ```
/// use nexo_core::{Answer, BoxError, Handler, LiveTurn};
///
/// struct Parrot {
///     times: usize,
/// }
///
/// impl Handler for Parrot {
///     async fn answer(&self, turn: LiveTurn) -> Result<Answer, BoxError> {
///         for _ in 0..self.times {
///             turn.say(turn.text()).await;
///         }
///         Ok(().into())
///     }
/// }
/// ```
///
/// The reply is all that it said ([`LiveTurn::say`]), and then what it returns. It may be asked
/// many turns at once, and one turn again if its server dies.
///
/// The future runs on the engine's runtime: work that blocks a thread belongs into
/// `tokio::task::spawn_blocking`. It is dropped when nobody wants the answer any more, because
/// somebody stopped the run or its time is over; what it spawned is its own to stop.
pub trait Handler: Send + Sync + 'static {
    /// Answers one turn.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from answering. Nobody but the app's owner sees the error's text. A
    /// [`Failure`](crate::Failure) is taken as it is, so that it can say whether another try may
    /// help ([`Failure::passing`](crate::Failure::passing)).
    fn answer(&self, turn: LiveTurn) -> impl Future<Output = Result<Answer, BoxError>> + Send;
}

impl<F, Answering, R> Handler for F
where
    F: Fn(LiveTurn) -> Answering + Send + Sync + 'static,
    Answering: Future<Output = Result<R, BoxError>> + Send,
    R: Into<Answer>,
{
    async fn answer(&self, turn: LiveTurn) -> Result<Answer, BoxError> {
        self(turn).await.map(Into::into)
    }
}

/// What a handler returns: the reply, or the rest of it.
///
/// Text is one, and `()` for whoever has said everything already.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The text, if there is more to say. An empty text is a reply as well, nothing is none.
    pub text: Option<String>,
    /// What there is to know about a reply that comes in one piece: it goes to whoever dispatched
    /// the turn ([`AgentEvent::Reply`](crate::AgentEvent::Reply)), and is not stored.
    pub metadata: Option<JsonObject>,
}

impl Answer {
    /// A reply.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), metadata: None }
    }

    /// The same with metadata.
    #[must_use]
    pub fn with_metadata(self, metadata: JsonObject) -> Self {
        Self { metadata: Some(metadata), ..self }
    }
}

impl From<()> for Answer {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// A handler of any type.
pub(super) trait AnyHandler: Send + Sync {
    fn answer(&self, turn: LiveTurn) -> BoxFuture<'_, Result<Answer, BoxError>>;
}

impl<T: Handler> AnyHandler for T {
    fn answer(&self, turn: LiveTurn) -> BoxFuture<'_, Result<Answer, BoxError>> {
        Box::pin(Handler::answer(self, turn))
    }
}
