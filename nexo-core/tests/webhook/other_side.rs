//! What `nexo_core::agent` reads and writes is what the dispatcher writes and reads.

use std::{convert::Infallible, sync::Arc};

use futures::{StreamExt, stream};
use nexo_core::{
    AgentEvent, FailureKind, JsonObject, ManualClock, Purpose, ReplayId, Role,
    agent::{self, Answer, EVENT_STREAM, Handoff, LateReply, Reply, Request, Verifier},
};

use crate::{
    agent::{TestAgent, response},
    fixture::{Outcome, dispatcher, now, outcome, turn},
};

fn verifier() -> Verifier {
    let clock = Arc::new(ManualClock::new(now()));
    Verifier::new(["nexo-vector-key"]).standard_only().with_clock(clock)
}

/// What comes of an answer that an agent gives.
async fn told(answer: Answer) -> Outcome {
    let status = format!("{} Whatever", answer.status);
    let response = response(&status, answer.content_type.unwrap_or_default(), answer.body);
    let agent = TestAgent::writing(response).await;
    outcome(&dispatcher(), turn(&agent.url())).await
}

#[tokio::test]
async fn a_request_is_verified_and_read_with_all_that_is_in_it() {
    let agent = TestAgent::answering(agent::JSON, Reply::new("Yes").to_json()).await;
    let mut turn = turn(&agent.url());
    turn.message.content = Some("¿Qué tal, João? 🎉".to_owned());
    turn.history[1] = turn.message.clone();

    let outcome = outcome(&dispatcher(), turn.clone()).await;

    let received = agent.received().remove(0);
    let request = Request::verify(&verifier(), received.headers(), &received.body).unwrap();
    assert_eq!(request.text(), "¿Qué tal, João? 🎉");
    assert_eq!(request.id.as_deref(), Some(&*turn.run.id.to_string()));
    assert_eq!(request.delivery, Some(outcome.delivery().id));
    assert_eq!((request.attempt, request.replay_of), (Some(1), None));
    assert_eq!(request.late_reply(), Some(LateReply { app: turn.app.id, run: turn.run.id }));
    let payload = &request.payload;
    assert_eq!((payload.app.id, &payload.app.name), (turn.app.id, &turn.app.name));
    assert_eq!(
        (payload.thread.id, payload.thread.customer_id.as_deref()),
        (turn.thread.id, Some("cust-42"))
    );
    assert_eq!((payload.message.id, payload.message.seq), (turn.message.id, 2));
    assert_eq!(payload.timestamp, now());
    let greeting = &payload.history[0];
    assert_eq!(
        (greeting.role, greeting.content.as_str()),
        (Role::Assistant, "Welcome! Ask me anything.")
    );
    assert_eq!(greeting.content_json.get("source"), Some("system".into()));
    assert_eq!(payload.history[1].content, payload.message.content);
}

#[tokio::test]
async fn a_replay_is_known_as_one_and_has_no_run_to_reply_to_later() {
    let agent = TestAgent::answering(agent::JSON, Reply::new("Yes").to_json()).await;
    let (mut turn, replay) = (turn(&agent.url()), ReplayId::new());
    turn.purpose = Purpose::Replay(replay);
    let run = turn.run.id;

    outcome(&dispatcher(), turn).await;

    let received = agent.received().remove(0);
    let request = Request::verify(&verifier(), received.headers(), &received.body).unwrap();
    assert_eq!(request.id, Some(replay.to_string()));
    assert_eq!((request.replay_of, request.late_reply()), (Some(run), None));
}

#[tokio::test]
async fn a_reply_arrives_with_its_metadata_and_a_handoff_does_no_harm() {
    let reply = Reply::new("¿Sí?\0\"\n")
        .with_metadata(JsonObject::empty().with("confidence", 0.9))
        .with_handoff(Handoff::to_human().with_reason("a refund").returning());

    let outcome = told(reply.into()).await;

    assert!(outcome.failure.is_none());
    let [AgentEvent::Accepted, AgentEvent::Reply { text, metadata }] = &outcome.events[..] else {
        panic!("{:?}", outcome.events)
    };
    assert_eq!(text, "¿Sí?\u{fffd}\"\n");
    assert_eq!(metadata.as_ref().unwrap().as_str(), r#"{"confidence":0.9}"#);
}

#[tokio::test]
async fn a_stream_arrives_to_the_last_byte_however_long_its_pieces_are() {
    let said = ["", "¿Qué?\0\r\n", &"🎉\u{1f}".repeat(20_000), "\n\nevent: done\n\n"];
    let deltas = stream::iter(said).map(Ok::<_, Infallible>);
    let body = agent::events(deltas).collect::<Vec<_>>().await.concat();

    let outcome =
        told(Answer { status: 200, content_type: Some(EVENT_STREAM), body: body.into() }).await;

    assert!(outcome.failure.is_none());
    assert_eq!(outcome.text(), said.concat().replace('\0', "\u{fffd}"));
    assert!(!outcome.events.iter().any(|event| matches!(event, AgentEvent::Truncated)));
}

#[tokio::test]
async fn a_stream_that_fails_is_the_agents_error_after_what_was_said() {
    let deltas = stream::iter([Ok("Half an "), Err("out of memory")]);
    let body = agent::events(deltas).collect::<Vec<_>>().await.concat();

    let outcome =
        told(Answer { status: 200, content_type: Some(EVENT_STREAM), body: body.into() }).await;

    assert_eq!(outcome.kind(), Some(FailureKind::WebhookAgentError));
    assert_eq!(outcome.text(), "Half an ");
}

#[tokio::test]
async fn an_answer_that_comes_later_is_waited_for() {
    let outcome = told(Answer::later()).await;

    assert!(matches!(outcome.events[..], [AgentEvent::Pending]), "{:?}", outcome.events);
    assert!(outcome.failure.is_none());
}
