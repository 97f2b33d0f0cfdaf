//! Server-sent events, written and read by hand: framing is where replies get damaged.

mod decode;
mod encode;

pub use decode::{DecodeError, Decoder, Event, MAX_EVENT_BYTES};
pub use encode::{comment, encode, encode_with_id, id, retry};

#[cfg(test)]
mod tests;
