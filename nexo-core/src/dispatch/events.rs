//! A stream that is written by a future: sending one event after the other reads better than
//! a state machine.

use std::future::{Future, ready};

use futures::{FutureExt, SinkExt, StreamExt, channel::mpsc, stream};

use super::{AgentEvent, AgentStream};
use crate::Failure;

/// Where the future puts what the stream gives.
pub(crate) struct Events(mpsc::Sender<Result<AgentEvent, Failure>>);

impl Events {
    /// Waits until the event was taken, so that a slow reader slows the agent down. If the
    /// reader is gone, this future is gone as well.
    pub(crate) async fn send(&mut self, event: AgentEvent) {
        let _ = self.0.send(Ok(event)).await;
    }

    pub(crate) async fn fail(mut self, failure: Failure) {
        let _ = self.0.send(Err(failure)).await;
    }
}

/// The stream that `work` writes. Nothing is done before it is polled, and dropping it drops
/// the work.
pub(crate) fn stream<F>(work: impl FnOnce(Events) -> F) -> AgentStream
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(0);
    let work = work(Events(sender)).into_stream().filter_map(|()| ready(None));
    stream::select(receiver, work).boxed()
}
