//! The agent that is called: it answers with JSON at once, or streams tokens as a model does.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, interval_at},
};

use crate::{stage::Target, stamps::stamp};

const REPLY: &str = r#"{"reply":"Yes, flour, water, salt."}"#;
const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// How an agent streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) tokens: usize,
    /// From one to the next; the first comes at once.
    pub(crate) every: Duration,
}

impl Pace {
    pub(crate) const fn new(tokens: usize, every_ms: u64) -> Self {
        Self { tokens, every: Duration::from_millis(every_ms) }
    }

    /// How long such a stream takes.
    pub(crate) fn length(self) -> Duration {
        self.every.mul_f64(self.tokens.saturating_sub(1) as f64)
    }

    /// Where the agent streams so.
    pub(crate) fn path(self) -> String {
        format!("/stream/{}/{}", self.tokens, self.every.as_millis())
    }

    fn of_path(path: &str) -> Option<Self> {
        let (tokens, every_ms) = path.strip_prefix("/stream/")?.split_once('/')?;
        Some(Self::new(tokens.parse().ok()?, every_ms.parse().ok()?))
    }
}

/// The agent. It listens for as long as this program runs.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    ends: watch::Sender<()>,
}

impl Agent {
    /// Listens on a free port of the loopback interface.
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, (ends, told)) = (listener.local_addr()?, watch::channel(()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, told.clone()));
            }
        });
        Ok(Self { address, ends })
    }

    /// What is called directly.
    pub(crate) fn target(&self) -> Target {
        Target { server: format!("http://{}", self.address), token: None, process: None }
    }

    /// Ends every stream that is under way.
    pub(crate) fn end_streams(&self) {
        self.ends.send_replace(());
    }
}

async fn serve(stream: TcpStream, mut told: watch::Receiver<()>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(path) = read_request(&mut stream).await? {
        match Pace::of_path(&path) {
            Some(pace) => stream_tokens(stream.get_mut(), pace, &mut told).await?,
            None => stream.get_mut().write_all(json_answer().as_bytes()).await?,
        }
    }
    Ok(())
}

/// Reads one request whole, and gives its path.
async fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let (mut path, mut length, mut line) = (None, 0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        path = path.or_else(|| text.split(' ').nth(1).map(str::to_owned));
        if let Some(value) = text.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(path)
}

fn json_answer() -> String {
    let length = REPLY.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{REPLY}"
    )
}

async fn stream_tokens(
    stream: &mut TcpStream,
    pace: Pace,
    told: &mut watch::Receiver<()>,
) -> io::Result<()> {
    told.mark_unchanged();
    stream.write_all(STREAM_HEAD.as_bytes()).await?;
    // The first one does not wait for a timer, whose milliseconds would be counted.
    stream.write_all(token().as_bytes()).await?;
    let mut ticks = interval_at(Instant::now() + pace.every, pace.every);
    for _ in 1..pace.tokens {
        tokio::select! {
            _ = ticks.tick() => stream.write_all(token().as_bytes()).await?,
            Ok(()) = told.changed() => break,
        }
    }
    let end = chunk("event: done\ndata: {}\n\n") + "0\r\n\r\n";
    stream.write_all(end.as_bytes()).await
}

fn token() -> String {
    chunk(&format!("event: delta\ndata: {{\"text\":\"{}\"}}\n\n", stamp()))
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}
