//! Readers that were cut off, and come back.

use nexo_core::{AppId, Error, Nexo, RunCursor, RunEvent, RunId, RunWatch, Scope};

use crate::stage::{Stage, broken, delta};

async fn resume(stage: &Stage, server: &Nexo, cursor: RunCursor) -> RunWatch {
    server.engine().resume(&stage.scope, stage.app, cursor).await.unwrap().unwrap()
}

/// The text as it stands after all that comes.
async fn rest(mut watch: RunWatch, before: &str) -> String {
    let mut text = before.to_owned();
    while let Some(event) = watch.next().await {
        match event {
            RunEvent::Delta(delta) => text.push_str(&delta),
            RunEvent::Reset { .. } => text.clear(),
            _ => {}
        }
    }
    text
}

#[tokio::test(start_paused = true)]
async fn a_reader_goes_on_where_it_was_cut_off_also_after_the_end() {
    let stage = Stage::new().await;
    let say = stage.agent.answer();
    stage.say("hello").await;
    let mut watch = stage.start().await;
    say.unbounded_send(delta("Grüß ")).unwrap();
    while !matches!(watch.next().await, Some(RunEvent::Delta(_))) {}
    let cursor = watch.cursor();
    assert_eq!(cursor.to_string(), format!("{}.1.7.0", watch.run()));
    drop(watch);
    let elsewhere = stage.another_server();
    let far = resume(&stage, &elsewhere, cursor).await;
    let near = resume(&stage, &stage.nexo, cursor).await;

    say.unbounded_send(delta("Gott")).unwrap();
    drop(say);

    assert_eq!(rest(near, "Grüß ").await, "Grüß Gott");
    assert_eq!(rest(far, "Grüß ").await, "Grüß Gott");
    assert_eq!(rest(resume(&stage, &elsewhere, cursor).await, "Grüß ").await, "Grüß Gott");
}

#[tokio::test(start_paused = true)]
async fn who_has_seen_everything_is_told_so() {
    let stage = Stage::new().await;
    stage.agent.answer_with(vec![delta("half"), broken()]);
    stage.say("hello").await;
    let mut watch = stage.start().await;
    let mut before_end = watch.cursor();
    while let Some(event) = watch.next().await {
        if !matches!(event, RunEvent::End(_)) {
            before_end = watch.cursor();
        }
    }

    let after = stage.nexo.engine().resume(&stage.scope, stage.app, watch.cursor()).await.unwrap();
    assert!(after.is_none());
    let mut before = resume(&stage, &stage.another_server(), before_end).await;
    assert!(matches!(before.next().await, Some(RunEvent::Meta { .. })));
    assert!(matches!(before.next().await, Some(RunEvent::End(_))));
}

#[tokio::test(start_paused = true)]
async fn cursors_that_nobody_was_given_are_refused() {
    let stage = Stage::new().await;
    stage.agent.answer_with(vec![delta("é")]);
    stage.say("hello").await;
    let mut watch = stage.start().await;
    while watch.next().await.is_some() {}
    let end = watch.cursor();
    let engine = stage.nexo.engine();

    for cursor in [
        RunCursor { run: RunId::new(), ..end },
        RunCursor { attempt: 2, ..end },
        RunCursor { bytes: 1, events: 0, ..end },
        RunCursor { bytes: 3, events: 0, ..end },
        RunCursor { events: 2, ..end },
    ] {
        let refused = engine.resume(&stage.scope, stage.app, cursor).await;
        assert!(matches!(refused, Err(Error::InvalidCursor)), "{cursor}");
    }
    let foreign = engine.resume(&Scope::App(AppId::new()), stage.app, end).await;
    assert!(matches!(foreign, Err(Error::InvalidCursor)));
    let elsewhere = engine.resume(&Scope::Everything, AppId::new(), end).await;
    assert!(matches!(elsewhere, Err(Error::InvalidCursor)));
}
