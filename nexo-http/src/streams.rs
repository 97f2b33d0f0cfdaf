//! Event streams: what is watched, told as it comes.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use nexo_core::{BoxError, sse};
use tokio::time::Instant;

use crate::output::Sse;

/// After how long a reader connects again when a stream breaks off, in milliseconds.
pub(crate) const RETRY_MS: u32 = 1_000;
/// The same when this stream ends, and another one can be had at once, here or elsewhere.
const RETRY_ELSEWHERE_MS: u32 = 200;

/// What is watched.
pub(crate) trait Watch: Send + 'static {
    /// What comes next; `None` if this server has nothing more to tell, and another one may.
    ///
    /// Nothing is lost when the future is dropped.
    fn next(&mut self) -> impl Future<Output = Option<Next>> + Send;
}

/// What comes next in a stream: one whole event.
pub(crate) enum Next {
    Event(Bytes),
    /// Nothing comes after it.
    Last(Bytes),
}

/// What is watched as an event stream. It begins with `first`, if there is anything to be said
/// first; after a while of silence comes a comment, by which a client that is gone is noticed.
///
/// After its `lifetime` it breaks off between two events: whoever comes back shows again that
/// they may.
pub(crate) fn events(
    watch: impl Watch,
    first: Option<Bytes>,
    heartbeat: Duration,
    lifetime: Option<Duration>,
) -> Sse {
    let until = lifetime.and_then(|lifetime| Instant::now().checked_add(lifetime));
    let reader = Reader { watch, heartbeat, until, over: false };
    let rest = stream::unfold(reader, |mut reader| async move {
        // Clients forget what they have read of an event at the end of a read: a pause
        // between two has the server send each in a write of its own.
        tokio::task::yield_now().await;
        let event = reader.next().await?;
        Some((Ok::<_, BoxError>(event), reader))
    });
    Sse(stream::iter(first.map(Ok)).chain(rest).boxed())
}

struct Reader<W> {
    watch: W,
    heartbeat: Duration,
    until: Option<Instant>,
    over: bool,
}

impl<W: Watch> Reader<W> {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            self.over = true;
            return Some(sse::retry(RETRY_ELSEWHERE_MS));
        }
        let patience = left.map_or(self.heartbeat, |left| left.min(self.heartbeat));
        let next = tokio::time::timeout(patience, self.watch.next()).await;
        self.over = !matches!(next, Err(_) | Ok(Some(Next::Event(_))));
        Some(match next {
            Err(_) => sse::comment("keep-alive"),
            Ok(Some(Next::Event(event) | Next::Last(event))) => event,
            Ok(None) => sse::retry(RETRY_ELSEWHERE_MS),
        })
    }
}
