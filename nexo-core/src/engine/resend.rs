//! Sending a delivery again: the same bytes, to see what the agent says to them now.

use std::sync::Arc;

use super::{
    Engine, Inner,
    answer::Answer,
    deliveries::record_patiently,
    routing::{Route, WEBHOOK},
};
use crate::{AppId, Delivery, DeliveryId, Error, Failure, Purpose, Result, RunId, Scope, Turn};

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
        // Whoever sends again looks at what comes of it, and may do so once more.
        turn.config.retries = 0;
        turn.purpose = Purpose::Resend(Arc::new(delivery));
        let inner = Arc::clone(&self.inner);
        self.see_through(async move { inner.send(turn).await }).await
    }
}

impl Inner {
    /// Sends what a turn says, and keeps what comes back, whatever the app's mode is by now:
    /// bytes were only ever sent to agents that are called over HTTP.
    ///
    /// It is no run, but takes its share of what the server can carry like one, and is told to
    /// stop like one. What was sent by then is kept all the same.
    async fn send(self: &Arc<Self>, turn: Turn) -> Result<Delivery> {
        let id = RunId::new();
        let (publisher, mut reins) = (self.hub.open(id, 1), self.carried.take(id));
        let (turn, route) = (Arc::new(turn), Route { kind: WEBHOOK.to_owned(), reason: None });
        let time = self.settings.deadline;
        let mut answer = Answer::heard(self, turn, &route, time, &publisher, &mut reins).await;
        let sent = answer.deliveries.pop();
        if let Some(delivery) = &sent {
            self.keep(delivery).await?;
        }
        match (sent, answer.halt) {
            (_, Some(_)) => Err(Error::Unavailable("the answer was not waited for".into())),
            (Some(delivery), None) => Ok(delivery),
            (None, None) => Err(Error::NotSent(answer.failure.unwrap_or_else(Failure::internal))),
        }
    }

    /// Records what was sent. Where the store is away, whoever asked is told so, and it is
    /// recorded later.
    async fn keep(self: &Arc<Self>, delivery: &Delivery) -> Result<()> {
        let recorded = self.store.record_delivery(delivery.clone()).await;
        if recorded.as_ref().is_err_and(Error::is_passing) {
            let (inner, left) = (Arc::clone(self), vec![delivery.clone()]);
            let later = async move { record_patiently(&inner, left).await };
            self.tasks.spawn_on(later, &self.handle);
        }
        recorded
    }
}
