//! What every dispatcher promises.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::join_all};

use super::{Act, Scripted, Stage, heard::Heard};
use crate::{
    AgentStream, FailureKind, Interest, MAX_REPLY_BYTES, Turn, conformance::fixtures::eventually,
};

/// For how long an answer that nobody wants is listened to.
const HANGING_UP: Duration = Duration::from_secs(1);

/// Texts that are easily damaged on their way.
const TEXTS: [&str; 8] = [
    " leading and trailing \n",
    "one\r\ntwo\rthree\n\nfour",
    "\"quoted\" \\ 'and' </script> {\"json\":[null]} data: event: :",
    "Grüß Gott, 世界, שלום, नमस्ते",
    "👩‍👩‍👧‍👦 🏳️‍🌈 e\u{301} \u{1f}\t\u{7f}",
    "\u{2028}line\u{2029}paragraph\u{85}next",
    "\u{feff}\u{200f}\u{200d}\u{fffd}",
    "%20 &amp; %s {} $1",
];

fn dispatch(stage: &dyn Stage, scripted: &Scripted) -> AgentStream {
    // Each time it is asked somebody else may lose interest.
    let turn = Turn { interest: Interest::default(), ..scripted.turn.clone() };
    stage.dispatcher().dispatch(Arc::new(turn))
}

/// The agent of a script, and all that came of its turn. `None` if it can't do that.
async fn play(stage: &Arc<dyn Stage>, script: Vec<Act>) -> Option<(Scripted, Heard)> {
    let scripted = stage.script(script).await?;
    let heard = Heard::default().rest(dispatch(&**stage, &scripted)).await;
    heard.assert_sound(&**stage, &scripted);
    Some((scripted, heard))
}

async fn assert_left(scripted: &Scripted) {
    let Some(calls) = &scripted.calls else { return };
    assert!(calls.begun() > 0, "the agent was never called");
    eventually("the call's end", || async { calls.are_over() }).await;
}

/// A stream that is dropped before it was polled is as good as none.
pub(super) async fn nothing_happens_before_the_stream_is_polled(stage: Arc<dyn Stage>) {
    let Some(scripted) = stage.script(vec![Act::say("Hi")]).await else { return };

    let unpolled = dispatch(&*stage, &scripted);
    drop(dispatch(&*stage, &scripted));
    let heard = Heard::default().rest(dispatch(&*stage, &scripted)).await;

    heard.assert_whole(&scripted);
    if let Some(calls) = &scripted.calls {
        assert_eq!(calls.begun(), 1, "the agent was called by nobody");
    }
    Heard::default().rest(unpolled).await.assert_whole(&scripted);
}

pub(super) async fn pieces_come_in_their_order(stage: Arc<dyn Stage>) {
    let script = (0..200).map(|number| Act::Say(format!("{number} "))).collect();

    let Some((scripted, heard)) = play(&stage, script).await else { return };

    heard.assert_whole(&scripted);
    assert_left(&scripted).await;
}

pub(super) async fn a_reply_in_one_piece_is_one_reply(stage: Arc<dyn Stage>) {
    let Some((scripted, heard)) = play(&stage, vec![Act::Reply("Yes.".into())]).await else {
        return;
    };

    heard.assert_whole(&scripted);
    assert_left(&scripted).await;
}

pub(super) async fn text_comes_as_it_was_said(stage: Arc<dyn Stage>) {
    let whole = TEXTS.iter().map(|text| vec![Act::Reply((*text).into())]);
    let pieces = TEXTS.iter().map(|text| vec![Act::say(*text)]);
    let characters = TEXTS.concat().chars().map(Act::say).collect();

    for script in whole.chain(pieces).chain([characters]) {
        let Some((scripted, heard)) = play(&stage, script).await else { continue };
        heard.assert_whole(&scripted);
    }
}

pub(super) async fn an_empty_reply_is_a_reply(stage: Arc<dyn Stage>) {
    for script in [vec![Act::Reply(String::new())], vec![Act::say(""), Act::say("")]] {
        let Some((scripted, heard)) = play(&stage, script).await else { continue };
        heard.assert_whole(&scripted);
    }
}

pub(super) async fn a_failure_is_the_last_item(stage: Arc<dyn Stage>) {
    for script in [vec![Act::Fail], vec![Act::say("Let me "), Act::say("see"), Act::Fail]] {
        let said = script.len() > 1;
        let Some((scripted, heard)) = play(&stage, script).await else { continue };
        let failure = heard.failure.as_ref().expect("the failure is lost");
        assert!(!failure.is_passing, "asked again, it would fail again");
        assert!(!heard.truncated && !heard.pending, "{heard:?}");
        assert_eq!(heard.text(), if said { "Let me see" } else { "" }, "what it said before");
        assert_left(&scripted).await;
    }
}

pub(super) async fn an_agent_that_is_only_busy_may_be_asked_again(stage: Arc<dyn Stage>) {
    let Some((_, heard)) = play(&stage, vec![Act::Refuse]).await else { return };

    assert!(heard.failure.as_ref().is_some_and(|failure| failure.is_passing), "{heard:?}");
    assert!(!heard.is_spoken());
}

pub(super) async fn an_answer_that_breaks_off_is_not_taken_for_whole(stage: Arc<dyn Stage>) {
    let script = vec![Act::say("Let me "), Act::say("see"), Act::BreakOff];

    let Some((_, heard)) = play(&stage, script).await else { return };

    assert!(heard.truncated || heard.failure.is_some(), "{heard:?}");
    assert_eq!(heard.text(), "Let me see");
}

pub(super) async fn an_answer_that_comes_later_is_pending(stage: Arc<dyn Stage>) {
    let Some((_, heard)) = play(&stage, vec![Act::Postpone]).await else { return };

    assert!(heard.pending, "{heard:?}");
    assert_eq!((heard.is_spoken(), heard.failure), (false, None));
}

/// That it comes once, last, and only where something was sent, is looked at in every case.
pub(super) async fn what_was_sent_is_told_once_and_last(stage: Arc<dyn Stage>) {
    let say = || Act::say("Hi");
    for script in [vec![say()], vec![say(), Act::Fail], vec![Act::Fail], vec![Act::Refuse]] {
        play(&stage, script).await;
    }
}

pub(super) async fn dropping_the_stream_ends_the_call(stage: Arc<dyn Stage>) {
    let say = || Act::say("Let me think");
    for script in [vec![say(), Act::Hang], vec![say(), Act::Babble("and think ".into())]] {
        let Some(scripted) = stage.script(script).await else { continue };
        let mut events = dispatch(&*stage, &scripted);
        Heard::first(&mut events).await;
        drop(events);
        assert_left(&scripted).await;
    }
}

/// A dispatcher need not hear of it; one that does tells what it has sent, and is done.
pub(super) async fn an_answer_that_is_not_wanted_can_be_given_up(stage: Arc<dyn Stage>) {
    let Some(scripted) = stage.script(vec![Act::say("Let me think"), Act::Hang]).await else {
        return;
    };
    let turn = Arc::new(scripted.turn.clone());
    let mut events = stage.dispatcher().dispatch(Arc::clone(&turn));
    let mut heard = Heard::first(&mut events).await;
    while let Some(Some(item)) = events.next().now_or_never() {
        heard.hear(item);
    }

    turn.interest.lose();

    if let Ok(heard) = tokio::time::timeout(HANGING_UP, heard.rest(events)).await {
        heard.assert_sound(&*stage, &scripted);
    }
    assert_left(&scripted).await;
}

pub(super) async fn a_reply_may_be_so_long(stage: Arc<dyn Stage>) {
    let part = "x".repeat(MAX_REPLY_BYTES / 16);
    let pieces = vec![Act::say(part); 16];

    for script in [vec![Act::Reply("x".repeat(MAX_REPLY_BYTES))], pieces] {
        let Some(scripted) = stage.script(script).await else { continue };
        if scripted.text.len() > MAX_REPLY_BYTES {
            continue; // It is said in words of its own, and these are too many.
        }
        Heard::default().rest(dispatch(&*stage, &scripted)).await.assert_whole(&scripted);
    }
}

pub(super) async fn a_reply_that_is_too_long_is_a_failure(stage: Arc<dyn Stage>) {
    let script = vec![Act::Reply("x".repeat(MAX_REPLY_BYTES + 1))];

    let Some((scripted, heard)) = play(&stage, script).await else { return };

    let kind = heard.failure.as_ref().map(|failure| failure.kind);
    assert_eq!(kind, Some(FailureKind::WebhookTooLarge));
    assert!(!heard.is_spoken(), "a part of it is taken for the reply");
    assert_left(&scripted).await;
}

pub(super) async fn an_agent_that_never_stops_is_stopped(stage: Arc<dyn Stage>) {
    let script = vec![Act::Babble("and another thing, ".repeat(50))];

    let Some((scripted, heard)) = play(&stage, script).await else { return };

    let kind = heard.failure.as_ref().map(|failure| failure.kind);
    assert_eq!(kind, Some(FailureKind::WebhookTooLarge));
    assert_left(&scripted).await;
}

pub(super) async fn answers_at_once_do_not_mix(stage: Arc<dyn Stage>) {
    let talk = |number: usize| {
        let stage = Arc::clone(&stage);
        async move {
            let script = (0..20).map(|_| Act::Say(format!("{number} "))).collect();
            let Some((scripted, heard)) = play(&stage, script).await else { return };
            heard.assert_whole(&scripted);
        }
    };

    join_all((0..20).map(talk)).await;
}

pub(super) async fn a_turn_that_is_put_again_is_answered_again(stage: Arc<dyn Stage>) {
    let Some(scripted) = stage.script(vec![Act::say("Hi, "), Act::say("again")]).await else {
        return;
    };

    for _ in 0..3 {
        Heard::default().rest(dispatch(&*stage, &scripted)).await.assert_whole(&scripted);
    }

    if let Some(calls) = &scripted.calls {
        assert_eq!(calls.begun(), 3);
    }
    assert_left(&scripted).await;
}
