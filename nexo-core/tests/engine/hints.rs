//! What others hear of a run.

use nexo_core::{Heard, Topic};

use crate::stage::{Stage, delta, end};

#[tokio::test]
async fn a_run_is_heard_of_when_it_begins_and_when_it_has_ended() {
    let stage = Stage::new().await;
    stage.agent.answer_with(vec![delta("Yes.")]);
    stage.say("Is it vegan?").await;
    let mut hints = stage.nexo.hub().listen();

    let watch = stage.start().await;
    let run = watch.run();
    end(watch).await;

    for expected in [Topic::Run(run), Topic::Run(run), Topic::Message] {
        let Some(Heard::Hint(hint)) = hints.next().await else { panic!("no hint") };
        assert_eq!((hint.app, hint.thread, hint.topic), (stage.app, stage.thread, expected));
    }
}
