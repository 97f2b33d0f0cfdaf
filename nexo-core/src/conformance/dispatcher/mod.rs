//! The cases of [`Dispatcher`].
//!
//! Whoever wrote the dispatcher brings its agents as well, on a [`Stage`]: a case says what an
//! agent does, and looks what the dispatcher makes of it. Agents of some kinds can't do
//! everything; what they can't do is passed over.

mod heard;
mod promises;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;

use super::suite;
use crate::{AgentId, App, AppId, Clock, Dispatcher, JsonObject, NewAgent, SystemClock, Turn};

/// What an agent does in a turn. Its answer is complete when it has done all of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// It says the next piece of its reply.
    Say(String),
    /// It gives this reply in one piece.
    Reply(String),
    /// It says this again and again, for as long as it is listened to.
    Babble(String),
    /// It does nothing more, and has whoever listens wait.
    Hang,
    /// It says that it failed, for good.
    Fail,
    /// It says that it is only busy: asked again later, it may answer.
    Refuse,
    /// It is gone in the middle of its answer.
    BreakOff,
    /// It says that it answers later.
    Postpone,
}

impl Act {
    /// It says this.
    pub(super) fn say(text: impl Into<String>) -> Self {
        Self::Say(text.into())
    }
}

/// A dispatcher, and the agents that it reaches.
///
/// ```
/// use std::{collections::HashMap, sync::{Arc, Mutex}};
///
/// use async_trait::async_trait;
/// use nexo_core::{
///     BoxError, Dispatcher, JsonObject, LiveTurn, RunId,
///     conformance::dispatcher::{Act, Calls, Scripted, Stage, turn},
///     dispatch::InProcess,
/// };
///
/// type Scripts = Arc<Mutex<HashMap<RunId, (Vec<Act>, Calls)>>>;
///
/// #[derive(Debug)]
/// struct Theatre {
///     dispatcher: InProcess,
///     scripts: Scripts,
/// }
///
/// async fn play(scripts: Scripts, turn: LiveTurn) -> Result<String, BoxError> {
///     let (script, calls) = scripts.lock().unwrap()[&turn.run.id].clone();
///     let _call = calls.begin();
///     match &script[..] {
///         [Act::Reply(text)] => Ok(text.clone()),
///         _ => Err("the agent failed".into()),
///     }
/// }
///
/// #[async_trait]
/// impl Stage for Theatre {
///     fn dispatcher(&self) -> &dyn Dispatcher {
///         &self.dispatcher
///     }
///
///     fn delivers(&self) -> bool {
///         false
///     }
///
///     async fn script(&self, script: Vec<Act>) -> Option<Scripted> {
///         let Act::Reply(text) = script.first()? else { return None };
///         let config = JsonObject::empty().with("handler", "actor");
///         let (turn, calls) = (turn("in_process", config, "Go on!"), Calls::default());
///         let text = text.clone();
///         self.scripts.lock().unwrap().insert(turn.run.id, (script, calls.clone()));
///         Some(Scripted { turn, text, calls: Some(calls) })
///     }
/// }
///
/// async fn fresh_stage() -> Theatre {
///     let scripts = Scripts::default();
///     let own = Arc::clone(&scripts);
///     let actor = move |turn: LiveTurn| play(Arc::clone(&own), turn);
///     Theatre { dispatcher: InProcess::default().with("actor", actor), scripts }
/// }
///
/// nexo_core::dispatcher_conformance!(fresh_stage);
/// ```
#[async_trait]
pub trait Stage: fmt::Debug + Send + Sync + 'static {
    /// The dispatcher that is tested.
    fn dispatcher(&self) -> &dyn Dispatcher;

    /// Whether something is sent to agents of this kind, of which a
    /// [`Delivery`](crate::Delivery) tells.
    fn delivers(&self) -> bool;

    /// Prepares an agent that does this in a turn, the same each time it is asked. `None` if
    /// agents of this kind can't do it.
    async fn script(&self, script: Vec<Act>) -> Option<Scripted>;
}

/// An agent that was told what to do.
#[derive(Debug)]
pub struct Scripted {
    /// A turn of its own, in which it is asked.
    pub turn: Turn,
    /// All the text of its reply, should it come to its end: that of the script, unless such an
    /// agent says it in words of its own.
    pub text: String,
    /// How often it is called, if that can be known.
    pub calls: Option<Calls>,
}

/// How often an agent was called. Clones count the same.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicUsize,
    over: AtomicUsize,
}

impl Calls {
    /// It is called now. The call is over when this is dropped: because the agent has done all
    /// that it has to, or because it noticed that nobody listens any more.
    #[must_use]
    pub fn begin(&self) -> Call {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        Call(self.clone())
    }

    fn begun(&self) -> usize {
        self.0.begun.load(Ordering::SeqCst)
    }

    fn are_over(&self) -> bool {
        self.0.over.load(Ordering::SeqCst) == self.begun()
    }
}

/// A call of an agent, until it is dropped.
#[derive(Debug)]
pub struct Call(Calls);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.0.over.fetch_add(1, Ordering::SeqCst);
    }
}

/// A turn for an agent of this kind with this configuration, in which `text` is asked.
#[must_use]
pub fn turn(kind: &str, config: JsonObject, text: &str) -> Turn {
    let now = SystemClock.now();
    let app = App {
        id: AppId::new(),
        owner: "owner".parse().expect("a short name"),
        name: "App".into(),
        description: None,
        webhook_url: None,
        webhook_secret: None,
        previous_secret: None,
        config: JsonObject::empty(),
        default_agent: AgentId::new(),
        created_at: now,
        updated_at: now,
    };
    let agent = NewAgent { name: "agent".into(), kind: kind.into(), config };
    let agent = agent.in_app(app.id, now);
    Turn::sample(app, agent, text, now)
}

suite! { $
    /// Makes a test of each promise of [`Dispatcher`](crate::Dispatcher), in the calling crate.
    ///
    /// It takes the path of an async function that gives a
    /// [`Stage`](crate::conformance::dispatcher::Stage), or a stage and what has to live as long;
    /// see [`conformance`](crate::conformance).
    macro dispatcher_conformance(dispatcher: Arc<dyn Stage>) from FreshStage;

    promises {
        nothing_happens_before_the_stream_is_polled,
        pieces_come_in_their_order,
        a_reply_in_one_piece_is_one_reply,
        text_comes_as_it_was_said,
        an_empty_reply_is_a_reply,
        a_failure_is_the_last_item,
        an_agent_that_is_only_busy_may_be_asked_again,
        an_answer_that_breaks_off_is_not_taken_for_whole,
        an_answer_that_comes_later_is_pending,
        what_was_sent_is_told_once_and_last,
        dropping_the_stream_ends_the_call,
        an_answer_that_is_not_wanted_can_be_given_up,
        a_reply_may_be_so_long,
        a_reply_that_is_too_long_is_a_failure,
        an_agent_that_never_stops_is_stopped,
        answers_at_once_do_not_mix,
        a_turn_that_is_put_again_is_answered_again,
    }
}
