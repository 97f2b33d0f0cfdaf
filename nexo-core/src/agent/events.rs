//! Replies that come piece by piece, as server-sent events.
//!
//! A server takes an event of 64 KiB and 256 KiB of text in all. The app's timeout bounds
//! each gap between two events.

use std::fmt::Display;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use serde_json::json;

use crate::{sse::encode, storable};

/// The most bytes of text in one event. Escaped they are six times as many at worst, which an
/// event still has room for.
const MAX_DELTA_BYTES: usize = 8 * 1024;

/// A whole reply from the pieces of its text: a delta for each of them and the end, whether it
/// is a good one or an error. After an error nothing more is taken from `deltas`.
///
/// Each item is one write, to be sent at once. If the items can't fail, `.map(Ok::<_,
/// Infallible>)` says so.
///
/// ```
/// # futures::executor::block_on(async {
/// use futures::{StreamExt, stream};
/// use nexo_core::agent::events;
///
/// let model = stream::iter([Ok("Yes, "), Ok("it is."), Err("out of memory")]);
///
/// let written: Vec<_> = events(model).collect().await;
///
/// assert_eq!(written[0], "event: delta\ndata: {\"text\":\"Yes, \"}\n\n");
/// assert_eq!(written[2], "event: error\ndata: {\"message\":\"out of memory\"}\n\n");
/// # });
/// ```
pub fn events<T: AsRef<str>, E: Display>(
    deltas: impl Stream<Item = Result<T, E>>,
) -> impl Stream<Item = Bytes> {
    stream::unfold(Some(Box::pin(deltas)), async |deltas| {
        let mut deltas = deltas?;
        Some(match deltas.next().await {
            Some(Ok(text)) => (self::delta(text.as_ref()), Some(deltas)),
            Some(Err(why)) => (error(&why.to_string()), None),
            None => (done(), None),
        })
    })
}

/// The next piece of the text, to be sent at once: one event, or several if it is long. U+0000
/// becomes U+FFFD, since no reply may have it.
#[must_use]
pub fn delta(text: &str) -> Bytes {
    let text = storable(text);
    let (mut rest, mut written) = (&*text, Vec::new());
    loop {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(MAX_DELTA_BYTES));
        written.extend_from_slice(&encode("delta", &json!({ "text": piece }).to_string()));
        if after.is_empty() {
            return written.into();
        }
        rest = after;
    }
}

/// The end of a reply that is complete. Without it, a server takes the reply as cut short.
///
/// ```
/// assert_eq!(nexo_core::agent::done(), "event: done\ndata: {}\n\n");
/// ```
#[must_use]
pub fn done() -> Bytes {
    encode("done", "{}")
}

/// The end of a reply that failed. The run fails with it; what was said before is kept. The
/// message is for the people who run the agent: a server keeps it with the delivery, and no
/// customer sees it. It is cut at 8 KiB.
#[must_use]
pub fn error(message: &str) -> Bytes {
    let message = &message[..message.floor_char_boundary(MAX_DELTA_BYTES)];
    encode("error", &json!({ "message": message }).to_string())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::executor::block_on;
    use proptest::prelude::*;

    use super::*;
    use crate::sse::{Decoder, Event};

    fn read(written: &[Bytes]) -> Vec<Event> {
        let mut events = Vec::new();
        Decoder::new().feed(&written.concat(), &mut events).unwrap();
        events
    }

    fn text(event: &Event) -> String {
        let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
        data["text"].as_str().unwrap().to_owned()
    }

    #[test]
    fn nothing_comes_after_an_error() {
        let deltas = stream::iter([Ok("a"), Err("no\nmore"), Ok("b")]);

        let events = read(&block_on(events(deltas).collect::<Vec<_>>()));

        let pairs: Vec<_> = events.iter().map(|it| (&*it.name, &*it.data)).collect();
        let error = ("error", r#"{"message":"no\nmore"}"#);
        assert_eq!(pairs, [("delta", r#"{"text":"a"}"#), error]);
    }

    #[test]
    fn nothing_is_taken_after_an_error() {
        let hanging = stream::iter([Err::<&str, _>("out of memory")]).chain(stream::pending());

        assert_eq!(block_on(events(hanging).collect::<Vec<_>>()), [error("out of memory")]);
    }

    #[test]
    fn the_longest_error_is_one_event_that_servers_take() {
        let written = error(&"\u{1f}".repeat(100_000));

        assert_eq!(read(std::slice::from_ref(&written)).len(), 1);
        assert!(written.len() < 64 * 1024);
    }

    #[test]
    fn a_reply_without_text_is_an_end_and_nothing_else() {
        let none = stream::empty::<Result<&str, Infallible>>();

        assert_eq!(block_on(events(none).collect::<Vec<_>>()), [done()]);
    }

    #[test]
    fn the_longest_text_in_the_worst_spelling_fits_into_events() {
        let said = "\u{1f}".repeat(100_000);

        let events = read(&[delta(&said)]);

        assert_eq!(events.iter().map(text).collect::<String>(), said);
    }

    proptest! {
        #[test]
        fn what_is_said_is_what_is_read(
            texts in proptest::collection::vec(any::<String>(), 0..5),
            (piece, times) in ("[a🎉\n\0]{1,9}", 0_usize..3_000),
        ) {
            let texts: Vec<String> = texts.into_iter().chain([piece.repeat(times)]).collect();
            let deltas = stream::iter(texts.clone()).map(Ok::<_, Infallible>);

            let mut events = read(&block_on(events(deltas).collect::<Vec<_>>()));

            prop_assert_eq!(&events.pop().unwrap().name, "done");
            let said: String = events.iter().map(text).collect();
            prop_assert_eq!(said, texts.concat().replace('\0', "\u{fffd}"));
        }
    }
}
