//! A conversation in the terminal, with an app of a running server.
//!
//! ```sh
//! NEXO_EMAIL=nora@example.com NEXO_PASSWORD='Bakery#2026' cargo run -p chat-cli
//! ```
//!
//! The answer is shown as it comes. It goes on when the server is restarted in the middle of it,
//! or killed: what was asked is asked once, and what was read is not read again.
//!
//! `--help` lists the rest, such as `--thread`, which continues a conversation.

mod answer;
mod client;
mod screen;

use std::{error::Error, io, process::ExitCode};

use clap::Parser;
use client::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// Talks with an app of a Nexo server.
#[derive(Parser)]
struct Arguments {
    /// Where the server is
    #[arg(long, env = "NEXO_SERVER", default_value = "http://localhost:8000")]
    server: String,
    /// A token of somebody who is signed in
    #[arg(long, env = "NEXO_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Whom to sign in, where there is no token; the password is read from NEXO_PASSWORD
    #[arg(long, env = "NEXO_EMAIL")]
    email: Option<String>,
    /// Which app to talk with; the oldest one if it is not said
    #[arg(long)]
    app: Option<String>,
    /// Which thread to continue; a new one if it is not said
    #[arg(long)]
    thread: Option<String>,
}

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> ExitCode {
    match talk(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen::warn(&format!("{error}"));
            ExitCode::FAILURE
        }
    }
}

async fn talk(arguments: Arguments) -> Result<()> {
    let client = sign_in(&arguments).await?;
    let app = match arguments.app {
        Some(app) => app,
        None => oldest_app(&client).await?,
    };
    let path = match arguments.thread {
        Some(thread) => continued(&client, &app, &thread).await?,
        None => opened(&client, &app).await?,
    };
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        screen::show("> ")?;
        let Some(line) = lines.next_line().await? else { break };
        if !line.trim().is_empty() {
            answer::ask(&client, &app, &path, &line).await?;
        }
    }
    screen::show("\n")?;
    Ok(())
}

async fn sign_in(arguments: &Arguments) -> Result<Client> {
    let client = Client::new(&arguments.server)?;
    if let Some(token) = &arguments.token {
        return Ok(client.with_token(token));
    }
    let email = arguments.email.as_deref().ok_or("neither a token nor an e-mail address")?;
    let password = std::env::var("NEXO_PASSWORD")?;
    let form = [("username", email), ("password", &password)];
    let login: Value =
        client.send(|| client.post("/auth/jwt/login").form(&form)).await?.json().await?;
    Ok(client.with_token(text(&login["access_token"])?))
}

async fn oldest_app(client: &Client) -> Result<String> {
    let apps: Value = client.send(|| client.get("/apps/?size=1")).await?.json().await?;
    let app = apps["items"].get(0).ok_or("there is no app yet")?;
    screen::show(&format!("({})\n", text(&app["name"])?))?;
    Ok(text(&app["id"])?.to_owned())
}

/// Opens a thread, and gives its path.
async fn opened(client: &Client, app: &str) -> Result<String> {
    let (path, key) = (format!("/apps/{app}/threads"), client::new_key());
    let title = json!({"title": "From a terminal"});
    let opened = client.send(|| client.post(&path).header(client::KEY, &key).json(&title)).await?;
    let opened: Value = opened.json().await?;
    let thread = text(&opened["thread"]["id"])?;
    screen::show(&format!("(continue this with --app {app} --thread {thread})\n"))?;
    if let Some(greeting) = opened["initial_message"]["content"].as_str() {
        screen::show(&format!("{greeting}\n"))?;
    }
    Ok(format!("{path}/{thread}"))
}

/// Shows what was said last in a thread, and gives its path.
async fn continued(client: &Client, app: &str, thread: &str) -> Result<String> {
    let path = format!("/apps/{app}/threads/{thread}");
    let messages = client.send(|| client.get(&format!("{path}/messages?limit=10"))).await?;
    let messages: Vec<Value> = messages.json().await?;
    for message in messages {
        let prompt = if message["role"] == "user" { "> " } else { "" };
        screen::show(&format!("{prompt}{}\n", message["content"].as_str().unwrap_or_default()))?;
    }
    Ok(path)
}

/// A text that a server's answer has to have.
fn text(value: &Value) -> io::Result<&str> {
    value.as_str().ok_or_else(|| io::Error::other("that is no answer of a Nexo server"))
}
