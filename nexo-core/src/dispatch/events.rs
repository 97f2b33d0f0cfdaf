//! A stream that is written by a future: sending one event after the other reads better than
//! a state machine.

use std::future::{Future, ready};

use futures::{FutureExt, SinkExt, StreamExt, channel::mpsc, stream};

use super::{AgentEvent, AgentStream};
use crate::Failure;

/// Where the future puts what the stream gives; see [`stream()`].
#[derive(Debug)]
pub struct Events(mpsc::Sender<Result<AgentEvent, Failure>>);

impl Events {
    /// Tells what the agent said. Waits until it was taken, so that a slow reader slows the agent
    /// down. If the reader is gone, this future is gone as well.
    pub async fn send(&mut self, event: AgentEvent) {
        let _ = self.0.send(Ok(event)).await;
    }

    /// Tells that it failed, which is the last that is told.
    pub async fn fail(mut self, failure: Failure) {
        let _ = self.0.send(Err(failure)).await;
    }
}

/// The stream that `work` writes: for dispatchers, to which sending one event after the other
/// comes easier than a state machine. Nothing is done before it is polled, and dropping it drops
/// the work.
///
/// ```
/// use std::sync::Arc;
///
/// use nexo_core::{AgentEvent, AgentStream, Dispatcher, Turn, dispatch};
///
/// /// Agents that repeat what they hear.
/// #[derive(Debug)]
/// struct Parrots;
///
/// impl Dispatcher for Parrots {
///     fn dispatch(&self, turn: Arc<Turn>) -> AgentStream {
///         dispatch::stream(move |mut events| async move {
///             events.send(AgentEvent::Accepted).await;
///             for word in turn.text().split_inclusive(' ') {
///                 events.send(AgentEvent::Delta(word.to_owned())).await;
///             }
///         })
///     }
/// }
/// ```
pub fn stream<F>(work: impl FnOnce(Events) -> F) -> AgentStream
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(0);
    let work = work(Events(sender)).into_stream().filter_map(|()| ready(None));
    stream::select(receiver, work).boxed()
}
