//! What an agent does with a turn: the message itself says it, in its first word.

use std::time::Duration;

/// How an agent answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// With JSON, at once.
    Prompt,
    /// With JSON, soon.
    Json,
    /// With JSON, after a while.
    Slow,
    /// Word by word.
    Stream,
    /// Word by word, for long.
    Tale,
    /// Not at all.
    Hang,
}

impl Manner {
    const ALL: [Self; 6] =
        [Self::Prompt, Self::Json, Self::Slow, Self::Stream, Self::Tale, Self::Hang];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Json => "json",
            Self::Slow => "slow",
            Self::Stream => "stream",
            Self::Tale => "tale",
            Self::Hang => "hang",
        }
    }

    /// What a message asks for.
    pub(crate) fn of(message: &str) -> Option<Self> {
        let word = message.split(' ').next()?;
        Self::ALL.into_iter().find(|manner| manner.as_str() == word)
    }

    /// What customers like to hear who have time.
    pub(crate) fn long() -> Self {
        if rand::random_bool(0.5) { Self::Tale } else { Self::any() }
    }

    /// What most customers want: to see something, and some of them something else.
    pub(crate) fn any() -> Self {
        match rand::random_range(0..10) {
            0 => Self::Json,
            1 | 2 => Self::Slow,
            _ => Self::Stream,
        }
    }
}

/// What is said, and with which pauses before each piece. Nothing for one who never answers.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) is_stream: bool,
    pub(crate) pieces: Vec<(Duration, String)>,
}

impl Script {
    /// What is said to a turn. No two turns get the same answer. One that was heard before is
    /// answered sooner: its server should not be lost again, or it would be given up.
    pub(crate) fn new(manner: Manner, run: &str, attempt: i32) -> Option<Self> {
        let (count, longest) = match manner {
            Manner::Prompt => (1, 2),
            Manner::Json => (1, 1_000),
            Manner::Slow => (1, 5_000),
            Manner::Stream => (20, 300),
            Manner::Tale => (50, 300),
            Manner::Hang => return None,
        };
        let longest = if attempt > 1 { longest / 10 } else { longest };
        let pieces = (0..count).map(|number| (pause(longest.max(2)), piece(run, attempt, number)));
        Some(Self { is_stream: count > 1, pieces: pieces.collect() })
    }
}

fn pause(longest_ms: u64) -> Duration {
    Duration::from_millis(rand::random_range(longest_ms / 2..longest_ms))
}

/// Not every character has one byte, so that cursors are tried as well.
fn piece(run: &str, attempt: i32, number: usize) -> String {
    match number {
        0 => format!("{run}, die {attempt}. Antwort: "),
        _ => format!("Brötchen {number} 🥖, "),
    }
}
