//! The agent that is called: it answers with JSON at once, or streams tokens as a model does.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

const REPLY: &str = r#"{"reply":"Yes, flour, water, salt."}"#;
const TOKENS: usize = 64;
const TOKEN_EVERY: Duration = Duration::from_millis(20);
const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// Listens on a free port of the loopback interface.
pub(crate) async fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

async fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(path) = read_request(&mut stream).await? {
        if path.starts_with("/stream") {
            stream_tokens(stream.get_mut()).await?;
        } else {
            stream.get_mut().write_all(json_answer().as_bytes()).await?;
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

async fn stream_tokens(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(STREAM_HEAD.as_bytes()).await?;
    let token = chunk("event: delta\ndata: {\"text\":\"token \"}\n\n");
    let mut pace = tokio::time::interval(TOKEN_EVERY);
    for _ in 0..TOKENS {
        pace.tick().await;
        stream.write_all(token.as_bytes()).await?;
    }
    let end = chunk("event: done\ndata: {}\n\n") + "0\r\n\r\n";
    stream.write_all(end.as_bytes()).await
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}
