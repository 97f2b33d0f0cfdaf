//! Agents that are programs: a dispatcher of one's own.
//!
//! A program is started for each turn. It reads on its standard input what the customer said, and
//! writes its reply to the standard output, which is passed on as it comes. Its end says how it
//! went: 0 is a whole reply, [`BUSY`] asks to be tried again, anything else has failed.
//!
//! The rules that any dispatcher keeps are told at [`Dispatcher`], and proved in
//! `tests/conformance.rs`.

use std::{collections::BTreeMap, io, process::Stdio, sync::Arc, time::Duration};

use nexo_core::{
    AgentEvent, AgentStream, Dispatcher, Failure, FailureKind, MAX_REPLY_BYTES, Turn,
    dispatch::{self, Events},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// The kind of agents that are programs.
pub const PROGRAM: &str = "program";

/// The exit code of a program that may answer if it is asked again: `EX_TEMPFAIL`.
pub const BUSY: i32 = 75;

/// How much is read at once. What is passed on is small as well: readers see events of this size.
const PIECE_BYTES: usize = 1024;

/// Asks programs. An agent names one in its configuration, as `program`; which ones there are,
/// and with which arguments, only the host says: a row in a database must not be able to.
#[derive(Debug, Default)]
pub struct Programs {
    commands: BTreeMap<String, Vec<String>>,
}

impl Programs {
    /// The same with one more program: its path and its arguments.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, command: Vec<String>) -> Self {
        self.commands.insert(name.into(), command);
        self
    }

    fn command(&self, turn: &Turn) -> Result<Command, Failure> {
        let named = turn.agent.config.get("program");
        let words = named.and_then(|name| self.commands.get(name.as_str()?));
        let (path, arguments) = words.and_then(|words| words.split_first()).ok_or_else(|| {
            Failure::new(FailureKind::AgentUnavailable, "the agent names no program of this server")
        })?;
        let mut command = Command::new(path);
        command
            .args(arguments)
            // A program that remembers conversations tells them apart by it.
            .env("NEXO_THREAD", turn.thread.id.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // The engine drops the stream when nobody wants the answer any more.
            .kill_on_drop(true);
        Ok(command)
    }
}

impl Dispatcher for Programs {
    /// Everything happens in the stream: one that is never polled starts no program.
    fn dispatch(&self, turn: Arc<Turn>) -> AgentStream {
        let command = self.command(&turn);
        dispatch::stream(move |mut events| async move {
            if let Err(failure) = answer(command, &turn, &mut events).await {
                events.fail(failure).await;
            }
        })
    }
}

/// Has the program answer, from its start to its end.
async fn answer(
    command: Result<Command, Failure>,
    turn: &Turn,
    events: &mut Events,
) -> Result<(), Failure> {
    let mut program = command?.spawn().map_err(|error| unavailable(&error))?;
    let (stdin, stdout) = (program.stdin.take(), program.stdout.take());
    let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(Failure::new(FailureKind::Internal, "the program has no pipes"));
    };
    events.send(AgentEvent::Accepted).await;
    // A program may answer before it has read everything, or without reading anything.
    let reply = Reply { events, text: Pieces::default() };
    tokio::select! {
        () = tell(stdin, turn.text()) => unreachable!("it never ends"),
        said = reply.read(stdout, program, turn.config.timeout) => said,
    }
}

/// Tells the program what the customer said, and then waits for ever: that it was told is not
/// the end of its answer.
async fn tell(mut stdin: ChildStdin, text: &str) {
    // One that doesn't listen is no failure: it may know what to say.
    let _ = stdin.write_all(text.as_bytes()).await;
    drop(stdin);
    std::future::pending().await
}

/// What a program says.
struct Reply<'a> {
    events: &'a mut Events,
    text: Pieces,
}

impl Reply<'_> {
    /// Passes on what comes. A program that is silent for longer than `patience` has failed.
    async fn read(
        mut self,
        mut stdout: ChildStdout,
        mut program: Child,
        patience: Duration,
    ) -> Result<(), Failure> {
        let mut buffer = [0; PIECE_BYTES];
        loop {
            let read = timeout(patience, stdout.read(&mut buffer)).await;
            let count = read.map_err(|_| too_slow(patience))?.map_err(|error| broken(&error))?;
            if count == 0 {
                break;
            }
            if let Some(piece) = self.text.push(&buffer[..count])? {
                self.events.send(AgentEvent::Delta(piece)).await;
            }
        }
        let ended = timeout(patience, program.wait()).await.map_err(|_| too_slow(patience))?;
        judge(ended.map_err(|error| broken(&error))?.code())?;
        if self.text.end()? == 0 {
            // Silence is a reply as well, where the program says that it went well.
            let (text, metadata) = (String::new(), None);
            self.events.send(AgentEvent::Reply { text, metadata }).await;
        }
        Ok(())
    }
}

/// Bytes as they come, cut into texts: a character may come in two parts.
#[derive(Debug, Default)]
struct Pieces {
    bytes: usize,
    /// The beginning of a character.
    rest: Vec<u8>,
}

impl Pieces {
    /// Takes the next bytes, and gives the text that is whole with them.
    fn push(&mut self, bytes: &[u8]) -> Result<Option<String>, Failure> {
        self.bytes += bytes.len();
        if self.bytes > MAX_REPLY_BYTES {
            let why = format!("the reply has more than {MAX_REPLY_BYTES} bytes");
            return Err(Failure::new(FailureKind::WebhookTooLarge, why));
        }
        self.rest.extend_from_slice(bytes);
        let whole = match str::from_utf8(&self.rest) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(not_text()),
        };
        let rest = self.rest.split_off(whole);
        let text = String::from_utf8(std::mem::replace(&mut self.rest, rest));
        Ok(Some(text.map_err(|_| not_text())?).filter(|text| !text.is_empty()))
    }

    /// How many bytes there were in all.
    fn end(&self) -> Result<usize, Failure> {
        if self.rest.is_empty() { Ok(self.bytes) } else { Err(not_text()) }
    }
}

/// What the exit code says; a program that was killed has none.
fn judge(code: Option<i32>) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(FailureKind::WebhookAgentError, why);
    match code {
        Some(0) => Ok(()),
        Some(BUSY) => Err(failed("the program is busy".to_owned()).passing()),
        Some(code) => Err(failed(format!("the program ended with {code}"))),
        None => Err(failed("the program was killed".to_owned())),
    }
}

/// It may be there again in a moment, such as when the machine has too many processes.
fn unavailable(error: &io::Error) -> Failure {
    Failure::new(FailureKind::AgentUnavailable, format!("it does not start: {error}")).passing()
}

fn too_slow(patience: Duration) -> Failure {
    Failure::new(FailureKind::WebhookTimeout, format!("the program was silent for {patience:?}"))
}

fn broken(error: &io::Error) -> Failure {
    Failure::new(FailureKind::WebhookRequestFailed, format!("the answer broke off: {error}"))
}

fn not_text() -> Failure {
    Failure::new(FailureKind::WebhookInvalidStream, "the reply is not UTF-8")
}
