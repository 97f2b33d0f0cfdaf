//! Cursors of threads: what a reader has seen of one.

use std::{fmt, str::FromStr};

/// What a reader has seen of a thread: all changes up to a version, `v<version>`, or all
/// messages up to one, its bare `seq`.
///
/// ```
/// use nexo_core::ThreadCursor;
///
/// assert_eq!("v12".parse(), Ok(ThreadCursor::Version(12)));
/// assert_eq!("3".parse(), Ok(ThreadCursor::Seq(3)));
/// assert_eq!(ThreadCursor::Version(12).to_string(), "v12");
/// assert!("v012".parse::<ThreadCursor>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadCursor {
    /// All that changed up to this version of the thread.
    Version(i64),
    /// What there was when the message with this `seq` was appended; nothing if it is 0.
    Seq(i64),
}

/// A text that is no cursor of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no cursor of a thread")]
pub struct InvalidThreadCursor;

impl fmt::Display for ThreadCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "v{version}"),
            Self::Seq(seq) => write!(f, "{seq}"),
        }
    }
}

impl FromStr for ThreadCursor {
    type Err = InvalidThreadCursor;

    /// Takes only what [`ThreadCursor`] writes.
    fn from_str(text: &str) -> Result<Self, InvalidThreadCursor> {
        let (make, digits): (fn(i64) -> Self, &str) = match text.strip_prefix('v') {
            Some(digits) => (Self::Version, digits),
            None => (Self::Seq, text),
        };
        let number: i64 = digits.parse().map_err(|_| InvalidThreadCursor)?;
        let cursor = make(number);
        let exact = number >= 0 && cursor.to_string() == text;
        exact.then_some(cursor).ok_or(InvalidThreadCursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_is_a_cursor() {
        let huge = "v9223372036854775808";
        for text in ["", "v", "v-1", "-1", "+1", "v+1", "01", " 1", "1.0", "V1", "é", huge] {
            assert_eq!(text.parse::<ThreadCursor>(), Err(InvalidThreadCursor), "{text}");
        }
    }
}
