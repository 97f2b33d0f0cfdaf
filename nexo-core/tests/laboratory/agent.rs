//! The agents: what they say, and when, is chance.
//!
//! Each turn is answered with words that name it, so that a text tells for ever who said it.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use futures::{StreamExt, stream};
use nexo_core::{AgentEvent, AgentStream, Dispatcher, Failure, FailureKind, RunId, Turn};

use crate::{
    chance::Chance,
    gate::Gate,
    history::{Ending, History, Speech},
    world::World,
};

type Step = Result<AgentEvent, Failure>;

/// The agents as one server reaches them.
pub(crate) struct Agent {
    pub(crate) server: usize,
    pub(crate) gate: Arc<Gate>,
    pub(crate) world: Weak<World>,
}

impl Dispatcher for Agent {
    fn dispatch(&self, turn: Arc<Turn>) -> AgentStream {
        let Some(world) = self.world.upgrade() else { return stream::pending().boxed() };
        let telling = Telling {
            chance: world.chance(),
            history: Arc::clone(&world.history),
            world: self.world.clone(),
            gate: Arc::clone(&self.gate),
            server: self.server,
            turn,
            speech: None,
            deltas: 0,
            ending: Ending::Whole,
            is_over: false,
        };
        stream::unfold(telling, |mut telling| async {
            let step = telling.next().await?;
            Some((step, telling))
        })
        .boxed()
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Agent(s{})", self.server)
    }
}

/// One answer to one turn.
struct Telling {
    chance: Chance,
    history: Arc<History>,
    world: Weak<World>,
    gate: Arc<Gate>,
    server: usize,
    turn: Arc<Turn>,
    /// Its number in the history, once it began.
    speech: Option<usize>,
    /// How many pieces of text are to come.
    deltas: u64,
    ending: Ending,
    is_over: bool,
}

impl Telling {
    async fn next(&mut self) -> Option<Step> {
        if self.is_over {
            return None;
        }
        let speech = match self.speech {
            Some(speech) => speech,
            None => self.begin().await,
        };
        let pause = self.pause();
        tokio::time::sleep(pause).await;
        // A server that stands still hears nothing.
        self.gate.pass().await;
        if self.deltas == 0 {
            return self.end(speech).await;
        }
        self.deltas -= 1;
        let text = self.word(speech);
        self.history.say(speech, &text);
        Some(Ok(AgentEvent::Delta(text)))
    }

    async fn begin(&mut self) -> usize {
        self.gate.pass().await;
        self.ending = match self.chance.below(100) {
            0..55 => Ending::Whole,
            55..65 => Ending::Truncated,
            65..72 => Ending::Failed { passing: false },
            72..82 => Ending::Failed { passing: true },
            82..92 => Ending::Pending,
            _ => Ending::Never,
        };
        let silent = match self.ending {
            Ending::Pending => true,
            Ending::Failed { .. } | Ending::Never => self.chance.percent(60),
            Ending::Whole | Ending::Truncated => false,
        };
        self.deltas = if silent { 0 } else { 1 + self.chance.below(8) };
        let speech = self.history.begin(Speech {
            run: self.turn.run.id,
            thread: self.turn.thread.id,
            server: self.server,
            attempt: self.turn.run.attempt,
            fence: self.turn.run.fence,
            was_still: self.gate.was_still(Duration::from_secs(20)),
            began: self.history.now(),
            ending: self.ending,
            said: String::new(),
            has_ended: false,
        });
        self.speech = Some(speech);
        speech
    }

    fn pause(&mut self) -> Duration {
        match self.chance.below(10) {
            0..4 => self.chance.millis(1..50),
            4..9 => self.chance.millis(50..1_000),
            _ => self.chance.millis(1_000..6_000),
        }
    }

    /// The next piece of text; some are longer than what one delta carries.
    fn word(&mut self, speech: usize) -> String {
        let times = if self.chance.percent(3) { 300 } else { 1 + self.chance.below(3) };
        (0..times).map(|_| format!("«{speech}.{}é» ", self.deltas)).collect()
    }

    async fn end(&mut self, speech: usize) -> Option<Step> {
        if self.ending == Ending::Never {
            return std::future::pending().await;
        }
        self.is_over = true;
        self.history.end(speech);
        match self.ending {
            Ending::Whole | Ending::Never => None,
            Ending::Truncated => Some(Ok(AgentEvent::Truncated)),
            Ending::Failed { passing } => {
                let failure = Failure::new(FailureKind::WebhookRequestFailed, "scripted");
                Some(Err(if passing { failure.passing() } else { failure }))
            }
            Ending::Pending => {
                self.answer_later(speech);
                Some(Ok(AgentEvent::Pending))
            }
        }
    }

    /// The agent answers from outside later, over any server; or it forgets to.
    fn answer_later(&mut self, speech: usize) {
        if self.chance.percent(20) {
            return;
        }
        let (world, run) = (self.world.clone(), self.turn.run.id);
        let (chance, text) = (self.chance.fork(), format!("«{speech} later» "));
        self.history.say(speech, &text);
        tokio::spawn(reply(world, run, text, chance));
    }
}

async fn reply(world: Weak<World>, run: RunId, text: String, mut chance: Chance) -> Option<()> {
    for _ in 0..5 {
        tokio::time::sleep(chance.millis(100..6_000)).await;
        let world = world.upgrade()?;
        let server = world.server(&mut chance);
        let engine = server.nexo.engine().clone();
        let (scope, app) = (world.scope.clone(), world.app);
        let text = text.clone();
        let replying = async move { engine.reply(&scope, app, run, text).await };
        let patience = Duration::from_secs(4);
        let replied = tokio::time::timeout(patience, tokio::spawn(replying)).await;
        world.history.note(|| {
            let outcome = replied.as_ref().map(|it| {
                it.as_ref().map(|it| it.as_ref().map(|m| m.seq).map_err(|error| error.kind()))
            });
            let run = world.history.name(run);
            format!("s{} late reply to {run}: {outcome:?}", server.number)
        });
        if let Ok(Ok(Ok(message))) = replied {
            world.history.accept(run, message.id);
            return Some(());
        }
    }
    None
}
