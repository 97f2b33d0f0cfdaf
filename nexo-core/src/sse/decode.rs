//! Reading events, piece by piece as they come from a network.

use std::{mem, sync::Arc, time::Duration};

/// The most bytes that one event may have, unless [`Decoder::with_max_event_bytes`] says
/// otherwise.
pub const MAX_EVENT_BYTES: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name; `message` if it came without one.
    pub name: String,
    /// Its data, the lines joined by LF.
    pub data: String,
    /// The last id that was sent with or before it. All events after it share it: it may be long,
    /// and they many.
    pub id: Option<Arc<str>>,
}

/// Why a stream can't be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// An event has more bytes than the decoder keeps.
    #[error("an event is too large")]
    TooLarge,
    /// The text is not UTF-8. It is never repaired: that would change what was said.
    #[error("the stream is not UTF-8")]
    NotUtf8,
}

/// Takes a stream apart into events, however it was cut on its way.
///
/// It follows the standard, with one difference: an event that has a name but no data is
/// given as well, since agents end their streams with a bare `event: done`. An event whose
/// closing blank line never comes is dropped.
///
/// ```
/// # use nexo_core::sse::Decoder;
/// let mut decoder = Decoder::new();
/// let mut events = Vec::new();
/// decoder.feed(b"event: delta\r\nda", &mut events)?;
/// decoder.feed(b"ta: {}\r\n\r\n", &mut events)?;
/// assert_eq!((events[0].name.as_str(), events[0].data.as_str()), ("delta", "{}"));
/// # Ok::<(), nexo_core::sse::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    max_event_bytes: usize,
    /// The current line as far as it has come: a character that was cut in two is whole again
    /// before anyone looks at it.
    line: Vec<u8>,
    /// Bytes of the current event's lines before that one.
    used: usize,
    at_start: bool,
    after_cr: bool,
    name: Option<String>,
    data: Option<String>,
    id: Option<Arc<str>>,
    /// The id as of the last block that came to its end.
    last_id: Option<Arc<str>>,
    retry: Option<Duration>,
    failed: Option<DecodeError>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            max_event_bytes: MAX_EVENT_BYTES,
            line: Vec::new(),
            used: 0,
            at_start: true,
            after_cr: false,
            name: None,
            data: None,
            id: None,
            last_id: None,
            retry: None,
            failed: None,
        }
    }

    /// The most bytes of lines that one event, or one comment, may have.
    #[must_use]
    pub const fn with_max_event_bytes(mut self, max: usize) -> Self {
        self.max_event_bytes = max;
        self
    }

    /// How long the stream's sender wants to be left alone before a reconnect.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// What to send as `Last-Event-ID` to go on from here: the id of the last event that was
    /// complete, or of a block that has only an id.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref().filter(|id| !id.is_empty())
    }

    /// Takes the next bytes and appends the events that are complete with them.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], after which every call gives the same error. The events before it were
    /// appended.
    pub fn feed(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        match self.failed {
            Some(error) => Err(error),
            None => self.read(bytes, events).inspect_err(|error| self.failed = Some(*error)),
        }
    }

    fn read(&mut self, mut bytes: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        while let Some(&first) = bytes.first() {
            if mem::take(&mut self.after_cr) && first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                return self.extend_line(bytes);
            };
            self.extend_line(&bytes[..end])?;
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            events.extend(self.end_line()?);
        }
        Ok(())
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        if self.used + self.line.len() + bytes.len() > self.max_event_bytes {
            return Err(DecodeError::TooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<Event>, DecodeError> {
        let mut bytes = mem::take(&mut self.line);
        let event = self.take_line(&bytes);
        // The buffer is kept: most lines are short, and there are many.
        bytes.clear();
        self.line = bytes;
        event
    }

    fn take_line(&mut self, bytes: &[u8]) -> Result<Option<Event>, DecodeError> {
        let bytes = match mem::take(&mut self.at_start) {
            true => bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes),
            false => bytes,
        };
        let line = str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)?;
        if line.is_empty() {
            return Ok(self.end_event());
        }
        if !line.starts_with(':') {
            self.used += line.len();
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            self.set(field, value.strip_prefix(' ').unwrap_or(value));
        }
        Ok(None)
    }

    fn set(&mut self, field: &str, value: &str) {
        match field {
            "event" => self.name = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => self.id = Some(value.into()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
    }

    fn end_event(&mut self) -> Option<Event> {
        self.used = 0;
        self.last_id.clone_from(&self.id);
        let (name, data) = (self.name.take(), self.data.take());
        let name = name.filter(|name| !name.is_empty());
        if name.is_none() && data.is_none() {
            return None;
        }
        Some(Event {
            name: name.unwrap_or_else(|| "message".to_owned()),
            data: data.unwrap_or_default(),
            id: self.id.clone().filter(|id| !id.is_empty()),
        })
    }
}
