//! When a token was sent is written in the token itself, and read where it arrives. Agent and
//! client are one process, so they have one clock.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A token that says when it was made.
pub(crate) fn stamp() -> String {
    format!("@{};", BEGINNING.elapsed().as_micros())
}

/// Reads a stream's tokens, in whatever pieces it comes.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    unread: Vec<u8>,
}

impl Stamps {
    /// How long each token was on its way that this piece completes.
    pub(crate) fn read(&mut self, piece: &[u8]) -> Vec<Duration> {
        let (now, mut ages) = (BEGINNING.elapsed(), Vec::new());
        self.unread.extend_from_slice(piece);
        while let Some(end) = self.unread.windows(2).position(|it| it == b"\n\n") {
            let event: Vec<u8> = self.unread.drain(..end + 2).collect();
            // The whole text comes again at the end, and is no delta.
            if event.starts_with(b"event: delta") {
                let sent = sent(&String::from_utf8_lossy(&event));
                ages.extend(sent.iter().map(|sent| now.saturating_sub(*sent)));
            }
        }
        ages
    }
}

fn sent(event: &str) -> Vec<Duration> {
    let stamps = event.split('@').skip(1).filter_map(|rest| rest.split_once(';'));
    stamps.filter_map(|(micros, _)| micros.parse().ok()).map(Duration::from_micros).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_from_deltas_in_any_pieces() {
        let stream =
            b"event: delta\ndata: {\"text\":\"@1;@2;\"}\n\nevent: done\ndata: \"@1;@2;\"\n\n";
        let mut stamps = Stamps::default();

        let count: usize = stream.chunks(3).map(|piece| stamps.read(piece).len()).sum();

        assert_eq!(count, 2);
    }
}
