//! What was said on this server and is not stored yet.
//!
//! A run that says something joins those that wait, which costs it a moment and nobody who
//! reads it anything; its log is the buffer. Whoever stores takes from all of them at once.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    Publisher, RunEvent, lock,
    log::{Events, Log},
};
use crate::{AppId, Hint, MAX_SEGMENT_BYTES, RunId, Said, Segment, Speaker, ThreadId, Topic};

/// How long text waits for more.
const GATHER: Duration = Duration::from_millis(50);
/// How much text of one run does not wait any longer, in bytes.
const MUCH: u32 = 1_024;
/// How much is taken at once of all runs, in bytes; one run's text may come on top.
const MAX_TAKEN_BYTES: usize = 1024 * 1024;

/// The runs that have said something which is not stored yet.
#[derive(Default)]
pub(crate) struct Unstored {
    waiting: Mutex<Vec<Arc<Transcript>>>,
    /// A run begins to wait.
    news: Notify,
    /// A run has waited long enough.
    much: Notify,
}

/// What an attempt of a run says, and how much of that is stored.
pub(super) struct Transcript {
    run: RunId,
    app: AppId,
    thread: ThreadId,
    attempt: i32,
    log: Arc<Log>,
    is_waiting: AtomicBool,
    said_bytes: AtomicU32,
    /// Taken to be stored, that is: what is taken never changes.
    stored_bytes: AtomicU32,
}

/// Where a run's publisher tells that something was said.
pub(super) struct Record {
    unstored: Arc<Unstored>,
    transcript: Arc<Transcript>,
}

/// A segment to be stored.
pub(crate) struct Unsaved {
    pub(crate) segment: Segment,
    /// What others hear of it once it is stored.
    pub(crate) hint: Hint,
    transcript: Arc<Transcript>,
}

impl Unstored {
    /// Waits until there is something to be stored, and then a little for more of it.
    pub(crate) async fn gather(&self) {
        self.news.notified().await;
        let _ = tokio::time::timeout(GATHER, self.much.notified()).await;
    }

    /// Takes what waits, in segments. What is too much for once goes on waiting.
    pub(crate) fn take(&self) -> Vec<Unsaved> {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        let (mut taken, mut bytes) = (Vec::new(), 0);
        for transcript in waiting {
            if bytes >= MAX_TAKEN_BYTES {
                lock(&self.waiting).push(transcript);
                self.news.notify_one();
                self.much.notify_one();
                continue;
            }
            let unsaved = transcript.take();
            bytes += unsaved.iter().map(|it| it.segment.said.text.len()).sum::<usize>();
            taken.extend(unsaved);
        }
        taken
    }
}

impl fmt::Debug for Unstored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unstored({} runs)", lock(&self.waiting).len())
    }
}

impl Record {
    /// Of what this publisher says.
    pub(super) fn new(
        unstored: &Arc<Unstored>,
        publisher: &Publisher,
        app: AppId,
        thread: ThreadId,
    ) -> Self {
        let transcript = Transcript {
            run: publisher.run,
            app,
            thread,
            attempt: publisher.attempt,
            log: Arc::clone(&publisher.log),
            is_waiting: AtomicBool::new(false),
            said_bytes: AtomicU32::new(0),
            stored_bytes: AtomicU32::new(0),
        };
        Self { unstored: Arc::clone(unstored), transcript: Arc::new(transcript) }
    }

    /// Something more was said, and is in the log. A run's first words always wait for more: it
    /// may have ended by then, and nothing has to be stored.
    pub(super) fn heard(&self, text: &str) {
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let transcript = &self.transcript;
        let said = transcript.said_bytes.fetch_add(bytes, Ordering::SeqCst) + bytes;
        let stored = transcript.stored_bytes.load(Ordering::SeqCst);
        if !transcript.is_waiting.swap(true, Ordering::SeqCst) {
            lock(&self.unstored.waiting).push(Arc::clone(transcript));
            self.unstored.news.notify_one();
        }
        if stored > 0 && said.saturating_sub(stored) >= MUCH {
            self.unstored.much.notify_one();
        }
    }
}

impl Transcript {
    fn take(self: Arc<Self>) -> Vec<Unsaved> {
        // First of all: whoever says something from now on waits anew.
        self.is_waiting.store(false, Ordering::SeqCst);
        let segments = self.log.read(|events| self.segments(events));
        let hint = Hint { app: self.app, thread: self.thread, topic: Topic::Text(self.run) };
        let unsaved = |segment| Unsaved { segment, hint, transcript: Arc::clone(&self) };
        segments.into_iter().map(unsaved).collect()
    }

    /// All that is new, unless that is of no interest any more.
    fn segments(&self, events: &Events) -> Vec<Segment> {
        let mut segments = Vec::new();
        if !events.is_under_way(self.attempt) {
            return segments;
        }
        let mut position = self.stored_bytes.load(Ordering::SeqCst);
        let mut rest = events.text.get(position as usize..).unwrap_or_default();
        while !rest.is_empty() {
            let (text, after) = rest.split_at(rest.floor_char_boundary(MAX_SEGMENT_BYTES));
            let speaker = events.meta.as_ref().filter(|_| position == 0).and_then(speaker);
            segments.push(Segment {
                run: self.run,
                app: self.app,
                attempt: self.attempt,
                position,
                said: Said { text: text.to_owned(), speaker },
            });
            position += u32::try_from(text.len()).unwrap_or(u32::MAX);
            rest = after;
        }
        self.stored_bytes.store(position, Ordering::SeqCst);
        segments
    }
}

impl Unsaved {
    /// Whether anybody may still want to read it: not once the run has ended, or goes on
    /// elsewhere with another attempt.
    pub(crate) fn is_wanted(&self) -> bool {
        self.transcript.log.read(|events| events.is_under_way(self.segment.attempt))
    }
}

fn speaker(meta: &RunEvent) -> Option<Speaker> {
    let RunEvent::Meta { source, reason } = meta else { return None };
    Some(Speaker { source: source.to_string(), reason: reason.as_deref().map(str::to_owned) })
}

impl From<&Speaker> for RunEvent {
    fn from(speaker: &Speaker) -> Self {
        Self::Meta {
            source: speaker.source.as_str().into(),
            reason: speaker.reason.as_deref().map(Into::into),
        }
    }
}
