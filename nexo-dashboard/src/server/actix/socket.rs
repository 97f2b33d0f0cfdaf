//! A socket that knows whether a request of its connection is under way. While none is, it has
//! a deadline, for the next head as for an idle connection; and when the server ends, it ends
//! as if the client had nothing more to say. A client that closes is gone, and is not
//! answered any more; actix alone would notice only when it writes.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use actix_web::{
    Error,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How much goes on on a connection; its socket and its requests share it.
#[derive(Clone)]
pub(super) struct Occupation(Rc<State>);

struct State {
    /// How many requests are under way.
    requests: Cell<usize>,
    /// Whether the client has yet to read what it was sent.
    is_writing: Cell<bool>,
    /// Since when neither was the case.
    idle_since: Cell<Instant>,
    /// Who reads, and has to look again when that changes.
    reader: RefCell<Option<Waker>>,
}

impl Occupation {
    fn new() -> Self {
        Self(Rc::new(State {
            requests: Cell::new(0),
            is_writing: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            reader: RefCell::new(None),
        }))
    }

    fn is_idle(&self) -> bool {
        self.0.requests.get() == 0 && !self.0.is_writing.get()
    }

    /// A request is under way, until what this gives is dropped.
    fn occupy(&self) -> Occupied {
        self.0.requests.update(|requests| requests + 1);
        Occupied(self.clone())
    }

    fn may_be_idle(&self) {
        if self.is_idle() {
            self.0.idle_since.set(Instant::now());
            if let Some(reader) = self.0.reader.borrow_mut().take() {
                reader.wake();
            }
        }
    }

    fn has_written<T>(&self, written: &Poll<T>) {
        self.0.is_writing.set(written.is_pending());
        self.may_be_idle();
    }
}

/// A request that is under way.
struct Occupied(Occupation);

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.0.requests.update(|requests| requests - 1);
        self.0.may_be_idle();
    }
}

/// Lets the socket know of each request until its answer was handed over to the last byte.
pub(super) async fn occupying(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let occupied = request.conn_data::<Occupation>().map(Occupation::occupy);
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| Answer { body, _occupied: occupied }))
}

/// The body of an answer, which occupies its connection.
struct Answer {
    body: BoxBody,
    _occupied: Option<Occupied>,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

/// The socket.
pub(super) struct ActixSocket<S> {
    socket: S,
    occupation: Occupation,
    /// How long a client may be idle, or take to say what it wants.
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
    ending: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> ActixSocket<S> {
    pub(super) fn new(socket: S, patience: Duration, ending: CancellationToken) -> Self {
        Self {
            socket,
            occupation: Occupation::new(),
            patience,
            deadline: Box::pin(sleep(patience)),
            ending: Box::pin(ending.cancelled_owned()),
        }
    }

    pub(super) fn occupation(&self) -> Occupation {
        self.occupation.clone()
    }

    /// What becomes of a client that says nothing.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        *self.occupation.0.reader.borrow_mut() = Some(context.waker().clone());
        if !self.occupation.is_idle() {
            return Poll::Pending;
        }
        if self.ending.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let deadline = self.occupation.0.idle_since.get() + self.patience;
        if self.deadline.deadline() != deadline {
            self.deadline.as_mut().reset(deadline);
        }
        self.deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ActixSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        match read {
            Poll::Pending => self.poll_silence(context),
            Poll::Ready(Ok(())) if buffer.filled().len() == before => {
                Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
            }
            Poll::Ready(_) => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ActixSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.occupation.has_written(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn pair() -> (ActixSocket<DuplexStream>, DuplexStream, CancellationToken) {
        let (ours, theirs) = duplex(64);
        let ending = CancellationToken::new();
        (ActixSocket::new(ours, PATIENCE, ending.clone()), theirs, ending)
    }

    /// How long a read waits, and what it gives.
    async fn read(ours: &mut ActixSocket<DuplexStream>) -> (u64, io::Result<usize>) {
        let started = Instant::now();
        let read = tokio::time::timeout(Duration::from_secs(60), ours.read(&mut [0; 64])).await;
        (
            started.elapsed().as_secs(),
            read.unwrap_or_else(|_| Err(io::ErrorKind::WouldBlock.into())),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_for_nothing_is_given_up_also_when_it_dribbles() {
        let (mut ours, mut theirs, _) = pair();
        let dribbling = tokio::spawn(async move {
            while theirs.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        });
        let started = Instant::now();

        let end = loop {
            if let (_, Err(error)) = read(&mut ours).await {
                break error;
            }
        };

        assert_eq!((end.kind(), started.elapsed().as_secs()), (io::ErrorKind::TimedOut, 10));
        dribbling.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_request_is_under_way_its_client_may_be_silent() {
        let (mut ours, _theirs, ending) = pair();
        let request = ours.occupation().occupy();
        ending.cancel();
        assert_eq!(read(&mut ours).await.1.unwrap_err().kind(), io::ErrorKind::WouldBlock);

        drop(request);

        assert_eq!(read(&mut ours).await.1.unwrap(), 0, "the server ends");
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_runs_from_the_end_of_the_last_answer() {
        let (mut ours, _theirs, _) = pair();
        let request = ours.occupation().occupy();
        tokio::time::advance(Duration::from_secs(30)).await;
        drop(request);

        let (waited, end) = read(&mut ours).await;

        assert_eq!((waited, end.unwrap_err().kind()), (10, io::ErrorKind::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_reads_its_answer_is_not_idle() {
        let (mut ours, mut theirs, ending) = pair();
        ending.cancel();
        let full = std::future::poll_fn(|context| {
            while Pin::new(&mut ours).poll_write(context, &[0; 64]).is_ready() {}
            Poll::Ready(())
        });
        full.await;
        assert_eq!(read(&mut ours).await.1.unwrap_err().kind(), io::ErrorKind::WouldBlock);

        theirs.read_exact(&mut [0; 64]).await.unwrap();
        ours.write_all(&[0; 64]).await.unwrap();

        assert_eq!(read(&mut ours).await.1.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_client_that_closes_is_gone() {
        let (mut ours, theirs, _) = pair();

        drop(theirs);

        assert_eq!(read(&mut ours).await.1.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
