//! A socket with what HTTP libraries do not have: a deadline for a client that stops reading, and
//! patience with one that still sends when its connection ends.

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

use super::farewell::Farewell;

/// A socket that is given up when its client does not read.
pub(super) struct GuardedSocket<S> {
    socket: S,
    write_stall: Duration,
    /// Runs while the client leaves unread what it was sent.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Runs when our side has ended.
    farewell: Option<Farewell>,
}

impl<S> GuardedSocket<S> {
    pub(super) fn new(socket: S, write_stall: Duration) -> Self {
        Self { socket, write_stall, stalled: None, farewell: None }
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
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedSocket<S> {
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
        let Self { socket, farewell, .. } = &mut *self;
        if let Some(farewell) = farewell {
            return farewell.poll(socket, context);
        }
        let shut = Pin::new(socket).poll_shutdown(context);
        ready!(self.watched(context, shut))?;
        self.farewell = Some(Farewell::new());
        self.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn pair() -> (GuardedSocket<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(64);
        (GuardedSocket::new(ours, Duration::from_secs(30)), theirs)
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

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_sends_is_let_send_for_a_while() {
        let (mut ours, mut theirs) = pair();
        let sending = tokio::spawn(async move {
            theirs.write_all(&[0; 300_000]).await.unwrap();
            let mut answer = String::new();
            theirs.read_to_string(&mut answer).await.map(|_| answer)
        });
        let started = Instant::now();

        ours.write_all(b"too much").await.unwrap();
        ours.shutdown().await.unwrap();

        assert_eq!(sending.await.unwrap().unwrap(), "too much");
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_ends_is_not_waited_for_long() {
        let (mut silent, _theirs) = pair();
        let (mut flooded, mut theirs) = pair();
        let flooding = tokio::spawn(async move {
            let mut sent = 0;
            while let Ok(count) = theirs.write(&[0; 64]).await {
                sent += count;
            }
            sent
        });
        let started = Instant::now();

        silent.shutdown().await.unwrap();
        assert_eq!(started.elapsed(), Duration::from_millis(500));
        flooded.shutdown().await.unwrap();
        assert_eq!(started.elapsed(), Duration::from_millis(1000));

        drop(flooded);
        assert!((1 << 20..=(1 << 20) + 16 * 1024).contains(&flooding.await.unwrap()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_now_and_then_is_not_waited_for_longer() {
        let (mut ours, mut theirs) = pair();
        let dripping = tokio::spawn(async move {
            while theirs.write_all(b"a").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
        });
        let started = Instant::now();

        ours.shutdown().await.unwrap();
        assert_eq!(started.elapsed(), Duration::from_secs(2));

        drop(ours);
        dripping.await.unwrap();
    }
}
