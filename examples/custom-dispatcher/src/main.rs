//! Asks a program as an agent, through a dispatcher of one's own.
//!
//! ```sh
//! cargo run -p custom-dispatcher                      # an agent that is `cat`: it says it back
//! cargo run -p custom-dispatcher -- sh -c 'for word in $(cat); do sleep 0.2; echo "$word?"; done'
//! cargo test -p custom-dispatcher                     # that it keeps every promise
//! ```

use std::{
    env,
    error::Error,
    io::{Write, stdout},
    sync::Arc,
};

use custom_dispatcher::{PROGRAM, Programs};
use nexo_core::{
    JsonObject, NewAgent, NewMessage, NewThread, Nexo, Role, RunEvent, RunOptions, Scope,
};

const QUESTION: &str = "Two loaves of rye bread";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut command: Vec<String> = env::args().skip(1).collect();
    if command.is_empty() {
        command.push("cat".to_owned());
    }
    let programs = Programs::default().with("given", command);
    let nexo = Nexo::builder().dispatcher(PROGRAM, Arc::new(programs)).build();
    let agent = NewAgent {
        name: "program".to_owned(),
        kind: PROGRAM.to_owned(),
        config: JsonObject::empty().with("program", "given"),
    };
    let app = nexo.ensure_app("bakery".parse()?, "Bakery desk", [agent]).await?;

    let scope = Scope::App(app.id);
    let (thread, _) = nexo.store().create_thread(&scope, app.id, NewThread::default()).await?;
    let said = NewMessage::new(Role::User, QUESTION);
    let options = RunOptions::default();
    let asked = nexo.engine().ask(&scope, app.id, thread.id, said, options, None).await?;
    let (_, mut run) = asked.made;
    while let Some(event) = run.next().await {
        match event {
            RunEvent::Delta(text) => {
                write!(stdout(), "{text}")?;
                stdout().flush()?;
            }
            RunEvent::Error(failure) => writeln!(stdout(), "it failed: {failure}")?,
            RunEvent::End(_) => writeln!(stdout())?,
            RunEvent::Meta { .. } | RunEvent::Reset { .. } => {}
        }
    }
    Ok(())
}
