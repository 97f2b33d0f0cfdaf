//! What a dispatcher gave, and whether it was in good order.

use futures::StreamExt;
use tokio::time::timeout;

use super::{Scripted, Stage};
use crate::{AgentEvent, AgentStream, Delivery, Failure, MAX_REPLY_BYTES, conformance::PATIENCE};

/// All that a stream gave until its end.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Whether anything at all was said of the answer yet.
    begun: bool,
    /// The deltas.
    pub(super) pieces: Vec<String>,
    /// The reply in one piece.
    pub(super) reply: Option<String>,
    pub(super) truncated: bool,
    pub(super) pending: bool,
    pub(super) delivery: Option<Delivery>,
    pub(super) failure: Option<Failure>,
}

impl Heard {
    /// Hears the rest of a stream.
    pub(super) async fn rest(mut self, mut events: AgentStream) -> Self {
        while let Some(item) = timeout(PATIENCE, events.next()).await.expect("it never ends") {
            self.hear(item);
        }
        self
    }

    /// Hears a stream until the first piece of text.
    pub(super) async fn first(events: &mut AgentStream) -> Self {
        let mut heard = Self::default();
        while heard.pieces.is_empty() {
            let item = timeout(PATIENCE, events.next()).await.expect("nothing comes");
            heard.hear(item.expect("it ended without a word"));
        }
        heard
    }

    pub(super) fn hear(&mut self, item: Result<AgentEvent, Failure>) {
        assert!(self.failure.is_none(), "{item:?} after the failure");
        let event = match item {
            Ok(event) => event,
            Err(failure) => return self.failure = Some(failure),
        };
        assert!(self.delivery.is_none(), "{event:?} after the delivery");
        let is_closed = self.truncated || self.pending || self.reply.is_some();
        match event {
            AgentEvent::Delivery(delivery) => self.delivery = Some(*delivery),
            event if is_closed => panic!("{event:?} after the end of the answer"),
            AgentEvent::Accepted => assert!(!self.begun, "accepted late, or twice"),
            AgentEvent::Delta(text) => self.pieces.push(text),
            AgentEvent::Reply { text, .. } => {
                assert!(self.pieces.is_empty(), "a whole reply after a piece of one");
                self.reply = Some(text);
            }
            AgentEvent::Truncated => self.truncated = true,
            AgentEvent::Pending => self.pending = true,
        }
        self.begun = true;
    }

    /// All the text, however it came.
    pub(super) fn text(&self) -> String {
        self.pieces.iter().chain(&self.reply).map(String::as_str).collect()
    }

    /// Whether something was said, if only an empty text.
    pub(super) fn is_spoken(&self) -> bool {
        self.reply.is_some() || !self.pieces.is_empty()
    }

    /// Fails unless this is the whole answer, and nothing went wrong.
    pub(super) fn assert_whole(&self, scripted: &Scripted) {
        assert_eq!(self.failure, None);
        assert!(!self.truncated && !self.pending, "{self:?}");
        assert!(self.is_spoken(), "nothing was said");
        assert_eq!(self.text(), scripted.text);
    }

    /// Fails unless it was told what was sent, if anything was; and if there is more than what
    /// anybody can take.
    pub(super) fn assert_sound(&self, stage: &dyn Stage, scripted: &Scripted) {
        assert!(self.text().len() <= MAX_REPLY_BYTES, "more text than a reply may have");
        assert_eq!(self.delivery.is_some(), stage.delivers(), "whether there is a delivery");
        let Some(delivery) = &self.delivery else { return };
        let run = &scripted.turn.run;
        assert_eq!((delivery.app, delivery.run, delivery.agent), (run.app, run.id, run.agent));
        assert_eq!(delivery.attempt, run.attempt);
        let key = self.failure.as_ref().map(|failure| failure.kind.key());
        assert_eq!(delivery.error.as_deref(), key, "what went wrong");
    }
}
