//! An agent made of a bare socket, so that it can misbehave in every way.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nexo_core::conformance::dispatcher::Calls;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What an agent does after it has read a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Write(Vec<u8>),
    Pause(Duration),
    /// Reads another request from the same connection.
    Next,
    /// Writes the same again and again, with this long in between, until the other side is gone.
    Repeat(Vec<u8>, Duration),
    /// Keeps the connection open until the other side is gone.
    Hang,
}

/// A request as it came off the wire.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// All headers, as names and values.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name, value.trim()))
    }

    /// The value of a header that came once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers()
            .filter_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value));
        let value = values.next();
        assert!(values.next().is_none(), "{name} came more than once");
        value
    }
}

#[derive(Debug)]
pub(crate) struct TestAgent {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    gone: Arc<AtomicUsize>,
    received: Arc<Mutex<Vec<Received>>>,
    accepting: JoinHandle<()>,
}

impl Drop for TestAgent {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl TestAgent {
    /// Does the same for every request, then closes the connection.
    pub(crate) async fn acting(acts: Vec<Act>) -> Self {
        Self::counted(acts, Calls::default()).await
    }

    /// The same for an agent whose calls are counted.
    pub(crate) async fn counted(acts: Vec<Act>, calls: Calls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, gone) = (Arc::default(), Arc::default());
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let state: (Arc<AtomicUsize>, Arc<AtomicUsize>, _) =
            (Arc::clone(&connections), Arc::clone(&gone), Arc::clone(&received));
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                state.0.fetch_add(1, Ordering::SeqCst);
                let (gone, received, acts) =
                    (Arc::clone(&state.1), Arc::clone(&state.2), acts.clone());
                let call = calls.begin();
                tokio::spawn(async move {
                    let _call = call;
                    serve(socket, &acts, &received).await;
                    gone.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, connections, gone, received, accepting }
    }

    pub(crate) async fn writing(answer: impl AsRef<[u8]>) -> Self {
        Self::acting(vec![Act::Write(answer.as_ref().to_vec())]).await
    }

    /// Answers with status 200 and this body, of this type.
    pub(crate) async fn answering(content_type: &str, body: impl AsRef<[u8]>) -> Self {
        Self::writing(response("200 OK", content_type, body)).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many connections have ended.
    pub(crate) fn gone(&self) -> usize {
        self.gone.load(Ordering::SeqCst)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

pub(crate) fn response(status: &str, content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The head of a stream that lasts until the connection is closed.
pub(crate) fn stream_head() -> Act {
    Act::Write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_vec(),
    )
}

async fn serve(mut socket: TcpStream, acts: &[Act], received: &Mutex<Vec<Received>>) {
    for act in [Act::Next].iter().chain(acts) {
        let done = match act {
            Act::Write(bytes) => socket.write_all(bytes).await,
            Act::Next => next_request(&mut socket, received).await,
            Act::Pause(duration) => {
                tokio::time::sleep(*duration).await;
                Ok(())
            }
            Act::Repeat(bytes, pause) => repeat(&mut socket, bytes, *pause).await,
            Act::Hang => socket.read_u8().await.map(|_| ()),
        };
        if done.is_err() {
            return;
        }
    }
    let _ = socket.shutdown().await;
}

async fn next_request(
    socket: &mut TcpStream,
    received: &Mutex<Vec<Received>>,
) -> std::io::Result<()> {
    let request = read_request(socket).await.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    received.lock().unwrap().push(request);
    Ok(())
}

async fn repeat(socket: &mut TcpStream, bytes: &[u8], pause: Duration) -> std::io::Result<()> {
    loop {
        socket.write_all(bytes).await?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let mut request = Received { head, body: bytes.split_off(end + 4) };
            let length: usize = request.header("content-length")?.parse().unwrap();
            while request.body.len() < length {
                if socket.read_buf(&mut request.body).await.ok()? == 0 {
                    return None;
                }
            }
            return Some(request);
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
