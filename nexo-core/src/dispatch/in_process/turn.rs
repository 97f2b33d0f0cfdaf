//! A turn, as a handler is given it.

use std::{ops::Deref, sync::Arc};

use tokio::sync::mpsc;

use super::Turn;

/// A turn that is under way: what is asked, and a way to answer piece by piece.
///
/// ```
/// use nexo_core::{BoxError, LiveTurn};
///
/// async fn concierge(turn: LiveTurn) -> Result<(), BoxError> {
///     turn.say("Let me see. ").await;
///     let before = turn.message.seq - 1;
///     turn.say(format!("We have exchanged {before} messages before.")).await;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct LiveTurn {
    turn: Arc<Turn>,
    said: mpsc::Sender<String>,
}

impl LiveTurn {
    pub(super) fn new(turn: Arc<Turn>) -> (Self, mpsc::Receiver<String>) {
        // One piece may wait; whoever says the next one waits as well.
        let (said, heard) = mpsc::channel(1);
        (Self { turn, said }, heard)
    }

    /// Says the next piece of the reply; whoever follows the run sees it at once. Waits while
    /// the piece before has not been taken. What is said once the handler has returned, or
    /// nobody wants the answer any more, is not heard.
    pub async fn say(&self, text: impl Into<String> + Send) {
        let _ = self.said.send(text.into()).await;
    }
}

impl Deref for LiveTurn {
    type Target = Turn;

    fn deref(&self) -> &Turn {
        &self.turn
    }
}
