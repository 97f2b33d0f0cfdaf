//! Runs whose agents are code in this process.

use std::{future::pending, sync::Arc, time::Duration};

use nexo_core::{
    App, FailureKind, LiveTurn, NewMessage, NewThread, Nexo, NexoBuilder, Role, RunEvent, RunState,
    RunWatch, Scope, ThreadId,
};

struct Desk {
    nexo: Nexo,
    app: App,
    thread: ThreadId,
}

impl Desk {
    /// An app in which the agent `it` answers.
    async fn new(builder: NexoBuilder) -> Self {
        let nexo = builder.build();
        let app = nexo.ensure_app("bakery".parse().unwrap(), "Desk", ["it"]).await.unwrap();
        let thread = NewThread::default();
        let created = nexo.store().create_thread(&Scope::App(app.id), app.id, thread).await;
        Self { nexo, app, thread: created.unwrap().0.id }
    }

    async fn ask(&self, text: &str) -> RunWatch {
        let scope = Scope::App(self.app.id);
        let message = NewMessage::new(Role::User, text);
        let engine = self.nexo.engine();
        let asked = engine.ask(&scope, self.app.id, self.thread, message, Default::default(), None);
        asked.await.unwrap().made.1
    }
}

#[tokio::test]
async fn an_agent_in_the_process_answers() {
    let builder = Nexo::builder().agent("it", |turn: LiveTurn| async move {
        turn.say("You said ").await;
        turn.say(turn.text()).await;
        Ok(())
    });
    let desk = Desk::new(builder).await;

    let mut watch = desk.ask("hello").await;
    let (mut source, mut said) = (None, String::new());
    let end = loop {
        match watch.next().await.unwrap() {
            RunEvent::Meta { source: from, .. } => source = Some(from),
            RunEvent::Delta(text) => said.push_str(&text),
            RunEvent::End(end) => break end,
            other => panic!("{other:?}"),
        }
    };

    assert_eq!((source.as_deref(), &*said), (Some("in_process"), "You said hello"));
    let reply = end.message.as_ref().unwrap();
    assert_eq!(reply.content.as_deref(), Some("You said hello"));
    assert_eq!(reply.content_json.as_str(), r#"{"source":"in_process"}"#);
}

#[tokio::test]
async fn a_panic_of_an_agent_is_a_failed_run() {
    let builder = Nexo::builder().agent("it", |turn: LiveTurn| async move {
        assert_ne!(turn.text(), "panic", "on purpose");
        Ok("Fine.")
    });
    let desk = Desk::new(builder).await;

    let end = desk.ask("panic").await.end().await.unwrap();
    assert_eq!(end.state, RunState::Failed);
    assert_eq!(end.failure.as_ref().unwrap().kind, FailureKind::WebhookAgentError);
    let end = desk.ask("again").await.end().await.unwrap();
    assert_eq!(end.message.as_ref().unwrap().content.as_deref(), Some("Fine."));
}

#[tokio::test]
async fn a_run_that_is_cancelled_keeps_what_its_agent_said() {
    let alive = Arc::new(());
    let held = Arc::downgrade(&alive);
    let builder = Nexo::builder().agent("it", move |turn: LiveTurn| {
        let held = held.upgrade();
        async move {
            turn.say("Let me think").await;
            pending::<()>().await;
            drop(held);
            Ok(())
        }
    });
    let desk = Desk::new(builder).await;
    let mut watch = desk.ask("hello").await;
    while !matches!(watch.next().await, Some(RunEvent::Delta(_))) {}

    desk.nexo.engine().cancel(&Scope::Everything, desk.app.id, watch.run()).await.unwrap();

    let end = watch.end().await.unwrap();
    assert_eq!(end.state, RunState::Cancelled);
    assert_eq!(end.message.as_ref().unwrap().content.as_deref(), Some("Let me think"));
    assert_eq!(Arc::strong_count(&alive), 1, "the agent's future is gone");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_comes_to_an_end_is_given_up() {
    let builder = Nexo::builder().agent("it", |_: LiveTurn| async {
        pending::<()>().await;
        Ok(())
    });
    let desk = Desk::new(builder.run_deadline(Duration::from_secs(60))).await;

    let end = desk.ask("hello").await.end().await.unwrap();

    assert_eq!(end.state, RunState::Expired);
}
