//! A client that costs little: one connection, written and read by hand.

use std::io;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// One kept connection.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    /// What every request's head says beside its own.
    headers: String,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn json(&self) -> io::Result<Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// What comes back before the body.
#[derive(Debug, Default)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The value of a header; its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// Whether the body comes piece by piece.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.header("transfer-encoding") == Some("chunked")
    }

    fn length(&self) -> usize {
        self.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

impl Client {
    /// Connects to `http://host:port`.
    ///
    /// # Errors
    ///
    /// If nobody listens there.
    pub async fn connect(server: &str, token: Option<&str>) -> io::Result<Self> {
        let host = server.trim_start_matches("http://").trim_end_matches('/');
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let client = Self { stream: BufReader::new(stream), headers: format!("host: {host}\r\n") };
        Ok(match token {
            Some(token) => client.with_header("authorization", &format!("Bearer {token}")),
            None => client,
        })
    }

    /// Sends this header with every request.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn send(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        self.write(method, path, "application/json", body).await?;
        self.read().await
    }

    /// Sends a form and reads the whole answer.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn send_form(&mut self, path: &str, body: &str) -> io::Result<Answer> {
        self.write("POST", path, "application/x-www-form-urlencoded", body).await?;
        self.read().await
    }

    /// Sends a request and reads the answer's head; [`Client::next_piece`] has the rest.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn open(&mut self, method: &str, path: &str, body: &str) -> io::Result<Head> {
        self.write(method, path, "application/json", body).await?;
        self.read_head().await
    }

    /// The same, where the body has to come in pieces.
    ///
    /// # Errors
    ///
    /// If the connection breaks, or the answer is no stream.
    pub async fn open_stream(&mut self, method: &str, path: &str, body: &str) -> io::Result<()> {
        let head = self.open(method, path, body).await?;
        if head.status == 200 && head.is_stream() {
            return Ok(());
        }
        Err(io::Error::other(format!("status {} instead of a stream", head.status)))
    }

    /// The next piece of a body that comes in pieces; `None` at its end.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        let mut piece = vec![0; size + 2];
        self.stream.read_exact(&mut piece).await?;
        piece.truncate(size);
        Ok((size > 0).then_some(piece))
    }

    async fn write(&mut self, method: &str, path: &str, kind: &str, body: &str) -> io::Result<()> {
        let (headers, length) = (&self.headers, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{headers}content-type: {kind}\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes()).await
    }

    async fn read(&mut self) -> io::Result<Answer> {
        let head = self.read_head().await?;
        let mut body = vec![0; head.length()];
        self.stream.read_exact(&mut body).await?;
        while head.is_stream() {
            let Some(piece) = self.next_piece().await? else { break };
            body.extend(piece);
        }
        Ok(Answer { status: head.status, body })
    }

    async fn read_head(&mut self) -> io::Result<Head> {
        let (mut line, mut head) = (String::new(), Head::default());
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end();
            if text.is_empty() {
                return Ok(head);
            }
            if let Some(rest) = text.strip_prefix("HTTP/1.1 ") {
                head.status = rest.get(..3).and_then(|it| it.parse().ok()).unwrap_or(0);
            } else if let Some((name, value)) = text.split_once(": ") {
                head.headers.push((name.to_ascii_lowercase(), value.to_owned()));
            }
        }
    }
}

/// A member of an answer that has to be a text.
///
/// # Errors
///
/// If it is none.
pub fn text(value: &Value) -> io::Result<String> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| io::Error::other(format!("a text was expected, not {value}")))
}
