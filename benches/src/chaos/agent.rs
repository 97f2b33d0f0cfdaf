//! The agents that are asked, in this process: they answer as the message says, and write down
//! what they were asked and what they said.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

use crate::{
    history::{Ending, History},
    script::{Manner, Script},
};

const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// The agents. They end with this.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    hanging: Arc<AtomicUsize>,
    release: Arc<Notify>,
    listening: JoinHandle<()>,
}

impl Agent {
    /// Listens on a free port of the loopback interface.
    pub(crate) async fn start(history: &Arc<History>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let desk =
            Desk { history: Arc::clone(history), hanging: Arc::default(), release: Arc::default() };
        let (hanging, release) = (Arc::clone(&desk.hanging), Arc::clone(&desk.release));
        let listening = tokio::spawn(desk.listen(listener));
        Ok(Self { address, hanging, release, listening })
    }

    /// Breaks off the calls that hang.
    pub(crate) fn let_go(&self) {
        self.release.notify_waiters();
    }

    /// How many calls wait for an answer that never comes.
    pub(crate) fn hanging(&self) -> usize {
        self.hanging.load(Ordering::Relaxed)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

#[derive(Clone)]
struct Desk {
    history: Arc<History>,
    hanging: Arc<AtomicUsize>,
    release: Arc<Notify>,
}

/// A turn, as far as it is of interest.
#[derive(Default)]
struct Turn {
    run: String,
    attempt: i32,
    body: Vec<u8>,
}

impl Turn {
    fn message(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        Some(body["message"]["content"].as_str()?.to_owned())
    }
}

impl Desk {
    async fn listen(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let desk = self.clone();
            // A connection that breaks is none of our business beyond what is written down.
            tokio::spawn(async move { desk.serve(stream).await.ok() });
        }
    }

    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        while let Some(turn) = read_turn(&mut stream).await? {
            let Some(manner) = turn.message().as_deref().and_then(Manner::of) else {
                return Ok(());
            };
            match Script::new(manner, &turn.run, turn.attempt) {
                Some(script) => self.answer(&turn, script, &mut stream).await?,
                None => return self.hang(&mut stream).await,
            }
        }
        Ok(())
    }

    async fn hang(&self, stream: &mut BufReader<TcpStream>) -> io::Result<()> {
        self.hanging.fetch_add(1, Ordering::Relaxed);
        let gone = tokio::select! {
            gone = stream.read_u8() => gone.map(drop),
            () = self.release.notified() => Ok(()),
        };
        self.hanging.fetch_sub(1, Ordering::Relaxed);
        gone
    }

    async fn answer(
        &self,
        turn: &Turn,
        script: Script,
        stream: &mut BufReader<TcpStream>,
    ) -> io::Result<()> {
        let speech = self.history.begin(&turn.run, turn.attempt);
        let said = self.speak(speech, script, stream).await;
        let ending = if said.is_ok() { Ending::Whole } else { Ending::Cut(self.history.now()) };
        self.history.end(speech, ending);
        said
    }

    async fn speak(
        &self,
        speech: usize,
        script: Script,
        stream: &mut BufReader<TcpStream>,
    ) -> io::Result<()> {
        if script.is_stream {
            stream.get_mut().write_all(STREAM_HEAD.as_bytes()).await?;
        }
        for (pause, piece) in script.pieces {
            wait(pause, stream).await?;
            self.history.say(speech, &piece);
            let text = if script.is_stream { delta(&piece) } else { reply(&piece) };
            stream.get_mut().write_all(text.as_bytes()).await?;
        }
        if script.is_stream {
            let end = chunk("event: done\ndata: {}\n\n") + "0\r\n\r\n";
            stream.get_mut().write_all(end.as_bytes()).await?;
        }
        Ok(())
    }
}

/// Waits, unless whoever asked goes away.
async fn wait(pause: Duration, stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    match tokio::time::timeout(pause, stream.read_u8()).await {
        Err(_) => Ok(()),
        Ok(_) => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// Reads one request whole.
async fn read_turn(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Turn>> {
    let (mut turn, mut length, mut line) = (Turn::default(), 0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let text = line.trim_end().to_ascii_lowercase();
        if text.is_empty() {
            break;
        }
        match text.split_once(": ") {
            Some(("webhook-id", value)) => turn.run = value.to_owned(),
            Some(("x-attempt", value)) => turn.attempt = value.parse().unwrap_or(0),
            Some(("content-length", value)) => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    turn.body.resize(length, 0);
    stream.read_exact(&mut turn.body).await?;
    Ok(Some(turn))
}

fn reply(text: &str) -> String {
    let body = json!({"reply": text}).to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn delta(text: &str) -> String {
    let data = json!({"text": text});
    chunk(&format!("event: delta\ndata: {data}\n\n"))
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}
