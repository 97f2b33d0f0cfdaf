//! Letters: what one server sends the others at once.
//!
//! A letter is a text: the sender's id, then for each hint a character for its topic and the
//! ids that go with it. A letter that is not understood is one of a newer server, and anything
//! may have changed.

use std::collections::HashSet;

use nexo_core::{AppId, Heard, Hint, RunId, ThreadId, Topic};
use uuid::Uuid;

/// How many characters an id has.
const ID: usize = 32;
/// A notification's text has to be shorter than 8,000 bytes.
const MAX_BYTES: usize = 7_999;
/// So many hints fit into a letter, whatever they are about, and a mark.
const MAX_HINTS: usize = (MAX_BYTES - ID - 1) / (1 + 3 * ID);

/// Says that anything may have changed.
const EVERYTHING: &str = "*";
/// Says that any run may have said more.
const TEXTS: &str = "+";

/// What is to be told. It never holds more than fits into one letter.
///
/// Many runs that speak make room for what else has changed: who watches lists has no use for
/// what they say, and would have to fetch everything again and again.
#[derive(Default)]
pub(super) struct Letter {
    changes: HashSet<Hint>,
    texts: HashSet<Hint>,
    /// What there was more of than fits.
    more: Option<More>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    Texts,
    Everything,
}

impl Letter {
    pub(super) fn put(&mut self, hint: Hint) {
        let is_text = matches!(hint.topic, Topic::Text(_));
        match self.more {
            Some(More::Everything) => return,
            Some(More::Texts) if is_text => return,
            _ if is_text => self.texts.insert(hint),
            _ => self.changes.insert(hint),
        };
        if self.changes.len() > MAX_HINTS {
            self.put_everything();
        } else if self.changes.len() + self.texts.len() > MAX_HINTS {
            self.texts.clear();
            self.more = Some(More::Texts);
        }
    }

    pub(super) fn put_everything(&mut self) {
        *self = Self { more: Some(More::Everything), ..Self::default() };
    }

    /// The letter as it is sent.
    pub(super) fn write(&self, sender: Uuid) -> String {
        let mut letter = sender.simple().to_string();
        let hints = self.changes.iter().chain(&self.texts);
        hints.for_each(|hint| write_hint(hint, &mut letter));
        letter.push_str(match self.more {
            None => "",
            Some(More::Texts) => TEXTS,
            Some(More::Everything) => EVERYTHING,
        });
        letter
    }
}

/// Who sent a letter, and what it says.
pub(super) fn read(letter: &str) -> (Option<Uuid>, Vec<Heard>) {
    let sender = letter.get(..ID).and_then(|sender| Uuid::try_parse(sender).ok());
    let rest = letter.get(ID..).unwrap_or(EVERYTHING);
    let (hints, more) = match rest.strip_suffix(TEXTS) {
        Some(hints) => (hints, Some(Heard::Texts)),
        None => (rest, None),
    };
    let heard = read_hints(hints).map(|hints| hints.into_iter().map(Heard::Hint).chain(more));
    (sender, heard.map_or_else(|| vec![Heard::Everything], Iterator::collect))
}

fn write_hint(hint: &Hint, letter: &mut String) {
    let (topic, run) = match hint.topic {
        Topic::Thread => ('t', None),
        Topic::Message => ('m', None),
        Topic::Run(run) => ('r', Some(run.as_uuid())),
        Topic::Text(run) => ('x', Some(run.as_uuid())),
    };
    letter.push(topic);
    for id in [Some(hint.app.as_uuid()), Some(hint.thread.as_uuid()), run].into_iter().flatten() {
        letter.push_str(id.simple().encode_lower(&mut Uuid::encode_buffer()));
    }
}

fn read_hints(mut rest: &str) -> Option<Vec<Hint>> {
    let mut hints = Vec::new();
    while !rest.is_empty() {
        let (topic, after) = rest.split_at_checked(1)?;
        rest = after;
        let mut id = || {
            let (id, after) = rest.split_at_checked(ID)?;
            rest = after;
            Uuid::try_parse(id).ok()
        };
        let (app, thread) = (AppId::from_uuid(id()?), ThreadId::from_uuid(id()?));
        let topic = match topic {
            "t" => Topic::Thread,
            "m" => Topic::Message,
            "r" => Topic::Run(RunId::from_uuid(id()?)),
            "x" => Topic::Text(RunId::from_uuid(id()?)),
            _ => return None,
        };
        hints.push(Hint { app, thread, topic });
    }
    Some(hints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(topic: Topic) -> Hint {
        Hint { app: AppId::new(), thread: ThreadId::new(), topic }
    }

    fn letter(hints: &[Hint]) -> Letter {
        let mut letter = Letter::default();
        hints.iter().for_each(|hint| letter.put(*hint));
        letter
    }

    #[test]
    fn a_letter_is_read_as_it_was_written() {
        let sender = Uuid::now_v7();
        let run = RunId::new();
        let hints = [Topic::Thread, Topic::Message, Topic::Run(run), Topic::Text(run)].map(hint);

        let (from, heard) = read(&letter(&hints).write(sender));

        assert_eq!(from, Some(sender));
        assert_eq!(heard.len(), hints.len());
        assert!(hints.iter().all(|hint| heard.contains(&Heard::Hint(*hint))));
        assert_eq!(read(&letter(&[]).write(sender)), (Some(sender), Vec::new()));
    }

    #[test]
    fn the_longest_letter_can_be_sent_and_more_is_everything() {
        let sender = Uuid::now_v7();
        let hints: Vec<Hint> = (0..=MAX_HINTS).map(|_| hint(Topic::Run(RunId::new()))).collect();

        let full = letter(&hints[..MAX_HINTS]).write(sender);

        assert!(full.len() < 8_000, "{}", full.len());
        assert_eq!(read(&full).1.len(), MAX_HINTS);
        assert_eq!(read(&letter(&hints).write(sender)), (Some(sender), vec![Heard::Everything]));
    }

    #[test]
    fn runs_that_speak_make_room_for_everything_else() {
        let sender = Uuid::now_v7();
        let texts: Vec<Hint> = (0..100).map(|_| hint(Topic::Text(RunId::new()))).collect();
        let changes: Vec<Hint> = (0..MAX_HINTS).map(|_| hint(Topic::Run(RunId::new()))).collect();

        let written = letter(&[&texts, &changes[..], &texts].concat()).write(sender);

        assert!(written.len() < 8_000, "{}", written.len());
        let (from, heard) = read(&written);
        assert_eq!((from, heard.len()), (Some(sender), MAX_HINTS + 1));
        assert!(changes.iter().all(|hint| heard.contains(&Heard::Hint(*hint))));
        assert_eq!(heard.last(), Some(&Heard::Texts));
    }

    #[test]
    fn a_letter_that_is_not_understood_may_mean_anything() {
        let sender = Uuid::now_v7().simple().to_string();
        for rest in ["*", "t", "tx", "ü", "q0123"] {
            assert_eq!(read(&format!("{sender}{rest}")).1, [Heard::Everything], "{rest}");
        }
        for letter in ["", "x", "ü".repeat(20).as_str()] {
            assert_eq!(read(letter), (None, vec![Heard::Everything]));
        }
    }
}
