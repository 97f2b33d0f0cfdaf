//! A program that does as it is told: the agent of the conformance tests.
//!
//! It reads a script on its standard input, and says on a connection to the port of its first
//! argument that it is there, which is confirmed: the connection ends with the program.

use std::{
    env,
    error::Error,
    io::{Read, Write, stdin, stdout},
    net::TcpStream,
    process::{abort, exit},
    thread::park,
};

use custom_dispatcher::BUSY;
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = env::args().nth(1).ok_or("the port is missing")?.parse()?;
    let mut script = String::new();
    stdin().read_to_string(&mut script)?;
    let mut script: Value = serde_json::from_str(&script)?;
    let mut call = TcpStream::connect(("127.0.0.1", port))?;
    writeln!(call, "{}", script["call"])?;
    call.read_exact(&mut [0])?;
    for act in script["acts"].as_array_mut().ok_or("there are no acts")? {
        let text = act["text"].as_str().unwrap_or_default();
        match act["act"].as_str() {
            Some("say") => say(text)?,
            Some("babble") => loop {
                say(text)?;
            },
            Some("hang") => loop {
                park();
            },
            Some("fail") => exit(1),
            Some("refuse") => exit(BUSY),
            _ => abort(),
        }
    }
    Ok(())
}

fn say(text: &str) -> std::io::Result<()> {
    stdout().write_all(text.as_bytes())?;
    stdout().flush()
}
