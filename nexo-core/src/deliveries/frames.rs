//! Frames: in which pieces a response came, and when, so that a stream can be shown as it was.
//!
//! They are kept packed: for each frame how many bytes it had, and how many microseconds passed
//! since the one before, both as variable-length integers of seven bits a byte, the lowest first.

use std::{fmt, time::Duration};

/// The most bytes that the frames of one delivery take up, packed.
pub const MAX_FRAMES_BYTES: usize = 64 * 1024;

/// The most bytes that a number takes up, packed.
const MAX_NUMBER_BYTES: usize = 10;

/// A piece of a response's body, as it came off the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it begins in the body, in bytes.
    pub start: u64,
    /// How many bytes it had.
    pub bytes: u64,
    /// From sending the request to its arrival.
    pub after: Duration,
}

/// All frames of a response that there was room for, packed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Frames {
    packed: Vec<u8>,
    /// When the last one came.
    micros: u64,
}

impl Frames {
    /// Adds the next piece of the body, unless there is no more room.
    pub fn push(&mut self, bytes: usize, after: Duration) {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX).max(self.micros);
        if self.packed.len() + 2 * MAX_NUMBER_BYTES > MAX_FRAMES_BYTES {
            return;
        }
        pack(bytes as u64, &mut self.packed);
        pack(micros - self.micros, &mut self.packed);
        self.micros = micros;
    }

    /// The frames in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = Frame> {
        let (mut rest, mut start, mut micros) = (self.packed.as_slice(), 0_u64, 0_u64);
        std::iter::from_fn(move || {
            let (bytes, pause) = (unpack(&mut rest)?, unpack(&mut rest)?);
            let frame_start = start;
            start = start.saturating_add(bytes);
            micros = micros.saturating_add(pause);
            Some(Frame { start: frame_start, bytes, after: Duration::from_micros(micros) })
        })
    }

    /// The frames as they are stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.packed
    }

    /// The frames that were stored as these bytes; what is no frame ends them.
    #[must_use]
    pub fn from_bytes(packed: Vec<u8>) -> Self {
        let mut frames = Self { packed, micros: 0 };
        let last = frames.iter().last().map(|last| last.after.as_micros());
        frames.micros = last.and_then(|micros| u64::try_from(micros).ok()).unwrap_or_default();
        frames
    }
}

/// Packed numbers tell nobody anything.
impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn pack(mut number: u64, packed: &mut Vec<u8>) {
    while number > 0x7f {
        packed.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    packed.push(number as u8);
}

/// The next number; `None` if what is left is none.
fn unpack(packed: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..MAX_NUMBER_BYTES {
        let (byte, rest) = packed.split_first()?;
        *packed = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_is_packed_into_few_bytes() {
        let mut frames = Frames::default();

        frames.push(300, Duration::from_micros(127));
        frames.push(1, Duration::from_micros(255));

        // 300 is 0b10_0101100: the lower seven bits first, marked as not the last.
        assert_eq!(frames.as_bytes(), [0xac, 0x02, 127, 1, 0x80, 0x01]);
    }

    #[test]
    fn there_is_room_for_so_many_frames_and_no_more() {
        let mut frames = Frames::default();
        for _ in 0..MAX_FRAMES_BYTES {
            frames.push(1, Duration::ZERO);
        }

        assert!(frames.as_bytes().len() <= MAX_FRAMES_BYTES);
        assert!(frames.iter().count() > 30_000);
    }

    #[test]
    fn time_does_not_go_back() {
        let mut frames = Frames::default();
        frames.push(1, Duration::from_micros(9));
        frames.push(1, Duration::from_micros(5));

        assert_eq!(frames.iter().last().unwrap().after, Duration::from_micros(9));
    }

    proptest! {
        #[test]
        fn frames_come_back_as_they_were(pieces: Vec<(u32, u32)>) {
            let mut frames = Frames::default();
            let (mut start, mut after, mut expected) = (0, Duration::ZERO, Vec::new());
            for (bytes, pause) in pieces {
                after += Duration::from_micros(pause.into());
                frames.push(bytes as usize, after);
                expected.push(Frame { start, bytes: bytes.into(), after });
                start += u64::from(bytes);
            }

            let stored = Frames::from_bytes(frames.as_bytes().to_vec());

            prop_assert_eq!(stored.iter().collect::<Vec<_>>(), expected);
            prop_assert_eq!(stored, frames);
        }

        #[test]
        fn any_bytes_are_some_frames(packed: Vec<u8>) {
            let mut frames = Frames::from_bytes(packed);
            frames.push(1, Duration::from_secs(1));
            let _ = (frames.iter().count(), format!("{frames:?}"));
        }
    }
}
