//! Deliveries that are sent again: guarded like everything that is sent.

use std::{sync::atomic::Ordering, time::Duration};

use nexo_core::{
    AgentEvent, Delivery, DeliveryFilter, DeliveryId, Error, Failure, FailureKind, Frames, Run,
    RunState,
};

use crate::stage::{Stage, delta, end};

fn delivery(run: &Run) -> Delivery {
    Delivery {
        id: DeliveryId::new(),
        app: run.app,
        run: run.id,
        agent: run.agent,
        replay: None,
        repeats: None,
        attempt: 1,
        url: "https://agent.example.com".into(),
        request_headers: Vec::new(),
        request_body: b"{}".to_vec(),
        peer: None,
        status: None,
        response_headers: Vec::new(),
        response_body: Vec::new(),
        response_bytes: 0,
        frames: Frames::default(),
        error: None,
        error_detail: None,
        started_at: run.created_at,
        first_byte_after: None,
        ended_after: Duration::ZERO,
    }
}

impl Stage {
    /// Something that was sent to the agent.
    async fn delivered(&self) -> Delivery {
        self.say("hello").await;
        self.agent.answer_with(vec![delta("Hi!")]);
        let watch = self.start().await;
        let run = watch.run();
        assert_eq!(end(watch).await.state, RunState::Completed);
        let sent = delivery(&self.run(run).await);
        self.nexo.store().record_delivery(sent.clone()).await.unwrap();
        sent
    }

    async fn resend(&self, delivery: &Delivery) -> nexo_core::Result<Delivery> {
        self.nexo.engine().resend(&self.scope, self.app, delivery.id).await
    }

    async fn kept(&self) -> usize {
        let (store, any) = (self.nexo.store(), DeliveryFilter::default());
        store.list_deliveries(&self.scope, self.app, &any, None, 50).await.unwrap().items.len()
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_is_kept_and_spoken_nowhere() {
    let stage = Stage::new().await;
    let sent = stage.delivered().await;
    let again = Delivery { id: DeliveryId::new(), repeats: Some(sent.id), ..sent.clone() };
    let answer = AgentEvent::Delivery(Box::new(again.clone()));
    stage.agent.answer_with(vec![delta("never spoken"), Ok(answer)]);

    assert_eq!(stage.resend(&sent).await.unwrap(), again);

    assert_eq!(stage.kept().await, 2);
    assert_eq!(stage.messages().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_out_is_sent_nothing_again() {
    let stage = Stage::new().await;
    let sent = stage.delivered().await;
    for _ in 0..20 {
        let out = Failure::new(FailureKind::WebhookRequestFailed, "reset").passing();
        stage.agent.answer_with(vec![Err(out)]);
        assert!(stage.resend(&sent).await.is_err());
    }
    let turns = stage.agent.turns.load(Ordering::SeqCst);

    let refused = stage.resend(&sent).await;

    let Err(Error::NotSent(failure)) = refused else { panic!("{refused:?}") };
    assert_eq!(failure.kind, FailureKind::AgentUnavailable);
    assert_eq!(stage.agent.turns.load(Ordering::SeqCst), turns);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shuts_down_does_not_wait_for_an_answer() {
    let stage = Stage::new().await;
    let sent = stage.delivered().await;
    let again = Delivery { id: DeliveryId::new(), repeats: Some(sent.id), ..sent.clone() };
    let slow = stage.agent.answer();
    slow.unbounded_send(Ok(AgentEvent::Delivery(Box::new(again)))).unwrap();
    let (engine, scope, app) = (stage.nexo.engine().clone(), stage.scope.clone(), stage.app);
    let id = sent.id;
    let resending = tokio::spawn(async move { engine.resend(&scope, app, id).await });
    while stage.agent.turns.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }

    stage.nexo.engine().shutdown(Duration::ZERO).await;

    assert!(matches!(resending.await.unwrap(), Err(Error::Unavailable(_))));
    assert_eq!(stage.kept().await, 2, "it was sent all the same");
    assert!(matches!(stage.resend(&sent).await, Err(Error::Unavailable(_))));
}
