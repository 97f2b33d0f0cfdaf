//! A client that shows the bytes as they are: what it sends and reads is written out by hand,
//! since any real client would hide half of what the cases are about.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, tcp::OwnedReadHalf},
    time::timeout,
};

/// More than any answer takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Who calls: a server's address, and the headers that say who it is.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    server: SocketAddr,
    prefix: String,
    source: Option<IpAddr>,
    headers: Vec<(String, Vec<u8>)>,
}

impl Caller {
    /// Somebody who does not say who they are.
    pub(crate) fn nobody(server: SocketAddr, prefix: &str) -> Self {
        Self { server, prefix: prefix.to_owned(), source: None, headers: Vec::new() }
    }

    /// The same from this address of the machine.
    pub(crate) fn from(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// The same with a bearer token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.with("authorization", format!("Bearer {token}"))
    }

    /// The same with a partner's headers.
    pub(crate) fn partner(self, app: &str, secret: &str) -> Self {
        self.with("x-app-id", app).with("x-app-secret", secret)
    }

    pub(crate) fn call(&self, method: &str, target: &str) -> Call {
        Call {
            server: self.server,
            source: self.source,
            method: method.to_owned(),
            target: format!("{}{target}", self.prefix),
            headers: self.headers.clone(),
            body: Vec::new(),
        }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.call("GET", target).send().await
    }

    pub(crate) async fn delete(&self, target: &str) -> Answer {
        self.call("DELETE", target).send().await
    }

    pub(crate) async fn post(&self, target: &str, body: Value) -> Answer {
        self.call("POST", target).json(&body).send().await
    }

    pub(crate) async fn patch(&self, target: &str, body: Value) -> Answer {
        self.call("PATCH", target).json(&body).send().await
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    server: SocketAddr,
    source: Option<IpAddr>,
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Call {
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// With a body of this type, and its true length.
    pub(crate) fn body(self, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        self.header("content-type", content_type).untyped(body)
    }

    /// With a body that does not say what it is.
    pub(crate) fn untyped(self, body: impl AsRef<[u8]>) -> Self {
        let length = body.as_ref().len().to_string();
        let mut call = self.header("content-length", length);
        call.body = body.as_ref().to_vec();
        call
    }

    /// With these bytes after the head, whatever the headers say about them.
    pub(crate) fn raw(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub(crate) async fn send(self) -> Answer {
        let call = format!("{} {}", self.method, self.target);
        let head_only = self.method == "HEAD";
        let mut stream = self.header("connection", "close").open().await;
        let body = if head_only { Vec::new() } else { stream.rest().await };
        Answer { call, status: stream.status, headers: stream.headers, body }
    }

    /// Sends the request and reads the answer's head.
    pub(crate) async fn open(self) -> Stream {
        let call = format!("{} {}", self.method, self.target);
        timeout(PATIENCE, self.exchange()).await.unwrap_or_else(|_| panic!("{call}: no answer"))
    }

    /// Sends the request, closes its own side, and gives the bytes that come back.
    pub(crate) async fn break_off(self) -> String {
        self.raw_answer(true).await
    }

    /// Sends the request, and gives the bytes that come back until the server closes.
    pub(crate) async fn bytes_of_answer(self) -> String {
        self.header("connection", "close").raw_answer(false).await
    }

    async fn raw_answer(self, breaks_off: bool) -> String {
        let call = format!("{} {}", self.method, self.target);
        let mut socket = connect(self.server, self.source).await.unwrap();
        let mut answer = Vec::new();
        let exchange = async {
            socket.write_all(&self.bytes()).await.unwrap();
            if breaks_off {
                socket.shutdown().await.unwrap();
            }
            // A connection that is reset has said all that it had to say.
            let _ = socket.read_to_end(&mut answer).await;
        };
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_| panic!("{call}: it stays open"));
        String::from_utf8(answer).unwrap()
    }

    async fn exchange(self) -> Stream {
        let socket = connect(self.server, self.source).await.unwrap();
        let (read, mut write) = socket.into_split();
        let request = self.bytes();
        // A server may refuse before it has read everything, so both go on at once, and that
        // the rest can't be written any more is no mistake of the server's.
        let writing = tokio::spawn(async move {
            let _ = write.write_all(&request).await;
            write
        });
        let mut stream = Stream::read_head(read).await;
        stream.writing = Some(writing);
        stream
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        bytes.extend(format!("host: {}\r\n", self.server).into_bytes());
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}

async fn connect(server: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let socket = socket.connect(server).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    call: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header, which came once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body as JSON, which it says it is.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self}: {error}"))
    }

    /// The JSON body of an answer with status 200.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        self.is(200)
    }

    /// The JSON body of an answer with this status.
    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        self.json()
    }

    /// Asserts that it is an error with this status and key.
    #[track_caller]
    pub(crate) fn fails(&self, status: u16, key: &str) {
        assert_eq!(self.is(status), serde_json::json!({"detail": key}), "{self}");
    }

    /// The entries of a validation error.
    #[track_caller]
    pub(crate) fn violations(&self) -> Vec<Value> {
        let body = self.is(422);
        let entries = body["detail"].as_array().unwrap_or_else(|| panic!("{self}")).clone();
        for entry in &entries {
            for member in ["type", "loc", "msg", "input"] {
                assert!(entry.get(member).is_some(), "{self}: no {member}");
            }
        }
        entries
    }

    /// Type and place of each violation.
    #[track_caller]
    pub(crate) fn violates(&self, expected: &[(&str, &[&str])]) {
        let entries = self.violations();
        let found: Vec<(&str, Vec<String>)> =
            entries.iter().map(|it| (it["type"].as_str().unwrap(), loc(it))).collect();
        let expected: Vec<(&str, Vec<String>)> = expected
            .iter()
            .map(|(kind, loc)| (*kind, loc.iter().map(ToString::to_string).collect()))
            .collect();
        assert_eq!(found, expected, "{self}");
    }
}

/// The steps to where a violation is; a number as text.
fn loc(entry: &Value) -> Vec<String> {
    let steps = entry["loc"].as_array().unwrap().iter();
    steps.map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned)).collect()
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} -> {} {}", self.call, self.status, body.get(..2_000).unwrap_or(&body))
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut values = headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
    let value = values.next();
    assert!(values.next().is_none(), "{name} came more than once");
    value.map(|(_, value)| value.as_str())
}

/// How much of a stream is read at once, in turn: sizes that cut it anywhere, other ones for
/// each seed, and the same in every run of a case.
#[derive(Clone, Debug)]
pub(crate) struct Sizes(u64);

impl Sizes {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 1 to 4096, and small ones as often as large ones: an xorshift generator.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let most = 1 << ((self.0 >> 32) % 13);
        1 + self.0 % most
    }

    /// The same bytes in pieces of these sizes.
    pub(crate) fn cut(mut self, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let size = usize::try_from(self.next()).unwrap().min(bytes.len());
            let (piece, rest) = bytes.split_at(size);
            pieces.push(piece.to_vec());
            bytes = rest;
        }
        pieces
    }
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    Length(usize),
    Close,
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    read: OwnedReadHalf,
    /// Dropping it closes the connection.
    writing: Option<tokio::task::JoinHandle<tokio::net::tcp::OwnedWriteHalf>>,
    buffer: Vec<u8>,
    framing: Framing,
    sizes: Sizes,
    ended: bool,
}

impl Stream {
    async fn read_head(mut read: OwnedReadHalf) -> Self {
        let mut buffer = Vec::new();
        let end = loop {
            if let Some(end) = find(&buffer, b"\r\n\r\n") {
                break end;
            }
            let count = read.read_buf(&mut buffer).await.unwrap_or_default();
            assert!(count > 0, "the connection closed without an answer");
        };
        let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
        let buffer = buffer.split_off(end + 4);
        let (status, headers) = parse_head(&head);
        let framing = framing(status, &headers);
        Self {
            status,
            headers,
            read,
            writing: None,
            buffer,
            framing,
            sizes: Sizes::seeded(1),
            ended: false,
        }
    }

    /// The value of a header, which came once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Goes on reading in these sizes.
    pub(crate) fn read_in(&mut self, sizes: Sizes) {
        self.sizes = sizes;
    }

    /// The next chunk of a chunked body; `None` after the last.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        timeout(PATIENCE, self.read_chunk()).await.expect("no chunk came")
    }

    async fn read_chunk(&mut self) -> Option<Vec<u8>> {
        assert_eq!(self.framing, Framing::Chunked, "the body is not chunked");
        if self.ended {
            return None;
        }
        let line = loop {
            match find(&self.buffer, b"\r\n") {
                Some(end) => break end,
                None => assert!(self.fill().await, "the body broke off"),
            }
        };
        let size = std::str::from_utf8(&self.buffer[..line]).unwrap();
        let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).unwrap();
        let end = line + 2 + size;
        while self.buffer.len() < end + 2 {
            assert!(self.fill().await, "the body broke off");
        }
        let chunk = self.buffer[line + 2..end].to_vec();
        assert_eq!(&self.buffer[end..end + 2], b"\r\n");
        self.buffer.drain(..end + 2);
        self.ended = size == 0;
        (size > 0).then_some(chunk)
    }

    async fn rest(&mut self) -> Vec<u8> {
        timeout(PATIENCE, self.read_rest()).await.expect("the body does not end")
    }

    async fn read_rest(&mut self) -> Vec<u8> {
        if self.framing == Framing::Chunked {
            let mut all = Vec::new();
            while let Some(chunk) = self.read_chunk().await {
                all.extend(chunk);
            }
            return all;
        }
        let wanted = if let Framing::Length(length) = self.framing { length } else { usize::MAX };
        while self.buffer.len() < wanted && self.fill().await {}
        if wanted != usize::MAX {
            assert!(self.buffer.len() >= wanted, "the body is shorter than it said");
            // What is said after a request may be refused in an answer of its own.
            let more = self.buffer.split_off(wanted);
            let is_refusal = more.starts_with(b"HTTP/1.1 400 ");
            assert!(more.is_empty() || is_refusal, "the body is longer than it said");
        }
        std::mem::take(&mut self.buffer)
    }

    async fn fill(&mut self) -> bool {
        let streamed = self.framing == Framing::Chunked;
        let most = if streamed { self.sizes.next() } else { u64::MAX };
        let read = (&mut self.read).take(most).read_buf(&mut self.buffer).await;
        read.unwrap_or_default() > 0
    }
}

fn parse_head(head: &str) -> (u16, Vec<(String, String)>) {
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    });
    (status, headers.collect())
}

fn framing(status: u16, headers: &[(String, String)]) -> Framing {
    if status == 204 || status == 304 {
        return Framing::Length(0);
    }
    if header(headers, "transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked")) {
        return Framing::Chunked;
    }
    match header(headers, "content-length") {
        Some(length) => Framing::Length(length.parse().unwrap()),
        None => Framing::Close,
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
