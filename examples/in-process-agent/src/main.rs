//! Nexo without any HTTP: an agent that is a type of this program, asked from this program.
//!
//! ```sh
//! cargo run -p in-process-agent                       # or: -- "What do you bake?" "And when?"
//! ```
//!
//! Each question is put to [`Baker`]. What it says is shown as it comes, and at the end all that
//! was stored of the conversation.

use std::{
    env,
    error::Error,
    io::{Write, stdout},
    time::Duration,
};

use nexo_core::{
    Answer, BoxError, Handler, LiveTurn, Message, MessageRange, NewMessage, NewThread, Nexo, Role,
    RunEvent, RunOptions, RunWatch, Scope, Thread,
};

/// An agent that has something to work with: here only how long it thinks about each word.
struct Baker {
    pause: Duration,
}

impl Handler for Baker {
    async fn answer(&self, turn: LiveTurn) -> Result<Answer, BoxError> {
        if turn.text().is_empty() {
            // Whoever asked learns only that the agent failed; this is for the app's owner.
            return Err("there is nothing to answer".into());
        }
        for word in ["Fresh", "bread,", "at", "six", "in", "the", "morning."] {
            turn.say(format!("{word} ")).await;
            tokio::time::sleep(self.pause).await;
        }
        // What it returns ends the reply. The turn has the conversation so far, too.
        let asked = turn.history.iter().filter(|message| message.role == Role::User).count();
        Ok(format!("(You asked {asked} times.)").into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut questions: Vec<String> = env::args().skip(1).collect();
    if questions.is_empty() {
        questions.push("When do you open?".to_owned());
    }
    // Without a store, everything is kept in memory.
    let baker = Baker { pause: Duration::from_millis(50) };
    let nexo = Nexo::builder().agent("baker", baker).build();
    let app = nexo.ensure_app("bakery".parse()?, "Bakery desk", ["baker"]).await?;
    // Whoever serves requests looks through the scope of the one who asks.
    let scope = Scope::App(app.id);
    let (thread, _) = nexo.store().create_thread(&scope, app.id, NewThread::default()).await?;
    for question in questions {
        ask(&nexo, &scope, &thread, question).await?;
    }
    for message in stored(&nexo, &scope, &thread).await? {
        let text = message.content.unwrap_or_default();
        writeln!(stdout(), "{:>9} {}: {text}", message.role.as_str(), message.seq)?;
    }
    nexo.engine().shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// Says something in the thread and shows the answer. The run is stored before the agent is
/// asked, and lives in a task of the engine: dropping the watch would change nothing about it.
async fn ask(
    nexo: &Nexo,
    scope: &Scope,
    thread: &Thread,
    question: String,
) -> Result<(), Box<dyn Error>> {
    writeln!(stdout(), "> {question}")?;
    let said = NewMessage::new(Role::User, question);
    let options = RunOptions::default();
    let asked = nexo.engine().ask(scope, thread.app, thread.id, said, options, None).await?;
    let (_, run) = asked.made;
    show(run).await
}

/// Shows each piece as it comes. At the end, everything is stored.
async fn show(mut run: RunWatch) -> Result<(), Box<dyn Error>> {
    while let Some(event) = run.next().await {
        match event {
            RunEvent::Delta(text) => {
                write!(stdout(), "{text}")?;
                stdout().flush()?;
            }
            RunEvent::Error(failure) => writeln!(stdout(), "it failed: {failure}")?,
            RunEvent::End(_) => writeln!(stdout(), "\n")?,
            // Who answers, and that a run began again elsewhere, which needs another server.
            RunEvent::Meta { .. } | RunEvent::Reset { .. } => {}
        }
    }
    Ok(())
}

async fn stored(nexo: &Nexo, scope: &Scope, thread: &Thread) -> nexo_core::Result<Vec<Message>> {
    let all = MessageRange::After(0);
    nexo.store().list_messages(scope, thread.app, thread.id, all, 100).await
}
