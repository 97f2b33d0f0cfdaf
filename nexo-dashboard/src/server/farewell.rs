//! The end of a connection, seen by a client that still sends.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, Sleep},
};

/// How much of what nobody wants is taken from a client, so that it comes to read its answer.
const MAX_BYTES: usize = 1024 * 1024;
/// How long that may take, and how long a client has in which it sends nothing.
const DEADLINE: Duration = Duration::from_secs(2);
const QUIET: Duration = Duration::from_millis(500);

/// Waits for a client to end its side of a connection whose other side has ended.
///
/// A socket that is closed with unread bytes in it tells its client so at once, and what the
/// client was answered before is lost: one that was refused for the size of its body would see
/// a broken connection instead of the reason (RFC 9112, 9.6).
pub(super) struct Farewell {
    left: usize,
    deadline: Instant,
    patience: Pin<Box<Sleep>>,
}

impl Farewell {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let patience = Box::pin(tokio::time::sleep_until(now + QUIET));
        Self { left: MAX_BYTES, deadline: now + DEADLINE, patience }
    }

    /// Ready when the client has ended, or was waited for long enough.
    pub(super) fn poll<S: AsyncRead + Unpin>(
        &mut self,
        socket: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut buffer = [0; 8 * 1024];
        while self.left > 0 {
            let mut unwanted = ReadBuf::new(&mut buffer);
            match Pin::new(&mut *socket).poll_read(context, &mut unwanted) {
                Poll::Ready(Ok(())) if !unwanted.filled().is_empty() => {
                    self.left = self.left.saturating_sub(unwanted.filled().len());
                    let quiet = (Instant::now() + QUIET).min(self.deadline);
                    self.patience.as_mut().reset(quiet);
                }
                // It has ended, or is gone.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        self.patience.as_mut().poll(context).map(Ok)
    }
}
