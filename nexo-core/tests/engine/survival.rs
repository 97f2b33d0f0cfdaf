//! Runs outlive their servers.

use std::{sync::atomic::Ordering, time::Duration};

use nexo_core::{
    AgentEvent, Error, FailureKind, Overlap, Role, RunEvent, RunId, RunOptions, RunState, Scope,
    ServerId, StartRun, StartedRun,
};

use crate::stage::{Stage, delta, end};

impl Stage {
    /// A run that a server began which is gone by now.
    async fn left_behind(&self) -> RunId {
        let start = StartRun {
            run: RunId::new(),
            app: self.app,
            thread: self.thread,
            server: ServerId::new(),
            handlers: nexo_core::Handlers::default(),
            history: 10,
            deadline: Duration::from_secs(600),
            overlap: None,
            debounce: None,
            message_seq: None,
        };
        match self.nexo.store().start_run(&self.scope, start).await.unwrap() {
            StartedRun::Started(start) => start.run.id,
            StartedRun::Standing(run) => panic!("run {} stands already", run.id),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_server_is_gone_is_taken_over() {
    let stage = Stage::new().await;
    stage.say("hello").await;
    let run = stage.left_behind().await;
    stage.agent.answer_with(vec![delta("from elsewhere")]);
    stage.nexo.engine().sign_on().await.unwrap();

    let mut watch = stage.nexo.engine().watch(&stage.scope, run).await.unwrap();
    assert!(futures::poll!(Box::pin(watch.next())).is_pending());
    stage.pass(15).await;

    let end = end(watch).await;
    assert_eq!(end.message.as_ref().unwrap().content.as_deref(), Some("from elsewhere"));
    let run = stage.run(run).await;
    assert_eq!((run.state, run.attempt), (RunState::Completed, 2));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_taken_over_has_the_rest_of_its_time() {
    let stage = Stage::new().await;
    stage.say("hello").await;
    let run = stage.left_behind().await;
    let _silent = stage.agent.answer();
    stage.nexo.engine().sign_on().await.unwrap();

    stage.pass(30).await;
    let begun = stage.run(run).await;
    assert_eq!((begun.state, begun.attempt), (RunState::Running, 2));
    stage.pass(571).await;

    assert_eq!(stage.run(run).await.state, RunState::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_server_with_the_store_to_itself_takes_over_at_once() {
    let stage = Stage::new().await;
    stage.say("hello").await;
    let run = stage.left_behind().await;
    stage.agent.answer_with(vec![delta("again")]);
    stage.clock.advance(Duration::from_millis(1));

    let builder = nexo_core::Nexo::builder().store(stage.nexo.store().clone()).exclusive();
    let next = builder.dispatcher("webhook", stage.agent.clone()).build();
    next.engine().sign_on().await.unwrap();
    let watch = next.engine().watch(&stage.scope, run).await.unwrap();

    assert_eq!(end(watch).await.state, RunState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_carries_is_found_by_its_own_server() {
    let stage = Stage::new().await;
    stage.say("hello").await;
    stage.nexo.engine().sign_on().await.unwrap();
    let start = StartRun {
        run: RunId::new(),
        app: stage.app,
        thread: stage.thread,
        server: stage.nexo.engine().server(),
        handlers: nexo_core::Handlers::default(),
        history: 10,
        deadline: Duration::from_secs(600),
        overlap: None,
        debounce: None,
        message_seq: None,
    };
    let run = start.run;
    stage.nexo.store().start_run(&stage.scope, start).await.unwrap();
    stage.agent.answer_with(vec![delta("found")]);

    stage.pass(20).await;

    let watch = stage.nexo.engine().watch(&stage.scope, run).await.unwrap();
    assert_eq!(end(watch).await.state, RunState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_its_servers_down_is_given_up() {
    let stage = Stage::new().await;
    stage.say("hello").await;
    let run = stage.left_behind().await;
    for _ in 0..2 {
        stage.pass(11).await;
        let sweep = nexo_core::SweepRuns {
            server: ServerId::new(),
            carried: Vec::new(),
            silence: Duration::from_secs(10),
            handler_patience: Duration::from_secs(30),
        };
        assert_eq!(stage.nexo.store().sweep_runs(sweep).await.unwrap().queued, [run]);
        let claim = nexo_core::ClaimRuns {
            server: ServerId::new(),
            handlers: nexo_core::Handlers::default(),
            limit: 1,
            history: 10,
            deadline: Duration::from_secs(600),
        };
        assert_eq!(stage.nexo.store().claim_runs(claim).await.unwrap().len(), 1);
    }

    stage.nexo.engine().sign_on().await.unwrap();
    let watch = stage.nexo.engine().watch(&stage.scope, run).await.unwrap();
    stage.pass(15).await;

    assert_eq!(end(watch).await.failure.as_ref().unwrap().kind, FailureKind::RunInterrupted);
    assert_eq!(stage.agent.turns.load(Ordering::SeqCst), 0, "its agent is not asked again");
}

#[tokio::test(start_paused = true)]
async fn an_app_may_want_no_second_attempt() {
    let stage = Stage::new().await;
    stage
        .configure(r#"{"integration":{"mode":"webhook"},"runs":{"retry_after_crash":false}}"#)
        .await;
    stage.say("hello").await;
    let run = stage.left_behind().await;
    stage.nexo.engine().sign_on().await.unwrap();

    let watch = stage.nexo.engine().watch(&stage.scope, run).await.unwrap();
    stage.pass(15).await;

    assert_eq!(end(watch).await.failure.as_ref().unwrap().kind, FailureKind::RunInterrupted);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_hands_back_what_does_not_finish_in_time() {
    let stage = Stage::new().await;
    let other = stage.another_server();
    other.engine().sign_on().await.unwrap();
    let say = stage.agent.answer();
    stage.say("hello").await;
    let mut here = stage.start().await;
    let run = here.run();
    let elsewhere = other.engine().watch(&stage.scope, run).await.unwrap();
    say.unbounded_send(delta("this far")).unwrap();
    assert!(matches!(here.next().await, Some(RunEvent::Meta { .. })));
    assert!(matches!(here.next().await, Some(RunEvent::Delta(_))));
    stage.agent.answer_with(vec![delta("the whole")]);

    stage.nexo.engine().shutdown(Duration::from_secs(25)).await;

    assert!(here.next().await.is_none(), "this server has nothing more to tell");
    let end = end(elsewhere).await;
    assert_eq!(end.message.as_ref().unwrap().content.as_deref(), Some("the whole"));
    let run = stage.run(run).await;
    assert_eq!((run.attempt, run.handbacks), (2, 1));
    assert_eq!(stage.messages().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_agent_may_answer_later() {
    let stage = Stage::new().await;
    stage.agent.answer_with(vec![Ok(AgentEvent::Pending)]);
    stage.say("hello").await;
    let watch = stage.start().await;
    let run = watch.run();
    stage.pass(2).await;
    assert_eq!(stage.run(run).await.state, RunState::Waiting);
    let reply = |text: &str| {
        let (engine, text) = (stage.nexo.engine().clone(), text.to_owned());
        let (scope, app) = (stage.scope.clone(), stage.app);
        async move { engine.reply(&scope, app, run, text).await }
    };

    let message = reply("at last").await.unwrap();

    assert_eq!((message.seq, message.role), (2, Role::Assistant));
    assert_eq!(message.content_json.as_str(), r#"{"source":"webhook"}"#);
    assert_eq!(end(watch).await.message, Some(message));
    assert!(matches!(reply("twice").await, Err(Error::RunEnded(_))));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_run_that_another_one_replaces_takes_no_answer_any_more() {
    let stage = Stage::new().await;
    stage.agent.answer_with(vec![Ok(AgentEvent::Pending)]);
    stage.say("one").await;
    let run = stage.start().await.run();
    stage.pass(2).await;
    stage.agent.answer_with(vec![delta("to both")]);
    let merge = RunOptions { overlap: Some(Overlap::Merge), ..RunOptions::default() };
    let second = stage.ask("two", merge).await.unwrap();

    let engine = stage.nexo.engine();
    let late = engine.reply(&stage.scope, stage.app, run, "too late".into()).await;

    assert!(matches!(late, Err(Error::RunEnded(_))));
    stage.pass(20).await;
    assert_eq!(end(second).await.message.as_ref().unwrap().content.as_deref(), Some("to both"));
    assert_eq!(stage.run(run).await.state, RunState::Superseded);
}

#[tokio::test(start_paused = true)]
async fn only_a_run_that_waits_can_be_answered_from_outside() {
    let stage = Stage::new().await;
    let _say = stage.agent.answer();
    stage.say("hello").await;
    let run = stage.start().await.run();
    let engine = stage.nexo.engine();

    let early = engine.reply(&stage.scope, stage.app, run, "early".into()).await;
    let unknown = engine.reply(&stage.scope, stage.app, RunId::new(), "who".into()).await;
    let foreign = engine.reply(&Scope::Everything, nexo_core::AppId::new(), run, "x".into()).await;

    assert!(matches!(early, Err(Error::RunNotWaiting(_))));
    assert!(matches!(unknown, Err(Error::RunNotFound)));
    assert!(matches!(foreign, Err(Error::RunNotFound)));
}
