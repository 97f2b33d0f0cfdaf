//! Passwords from a terminal or a pipe, never from the command line: that is there for every
//! user of the machine to read.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::{Command, Stdio},
};

use nexo_core::Secret;

use crate::error::{Context, Failure, Result};

/// Reads a password: asks for it twice at a terminal, else takes the first line that comes.
pub(super) fn read(from_stdin: bool) -> Result<Secret> {
    if from_stdin {
        return line();
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new("nobody is here to ask for the password; use --password-stdin"));
    }
    let (first, second) = (ask("Password: ")?, ask("Once more: ")?);
    if first == second { Ok(first) } else { Err(Failure::new("the two passwords differ")) }
}

fn ask(prompt: &str) -> Result<Secret> {
    let quiet = Quiet::start();
    let mut terminal = io::stderr();
    let asked = write!(terminal, "{prompt}").and_then(|()| terminal.flush());
    asked.context("the terminal is closed")?;
    let answer = line();
    drop(quiet);
    let _ = writeln!(terminal);
    answer
}

fn line() -> Result<Secret> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("no password can be read")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::new("no password was given"));
    }
    Ok(Secret::new(password))
}

/// A terminal that does not show what is typed, until this is dropped. Where `stty` is
/// missing, it is shown.
struct Quiet;

impl Quiet {
    fn start() -> Self {
        stty("-echo");
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        stty("echo");
    }
}

fn stty(setting: &str) {
    let _ = Command::new("stty").arg(setting).stdin(Stdio::inherit()).status();
}
