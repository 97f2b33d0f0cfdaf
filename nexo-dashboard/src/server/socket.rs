//! A socket with two deadlines that the HTTP library does not have: for a client that never
//! says which protocol it speaks, and for one that stops reading.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// What an HTTP/2 client says first. Until somebody says something else, it is not known
/// which protocol they speak, and no other deadline runs.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket that is given up when its client is silent at the start, or does not read.
pub(super) struct GuardedSocket<S> {
    socket: S,
    /// While it is not known what the client speaks.
    greeting: Option<Greeting>,
    write_stall: Duration,
    /// Runs while the client leaves unread what it was sent.
    stalled: Option<Pin<Box<Sleep>>>,
}

struct Greeting {
    deadline: Pin<Box<Sleep>>,
    seen: usize,
}

impl<S> GuardedSocket<S> {
    pub(super) fn new(socket: S, greeting: Duration, write_stall: Duration) -> Self {
        let greeting = Greeting { deadline: Box::pin(tokio::time::sleep(greeting)), seen: 0 };
        Self { socket, greeting: Some(greeting), write_stall, stalled: None }
    }

    fn has_read(&mut self, bytes: &[u8]) {
        let Some(greeting) = &mut self.greeting else { return };
        greeting.seen += bytes.len();
        let from = greeting.seen - bytes.len();
        let is_open = HTTP2_PREFACE.get(from..greeting.seen) == Some(bytes)
            && greeting.seen < HTTP2_PREFACE.len()
            && !bytes.is_empty();
        if !is_open {
            self.greeting = None;
        }
    }

    fn is_greeting_late(&mut self, context: &mut Context<'_>) -> bool {
        let greeting = self.greeting.as_mut();
        greeting.is_some_and(|greeting| greeting.deadline.as_mut().poll(context).is_ready())
    }

    /// What came of a write, or the end if nothing came of any for too long.
    fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let deadline = Instant::now() + self.write_stall;
        let stalled =
            self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if read.is_ready() {
            self.has_read(&buffer.filled()[before..]);
        } else if self.is_greeting_late(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, pieces);
        self.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(context);
        self.watched(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.socket).poll_shutdown(context);
        self.watched(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn pair() -> (GuardedSocket<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(64);
        (GuardedSocket::new(ours, Duration::from_secs(10), Duration::from_secs(30)), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_given_up() {
        let (mut ours, _theirs) = pair();
        let started = Instant::now();

        let error = ours.read_u8().await.unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_amid_the_first_line_of_http2_is_given_up() {
        let (mut ours, mut theirs) = pair();
        theirs.write_all(b"PRI * HT").await.unwrap();

        let error = ours.read_exact(&mut [0; 24]).await.unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_said_what_they_speak_may_be_silent() {
        let (mut ours, mut theirs) = pair();
        theirs.write_all(b"GET / HT").await.unwrap();
        ours.read_exact(&mut [0; 8]).await.unwrap();

        let waited = tokio::time::timeout(Duration::from_secs(60), ours.read_u8()).await;

        assert!(waited.is_err(), "the socket itself gave up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_given_up() {
        let (mut ours, _theirs) = pair();
        let started = Instant::now();

        let error = ours.write_all(&[0; 65]).await.unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_is_not() {
        let (mut ours, mut theirs) = pair();
        let writing = tokio::spawn(async move { ours.write_all(&[0; 256]).await });

        for _ in 0..4 {
            tokio::time::advance(Duration::from_secs(20)).await;
            theirs.read_exact(&mut [0; 64]).await.unwrap();
        }

        writing.await.unwrap().unwrap();
    }
}
