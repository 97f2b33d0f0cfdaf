//! A client that costs little: one connection, written and read by hand.

use std::io;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// One kept connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    host: String,
    token: Option<String>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> io::Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

impl Client {
    /// Connects to `http://host:port`.
    pub(crate) async fn connect(server: &str, token: Option<&str>) -> io::Result<Self> {
        let host = server.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let stream = TcpStream::connect(&host).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host, token: token.map(str::to_owned) })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> io::Result<Answer> {
        self.write(method, path, "application/json", body).await?;
        self.read().await
    }

    /// Sends a form and reads the whole answer.
    pub(crate) async fn send_form(&mut self, path: &str, body: &str) -> io::Result<Answer> {
        self.write("POST", path, "application/x-www-form-urlencoded", body).await?;
        self.read().await
    }

    /// Sends a request and waits for the first bytes of an event called `delta`; then reads on
    /// to the end. Gives how many deltas came.
    pub(crate) async fn stream(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
        mut on_delta: impl FnMut(),
    ) -> io::Result<u32> {
        self.write(method, path, "application/json", body).await?;
        let (status, length) = self.read_head().await?;
        if status != 200 || length.is_some() {
            return Err(io::Error::other(format!("status {status} instead of a stream")));
        }
        let mut deltas = 0;
        while let Some(piece) = self.read_chunk().await? {
            let found = piece.windows(12).filter(|it| *it == b"event: delta").count();
            (0..found).for_each(|_| on_delta());
            deltas += u32::try_from(found).unwrap_or(0);
        }
        Ok(deltas)
    }

    async fn write(&mut self, method: &str, path: &str, kind: &str, body: &str) -> io::Result<()> {
        let host = &self.host;
        let token = self.token.as_ref();
        let auth = token.map(|it| format!("authorization: Bearer {it}\r\n")).unwrap_or_default();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{auth}content-type: {kind}\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes()).await
    }

    async fn read(&mut self) -> io::Result<Answer> {
        let (status, length) = self.read_head().await?;
        let mut body = Vec::new();
        match length {
            Some(length) => {
                body.resize(length, 0);
                self.stream.read_exact(&mut body).await?;
            }
            None => {
                while let Some(piece) = self.read_chunk().await? {
                    body.extend(piece);
                }
            }
        }
        Ok(Answer { status, body })
    }

    /// The status, and the length of the body unless it comes in chunks.
    async fn read_head(&mut self) -> io::Result<(u16, Option<usize>)> {
        let (mut line, mut status, mut length) = (String::new(), 0, Some(0));
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end().to_ascii_lowercase();
            if text.is_empty() {
                return Ok((status, length));
            }
            if let Some(rest) = text.strip_prefix("http/1.1 ") {
                status = rest.get(..3).and_then(|it| it.parse().ok()).unwrap_or(0);
            } else if let Some(value) = text.strip_prefix("content-length: ") {
                length = value.parse().ok();
            } else if text == "transfer-encoding: chunked" {
                length = None;
            }
        }
    }

    async fn read_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        let mut piece = vec![0; size + 2];
        self.stream.read_exact(&mut piece).await?;
        piece.truncate(size);
        Ok((size > 0).then_some(piece))
    }
}
