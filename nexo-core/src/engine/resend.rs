//! Sending a delivery again: the same bytes, to see what the agent says to them now.

use std::{pin::pin, sync::Arc};

use futures::StreamExt;
use tokio::time::timeout;

use super::{Engine, Inner, routing::WEBHOOK};
use crate::{
    AgentEvent, AgentStream, AppId, Delivery, DeliveryId, Dispatcher, Error, Failure, FailureKind,
    Purpose, Result, RunId, Scope, Turn,
};

impl Engine {
    /// Sends the body of a delivery again, byte for byte, to where its agent is called now. It
    /// is signed anew; `webhook-id` is the same, `X-Delivery-Id` another. What comes back is
    /// kept as a delivery and given, and has no effect on the run or the thread.
    ///
    /// # Errors
    ///
    /// [`Error::DeliveryNotFound`] if the app has no such delivery in the scope,
    /// [`Error::AgentNotFound`] if its agent is gone, [`Error::NotSent`] if the agent has no
    /// address or one that must not be called, or is left alone because it is out,
    /// [`Error::Unavailable`] while the server shuts down, and those of the store.
    pub async fn resend(
        &self,
        scope: &Scope,
        app: AppId,
        delivery: DeliveryId,
    ) -> Result<Delivery> {
        let delivery = self.inner.store.get_delivery(scope, app, delivery).await?;
        let agent = Some(delivery.agent);
        let mut turn = self.inner.turn_of(scope, app, delivery.run, agent).await?;
        turn.run.attempt = delivery.attempt;
        turn.purpose = Purpose::Resend(Arc::new(delivery));
        let inner = Arc::clone(&self.inner);
        self.see_through(async move { inner.send(turn).await }).await
    }
}

impl Inner {
    /// Sends what a turn says, and keeps what comes back, whatever the app's mode is by now:
    /// bytes were only ever sent to agents that are called over HTTP.
    async fn send(&self, turn: Turn) -> Result<Delivery> {
        let Some(dispatcher) = self.dispatchers.get(WEBHOOK) else {
            let detail = "agents are not called over HTTP here";
            return Err(Error::NotSent(Failure::new(FailureKind::AgentUnavailable, detail)));
        };
        // It is no run, but is told to stop like one when the server shuts down.
        let mut reins = self.carried.take(RunId::new());
        let sent = timeout(self.settings.deadline, self.send_by(dispatcher, turn));
        let Ok(Ok(delivery)) = reins.unless_halted(pin!(sent)).await else {
            return Err(Error::Unavailable("the answer was not waited for".into()));
        };
        let delivery = delivery?;
        self.store.record_delivery(delivery.clone()).await?;
        Ok(delivery)
    }

    async fn send_by(&self, dispatcher: &Arc<dyn Dispatcher>, turn: Turn) -> Result<Delivery> {
        let pass = self.gates.enter(turn.agent.id).await.map_err(Error::NotSent)?;
        let (delivery, failure) = hear_out(dispatcher.dispatch(Arc::new(turn))).await;
        pass.note(failure.as_ref());
        delivery.ok_or_else(|| Error::NotSent(failure.unwrap_or_else(Failure::internal)))
    }
}

/// What was sent and came back, whatever it means, and what went wrong.
async fn hear_out(mut events: AgentStream) -> (Option<Delivery>, Option<Failure>) {
    let (mut sent, mut failure) = (None, None);
    while let Some(event) = events.next().await {
        match event {
            Ok(AgentEvent::Delivery(delivery)) => sent = Some(*delivery),
            Ok(_) => {}
            Err(refused) => failure = Some(refused),
        }
    }
    (sent, failure)
}
