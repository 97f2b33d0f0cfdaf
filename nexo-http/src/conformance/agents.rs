//! Agents made of bare sockets, which answer as they are told, misbehaving included.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
};

use super::client::PATIENCE;

/// What an agent does after it has read a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Write(Vec<u8>),
    /// Waits until it is let go on, once for each call of [`Agent::go_on`].
    Wait,
    /// Keeps the connection open until the other side is gone.
    Hang,
    /// Writes the same again and again until the other side is gone.
    Repeat(Vec<u8>, Duration),
}

/// A request as it came off the wire.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The value of a header that came once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().skip(1).filter_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        let value = values.next();
        assert!(values.next().is_none(), "{name} came more than once");
        value
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// An agent on loopback. Dropping it closes its port.
#[derive(Debug)]
pub(crate) struct Agent {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    steps: Arc<Semaphore>,
    accepting: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Agent {
    /// Does the same for every request, then closes the connection.
    pub(crate) async fn acting(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let steps = Arc::new(Semaphore::new(0));
        let shared = (Arc::clone(&received), Arc::clone(&steps));
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (received, steps) = shared.clone();
                let acts = acts.clone();
                tokio::spawn(async move { serve(socket, &acts, &received, &steps).await });
            }
        });
        Self { address, received, steps, accepting }
    }

    /// Answers status 200 with this body, of this type.
    pub(crate) async fn answering(content_type: &str, body: impl AsRef<[u8]>) -> Self {
        Self::acting(vec![Act::Write(response("200 OK", content_type, body))]).await
    }

    /// Answers with this reply as JSON.
    pub(crate) async fn replying(reply: &str) -> Self {
        Self::answering("application/json", serde_json::json!({"reply": reply}).to_string()).await
    }

    /// Answers with these events, and closes the connection.
    pub(crate) async fn streaming(events: &str) -> Self {
        Self::acting(vec![stream_head(), Act::Write(events.into())]).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Lets it go on where it waits, now or later.
    pub(crate) fn go_on(&self) {
        self.steps.add_permits(1);
    }

    /// Waits until it was called.
    pub(crate) async fn called(&self) {
        let called = async {
            while self.received().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, called).await.expect("nobody called");
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

/// An address on loopback where nobody listens.
pub(crate) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/hook", listener.local_addr().unwrap())
}

pub(crate) fn response(status: &str, content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
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

/// One delta of a stream.
pub(crate) fn delta(text: &str) -> String {
    format!("event: delta\ndata: {}\n\n", serde_json::json!({"text": text}))
}

async fn serve(
    mut socket: TcpStream,
    acts: &[Act],
    received: &Mutex<Vec<Received>>,
    steps: &Semaphore,
) {
    let Some(request) = read_request(&mut socket).await else { return };
    received.lock().unwrap().push(request);
    for act in acts {
        let done = match act {
            Act::Write(bytes) => socket.write_all(bytes).await,
            Act::Wait => {
                steps.acquire().await.expect("it is never closed").forget();
                Ok(())
            }
            Act::Hang => socket.read_u8().await.map(|_| ()),
            Act::Repeat(bytes, pause) => repeat(&mut socket, bytes, *pause).await,
        };
        if done.is_err() {
            return;
        }
    }
    let _ = socket.shutdown().await;
}

/// Slowly, since that it takes its time is what this is about.
async fn repeat(socket: &mut TcpStream, bytes: &[u8], pause: Duration) -> std::io::Result<()> {
    loop {
        socket.write_all(bytes).await?;
        tokio::time::sleep(pause).await;
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
