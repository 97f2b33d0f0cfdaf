//! Event streams without an end of their own.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use nexo_core::{BoxError, sse};

use crate::{
    output::Sse,
    runs::{RETRY_ELSEWHERE_MS, RETRY_MS},
};

/// What is watched.
pub(super) trait Watch: Send + 'static {
    /// What comes next; `None` if this server has nothing more to tell, and another one may.
    ///
    /// Nothing is lost when the future is dropped.
    fn next(&mut self) -> impl Future<Output = Option<Next>> + Send;
}

/// What comes next in a stream: one whole event.
pub(super) enum Next {
    Event(Bytes),
    /// Nothing comes after it.
    Last(Bytes),
}

/// What is watched as an event stream. It begins with `first`, and a reader that goes on from
/// somewhere is told when to connect again; after a while of silence comes a comment, by which
/// a client that is gone is noticed.
pub(super) fn events(watch: impl Watch, first: Option<Bytes>, heartbeat: Duration) -> Sse {
    let first = first.unwrap_or_else(|| sse::retry(RETRY_MS));
    let reader = Reader { watch, heartbeat, over: false };
    let rest = stream::unfold(reader, |mut reader| async move {
        // Clients forget what they have read of an event at the end of a read: a pause
        // between two has the server send each in a write of its own.
        tokio::task::yield_now().await;
        let event = reader.next().await?;
        Some((Ok::<_, BoxError>(event), reader))
    });
    Sse(stream::iter([Ok(first)]).chain(rest).boxed())
}

struct Reader<W> {
    watch: W,
    heartbeat: Duration,
    over: bool,
}

impl<W: Watch> Reader<W> {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let next = tokio::time::timeout(self.heartbeat, self.watch.next()).await;
        self.over = !matches!(next, Err(_) | Ok(Some(Next::Event(_))));
        Some(match next {
            Err(_) => sse::comment("keep-alive"),
            Ok(Some(Next::Event(event) | Next::Last(event))) => event,
            Ok(None) => sse::retry(RETRY_ELSEWHERE_MS),
        })
    }
}
