//! Dispatchers with one fault each, made of a sound one.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use futures::{StreamExt, channel::mpsc, stream};
use nexo_core::{
    AgentEvent, AgentStream, Dispatcher, Failure, FailureKind, MAX_REPLY_BYTES, Turn,
    conformance::dispatcher::{Stage, cases as dispatcher},
    dispatch::InProcess,
};

use crate::{actors::Actors, holds};

/// What the dispatcher does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Detaches,
    MixesTurns,
    AsksOnce,
    TrimsText,
    LosesEmptyTexts,
    RepliesTwice,
    SwallowsFailures,
    GoesOnAfterFailures,
    TakesFailuresForGood,
    TakesFailuresForPassing,
    IgnoresTheCap,
    DeliversNothing,
}

type Item = Result<AgentEvent, Failure>;

#[derive(Debug)]
struct Faulty {
    sound: InProcess,
    fault: Fault,
    first: OnceLock<Arc<Turn>>,
}

impl Dispatcher for Faulty {
    fn dispatch(&self, turn: Arc<Turn>) -> AgentStream {
        let fault = self.fault;
        let is_first = self.first.set(Arc::clone(&turn)).is_ok();
        let first = self.first.get().map_or_else(|| Arc::clone(&turn), Arc::clone);
        match fault {
            Fault::Detaches => detached(self.sound.dispatch(turn)),
            Fault::MixesTurns => self.sound.dispatch(first),
            Fault::AsksOnce if !is_first => stream::empty().boxed(),
            _ => {
                let events = self.sound.dispatch(turn);
                events.flat_map(move |item| stream::iter(spoilt(item, fault))).boxed()
            }
        }
    }
}

/// The agent is called in a task of its own, whether anybody listens or not.
fn detached(mut events: AgentStream) -> AgentStream {
    let (tell, told) = mpsc::unbounded();
    tokio::spawn(async move {
        while let Some(item) = events.next().await {
            let _ = tell.unbounded_send(item);
        }
    });
    told.boxed()
}

fn spoilt(item: Item, fault: Fault) -> Vec<Item> {
    match (fault, item) {
        (Fault::TrimsText, Ok(event)) => vec![Ok(changed(event, |text| text.trim().to_owned()))],
        (Fault::LosesEmptyTexts, Ok(AgentEvent::Reply { text, .. })) if text.is_empty() => vec![],
        (Fault::RepliesTwice, Ok(event @ AgentEvent::Reply { .. })) => {
            vec![Ok(event.clone()), Ok(event)]
        }
        (Fault::SwallowsFailures, Err(_)) => vec![],
        (Fault::GoesOnAfterFailures, Err(failure)) => vec![Err(failure), delta("and")],
        (Fault::TakesFailuresForGood, Err(failure)) => {
            vec![Err(Failure { is_passing: false, ..failure })]
        }
        (Fault::TakesFailuresForPassing, Err(failure)) => vec![Err(failure.passing())],
        (Fault::IgnoresTheCap, Err(failure)) if failure.kind == FailureKind::WebhookTooLarge => {
            vec![delta(&"x".repeat(MAX_REPLY_BYTES)), Err(failure)]
        }
        (_, item) => vec![item],
    }
}

fn delta(text: &str) -> Item {
    Ok(AgentEvent::Delta(text.into()))
}

fn changed(event: AgentEvent, change: fn(&str) -> String) -> AgentEvent {
    match event {
        AgentEvent::Delta(text) => AgentEvent::Delta(change(&text)),
        AgentEvent::Reply { text, metadata } => AgentEvent::Reply { text: change(&text), metadata },
        event => event,
    }
}

/// Whether a case holds with a dispatcher that has this fault.
fn passes<F>(fault: Option<Fault>, case: impl FnOnce(Arc<dyn Stage>) -> F) -> bool
where
    F: Future<Output = ()>,
{
    let spoil = |sound: InProcess| -> Arc<dyn Dispatcher> {
        match fault {
            Some(fault) => Arc::new(Faulty { sound, fault, first: OnceLock::new() }),
            None => Arc::new(sound),
        }
    };
    let mut actors = Actors::behind(spoil);
    actors.delivers = fault == Some(Fault::DeliversNothing);
    holds(|| case(Arc::new(actors)))
}

/// Makes a test of each fault: the cases pass without it, and none of them with it.
macro_rules! noticed {
    ($($name:ident: $fault:ident { $($case:ident,)* })*) => {$(
        #[test]
        fn $name() {
            $(
                let case = stringify!($case);
                assert!(passes(None, dispatcher::$case), "{case} fails without a fault");
                assert!(
                    !passes(Some(Fault::$fault), dispatcher::$case),
                    "{case} does not notice the fault",
                );
            )*
        }
    )*};
}

noticed! {
    a_dispatcher_that_calls_whether_anybody_listens_or_not_is_noticed: Detaches {
        nothing_happens_before_the_stream_is_polled,
        dropping_the_stream_ends_the_call,
    }
    a_dispatcher_that_mixes_turns_is_noticed: MixesTurns {
        answers_at_once_do_not_mix,
        text_comes_as_it_was_said,
    }
    a_dispatcher_that_asks_once_is_noticed: AsksOnce {
        a_turn_that_is_put_again_is_answered_again,
    }
    a_dispatcher_that_trims_texts_is_noticed: TrimsText {
        pieces_come_in_their_order,
        text_comes_as_it_was_said,
    }
    a_dispatcher_that_loses_empty_texts_is_noticed: LosesEmptyTexts {
        an_empty_reply_is_a_reply,
    }
    a_dispatcher_that_replies_twice_is_noticed: RepliesTwice {
        a_reply_in_one_piece_is_one_reply,
    }
    a_dispatcher_that_swallows_failures_is_noticed: SwallowsFailures {
        a_failure_is_the_last_item,
        an_agent_that_is_only_busy_may_be_asked_again,
        an_answer_that_breaks_off_is_not_taken_for_whole,
        a_reply_that_is_too_long_is_a_failure,
        an_agent_that_never_stops_is_stopped,
    }
    a_dispatcher_that_goes_on_after_failures_is_noticed: GoesOnAfterFailures {
        a_failure_is_the_last_item,
    }
    a_dispatcher_that_takes_failures_for_good_is_noticed: TakesFailuresForGood {
        an_agent_that_is_only_busy_may_be_asked_again,
    }
    a_dispatcher_that_takes_failures_for_passing_is_noticed: TakesFailuresForPassing {
        a_failure_is_the_last_item,
    }
    a_dispatcher_that_ignores_the_cap_is_noticed: IgnoresTheCap {
        a_reply_that_is_too_long_is_a_failure,
        an_agent_that_never_stops_is_stopped,
    }
    a_dispatcher_that_does_not_tell_what_was_sent_is_noticed: DeliversNothing {
        what_was_sent_is_told_once_and_last,
    }
}
