//! The forms that a handler may have, and what comes of what it does.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{FutureExt, StreamExt};
use nexo_core::{
    AgentEvent, Answer, BoxError, Clock, Dispatcher, Failure, FailureKind, Handler, JsonObject,
    LiveTurn, MAX_REPLY_BYTES, MemoryStore, NewAgent, Store, SystemClock, Turn,
    dispatch::InProcess,
};

/// A turn of an agent that names this handler, in which this was said.
async fn turn(handler: &str, text: &str) -> Arc<Turn> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let new = nexo_core::NewApp::new("owner".parse().unwrap(), "app");
    let app = store.create_app(new).await.unwrap();
    let agent = NewAgent::in_process(handler).in_app(app.id, SystemClock.now());
    Arc::new(Turn::sample(app, agent, text, SystemClock.now()))
}

/// What it says to `text`: each delta or reply, and what went wrong.
async fn hear(handler: impl Handler, text: &str) -> (Vec<String>, Option<Failure>) {
    let dispatcher = InProcess::default().with("it", handler);
    let (mut said, mut failure) = (Vec::new(), None);
    let mut events = dispatcher.dispatch(turn("it", text).await);
    while let Some(event) = events.next().await {
        match event {
            Ok(AgentEvent::Delta(text)) => said.push(text),
            Ok(AgentEvent::Reply { text, .. }) => said.push(format!("={text}")),
            Ok(AgentEvent::Accepted) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => failure = Some(error),
        }
    }
    (said, failure)
}

async fn fails_as(handler: impl Handler, text: &str) -> FailureKind {
    hear(handler, text).await.1.expect("it fails").kind
}

async fn echo(turn: LiveTurn) -> Result<String, BoxError> {
    Ok(format!("You said {}", turn.text()))
}

async fn spell(turn: LiveTurn) -> Result<(), BoxError> {
    for letter in turn.text().chars() {
        turn.say(letter).await;
    }
    Ok(())
}

async fn number(turn: LiveTurn) -> Result<String, BoxError> {
    Ok((turn.text().parse::<i64>()? + 1).to_string())
}

struct Parrot(usize);

impl Handler for Parrot {
    async fn answer(&self, turn: LiveTurn) -> Result<Answer, BoxError> {
        let metadata = JsonObject::empty().with("times", self.0);
        Ok(Answer::new(turn.text().repeat(self.0)).with_metadata(metadata))
    }
}

#[tokio::test]
async fn a_handler_is_a_function_a_closure_or_a_type() {
    let offset = 3;
    let closure = move |turn: LiveTurn| async move {
        let number: i64 = turn.text().parse()?;
        Ok((number + offset).to_string())
    };

    assert_eq!(hear(echo, "Hi").await.0, ["=You said Hi"]);
    assert_eq!(hear(spell, "Hé!").await.0, ["H", "é", "!"]);
    assert_eq!(hear(closure, "4").await.0, ["=7"]);
    assert_eq!(hear(Parrot(2), "ab").await.0, ["=abab"]);
    let short = |turn: LiveTurn| async move { Ok(format!("You said {}", turn.text())) };
    assert_eq!(hear(short, "so").await.0, ["=You said so"]);
}

#[tokio::test]
async fn what_a_handler_returns_is_said_after_what_it_said() {
    let both = |turn: LiveTurn| async move {
        turn.say("One, ").await;
        Ok("two.")
    };

    assert_eq!(hear(both, "").await, (vec!["One, ".into(), "two.".into()], None));
}

#[tokio::test]
async fn an_empty_reply_is_one_and_silence_is_none() {
    let empty = |turn: LiveTurn| async move {
        turn.say("").await;
        Ok(())
    };

    assert_eq!(hear(|_: LiveTurn| async { Ok("") }, "").await, (vec!["=".into()], None));
    assert_eq!(hear(empty, "").await, (vec!["=".into()], None));
    assert_eq!(fails_as(|_: LiveTurn| async { Ok(()) }, "").await, FailureKind::NoReply);
}

#[tokio::test]
async fn any_error_is_a_failure_that_tells_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("the oven is cold")]
    struct Cold(#[source] std::num::ParseIntError);
    let cold =
        |_: LiveTurn| async { Err::<String, _>(Cold("x".parse::<i8>().unwrap_err()).into()) };
    let long = |_: LiveTurn| async { Err::<String, _>("é".repeat(10_000).into()) };

    let failure = hear(number, "bread").await.1.unwrap();
    assert_eq!(failure.kind, FailureKind::WebhookAgentError);
    assert!(!failure.is_passing);
    assert_eq!(failure.detail, "invalid digit found in string");
    let failure = hear(cold, "").await.1.unwrap();
    assert_eq!(failure.detail, "the oven is cold: invalid digit found in string");
    assert!(hear(long, "").await.1.unwrap().detail.len() <= 1024);
}

#[tokio::test]
async fn a_handler_can_say_that_another_try_may_help() {
    let busy = |_: LiveTurn| async {
        let failure = Failure::new(FailureKind::AgentUnavailable, "the oven is hot").passing();
        Err::<(), _>(failure.into())
    };

    let failure = hear(busy, "").await.1.unwrap();

    assert_eq!((failure.kind, failure.is_passing), (FailureKind::AgentUnavailable, true));
}

#[tokio::test]
async fn a_handler_that_panics_has_failed() {
    let late = |turn: LiveTurn| async move {
        turn.say("I am f").await;
        assert!(turn.text().is_empty(), "on purpose");
        Ok(())
    };

    let (said, failure) = hear(late, "now").await;
    assert_eq!(said, ["I am f"]);
    assert_eq!(failure.unwrap().kind, FailureKind::WebhookAgentError);

    struct Sudden;
    impl Handler for Sudden {
        #[allow(clippy::manual_async_fn, reason = "it panics before there is a future")]
        fn answer(&self, turn: LiveTurn) -> impl Future<Output = Result<Answer, BoxError>> + Send {
            assert!(turn.text().is_empty(), "on purpose");
            async { Ok("".into()) }
        }
    }
    assert_eq!(fails_as(Sudden, "now").await, FailureKind::WebhookAgentError);
}

#[tokio::test]
async fn long_pieces_are_cut_and_a_reply_that_is_too_long_is_broken_off() {
    let long = |turn: LiveTurn| async move {
        turn.say("é".repeat(3_000)).await;
        Ok(())
    };
    let endless = |turn: LiveTurn| async move {
        loop {
            turn.say("x".repeat(60_000)).await;
        }
        #[allow(unreachable_code, reason = "it says what would be returned")]
        Ok(())
    };
    let full = |_: LiveTurn| async { Ok("x".repeat(MAX_REPLY_BYTES)) };
    let too_full = |_: LiveTurn| async { Ok("x".repeat(MAX_REPLY_BYTES + 1)) };

    let (said, _) = hear(long, "").await;
    assert!(said.len() > 1 && said.iter().all(|piece| piece.len() <= 1024));
    assert_eq!(said.concat(), "é".repeat(3_000));
    let (said, failure) = hear(endless, "").await;
    assert_eq!(failure.unwrap().kind, FailureKind::WebhookTooLarge);
    assert!(said.concat().len() <= MAX_REPLY_BYTES);
    assert_eq!(hear(full, "").await.1, None);
    assert_eq!(fails_as(too_full, "").await, FailureKind::WebhookTooLarge);
}

#[tokio::test]
async fn an_agent_without_a_handler_here_is_not_available() {
    let dispatcher = InProcess::default().with("one", echo);

    let items: Vec<_> = dispatcher.dispatch(turn("other", "").await).collect().await;

    assert_eq!(items.len(), 1);
    assert_eq!(items[0].as_ref().unwrap_err().kind, FailureKind::AgentUnavailable);
    assert_eq!(dispatcher.names().collect::<Vec<_>>(), ["one"]);
}

/// One piece may wait to be taken; whoever says the next one waits as well.
#[tokio::test]
async fn what_nobody_takes_is_not_said() {
    let said = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&said);
    let talkative = move |turn: LiveTurn| {
        let said = Arc::clone(&counted);
        async move {
            for _ in 0..1_000 {
                turn.say("more ").await;
                said.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        }
    };
    let mut events = InProcess::default().with("it", talkative).dispatch(turn("it", "").await);

    events.next().await.unwrap().unwrap();
    events.next().await.unwrap().unwrap();

    assert!(said.load(Ordering::SeqCst) < 5, "{said:?}");
}

/// The agent's future is dropped, wherever it stands.
#[tokio::test]
async fn an_answer_that_nobody_wants_is_dropped() {
    struct Held(Arc<AtomicUsize>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&dropped);
    let stuck = move |turn: LiveTurn| {
        let held = Held(Arc::clone(&counted));
        async move {
            turn.say("Let me think").await;
            pending::<()>().await;
            drop(held);
            Ok(())
        }
    };
    let dispatcher = InProcess::default().with("it", stuck);

    let mut events = dispatcher.dispatch(turn("it", "").await);
    while !matches!(events.next().await, Some(Ok(AgentEvent::Delta(_)))) {}
    drop(events);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);

    let turn = turn("it", "").await;
    let mut events = dispatcher.dispatch(Arc::clone(&turn));
    while !matches!(events.next().await, Some(Ok(AgentEvent::Delta(_)))) {}
    assert!(events.next().now_or_never().is_none(), "it thinks");
    turn.interest.lose();
    let failure = events.next().await.unwrap().unwrap_err();
    assert_eq!(failure.kind, FailureKind::RunCancelled);
    assert!(events.next().await.is_none());
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
}

/// What it has spawned goes on without it, and is not waited for.
#[tokio::test]
async fn nothing_is_heard_of_what_outlives_the_handler() {
    let split = |turn: LiveTurn| async move {
        turn.say("Done.").await;
        tokio::spawn(async move {
            pending::<()>().await;
            drop(turn);
        });
        Ok(())
    };

    assert_eq!(hear(split, "").await, (vec!["Done.".into()], None));
}
