//! One turn of a handler, from asking it to what it returns.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc};

use futures::{
    FutureExt,
    future::{Either, select},
};

use super::{Answer, AnyHandler, LiveTurn, MAX_REPLY_BYTES, Turn, pieces};
use crate::{AgentEvent, BoxError, Failure, FailureKind, dispatch::events::Events};

/// The most of an error's text that is kept, in bytes.
const MAX_ERROR_BYTES: usize = 1024;

/// Asks the handler and tells what it answers.
pub(super) async fn run(
    handler: Result<Arc<dyn AnyHandler>, Failure>,
    turn: Arc<Turn>,
    mut events: Events,
) {
    let heard = match &handler {
        Ok(handler) => {
            let heard = Hearing { events: &mut events, bytes: 0, has_deltas: false };
            turn.interest.while_wanted(pin!(heard.of(&**handler, Arc::clone(&turn)))).await
        }
        Err(failure) => Err(failure.clone()),
    };
    if let Err(failure) = heard {
        events.fail(failure).await;
    }
}

/// What was heard of a handler so far.
struct Hearing<'a> {
    events: &'a mut Events,
    bytes: usize,
    has_deltas: bool,
}

impl Hearing<'_> {
    async fn of(mut self, handler: &dyn AnyHandler, turn: Arc<Turn>) -> Result<(), Failure> {
        self.events.send(AgentEvent::Accepted).await;
        let (turn, mut said) = LiveTurn::new(turn);
        let answering = AssertUnwindSafe(async { handler.answer(turn).await }).catch_unwind();
        let mut answering = pin!(answering);
        let answered = loop {
            match select(pin!(said.recv()), &mut answering).await {
                Either::Left((Some(text), _)) => self.delta(&text).await?,
                Either::Left((None, answering)) => break answering.await,
                Either::Right((answered, _)) => break answered,
            }
        };
        // What it has spawned may go on, but is not heard any more.
        said.close();
        while let Some(text) = said.recv().await {
            self.delta(&text).await?;
        }
        match answered {
            Ok(Ok(answer)) => self.end(answer).await,
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(Failure::new(FailureKind::WebhookAgentError, "the agent panicked")),
        }
    }

    async fn delta(&mut self, text: &str) -> Result<(), Failure> {
        self.count(text)?;
        self.has_deltas = true;
        for piece in pieces(text) {
            self.events.send(AgentEvent::Delta(piece.to_owned())).await;
        }
        Ok(())
    }

    /// Whoever says everything at the end is heard in one piece.
    async fn end(mut self, answer: Answer) -> Result<(), Failure> {
        let text = match answer.text {
            Some(text) if self.bytes > 0 => return self.delta(&text).await,
            Some(text) => text,
            None if self.bytes > 0 => return Ok(()),
            // Empty pieces alone are an empty reply.
            None if self.has_deltas => String::new(),
            None => {
                let why = "the agent returned without having said anything";
                return Err(Failure::new(FailureKind::NoReply, why));
            }
        };
        self.count(&text)?;
        self.events.send(AgentEvent::Reply { text, metadata: answer.metadata }).await;
        Ok(())
    }

    fn count(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes += text.len();
        if self.bytes <= MAX_REPLY_BYTES {
            return Ok(());
        }
        let why = format!("the reply has more than {MAX_REPLY_BYTES} bytes");
        Err(Failure::new(FailureKind::WebhookTooLarge, why))
    }
}

/// A failure is taken as it is; of any other error its text is kept, with what caused it.
fn failed(error: BoxError) -> Failure {
    let error = match error.downcast::<Failure>() {
        Ok(failure) => return *failure,
        Err(error) => error,
    };
    let first: &(dyn std::error::Error + 'static) = &*error;
    let causes = std::iter::successors(Some(first), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    let mut why = causes.join(": ");
    why.truncate(why.floor_char_boundary(MAX_ERROR_BYTES));
    Failure::new(FailureKind::WebhookAgentError, why)
}
