//! Errors: what happened, and how to react.
//!
//! A variant says what happened. [`Error::kind`] folds the variants into an [`ErrorKind`],
//! which is exhaustive: whoever turns it into a status decides about each kind.

use crate::{AppId, Failure, FailureKind, RunId, ThreadId};

/// An error of any type, for the cause behind one of ours.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a fallible operation of nexo gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The user does not exist.
    #[error("user not found")]
    UserNotFound,
    /// The app does not exist, or is not the caller's.
    #[error("app {0} not found")]
    AppNotFound(AppId),
    /// The agent does not exist, or is not the caller's.
    #[error("agent not found")]
    AgentNotFound,
    /// The subscriber does not exist, or is not the caller's.
    #[error("subscriber not found")]
    SubscriberNotFound,
    /// The thread does not exist, or is not the caller's.
    #[error("thread {0} not found")]
    ThreadNotFound(ThreadId),
    /// The message does not exist, or is not the caller's.
    #[error("message not found")]
    MessageNotFound,
    /// The run does not exist, or is not the caller's.
    #[error("run not found")]
    RunNotFound,
    /// The delivery does not exist, or is not the caller's.
    #[error("delivery not found")]
    DeliveryNotFound,
    /// The replay does not exist, or is not the caller's.
    #[error("replay not found")]
    ReplayNotFound,
    /// A run was asked for on a thread in which no user has said anything yet.
    #[error("thread {0} has no user message")]
    NoUserMessages(ThreadId),
    /// A person holds the thread: agents are paused on it.
    #[error("thread {0} is held by a person")]
    ThreadHeld(ThreadId),
    /// The cursor is not one of this list.
    #[error("invalid cursor")]
    InvalidCursor,
    /// Another account has this e-mail address.
    #[error("e-mail address taken")]
    EmailTaken,
    /// An app's configuration would be larger than [`crate::MAX_CONFIG_BYTES`].
    #[error("configuration too large")]
    ConfigTooLarge,
    /// A run was to be started on a thread that is busy, and to be refused then.
    #[error("thread {0} has an active run")]
    RunActive(ThreadId),
    /// A message was to be answered that is not the newest of a user any more.
    #[error("thread {0} has a newer user message")]
    MessageOutdated(ThreadId),
    /// Nothing was sent to the agent: it has no address, or one that must not be called, or is
    /// left alone for now.
    #[error("nothing was sent")]
    NotSent(#[source] Failure),
    /// The run has ended already.
    #[error("run {0} has ended")]
    RunEnded(RunId),
    /// Somebody answered a run that does not wait for an answer.
    #[error("run {0} does not wait for a reply")]
    RunNotWaiting(RunId),
    /// The idempotency key was used for another request.
    #[error("idempotency key used for another request")]
    IdempotencyKeyReused,
    /// A request with this idempotency key is under way: what comes of it is not known yet.
    #[error("a request with this idempotency key is in progress")]
    RequestInProgress,
    /// What was to be made exists already, or is in a state that does not allow the change.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// Somebody else has taken the run over; nothing of this was written.
    #[error("run was taken over")]
    Fenced,
    /// The storage can't be reached, or is too busy; nothing was written. Trying again later helps.
    #[error("storage unavailable")]
    Unavailable(#[source] BoxError),
    /// The storage has no space left; nothing was written.
    #[error("storage full")]
    Full(#[source] BoxError),
    /// The storage was lost while it was committing: it may or may not have been written.
    #[error("outcome unknown")]
    OutcomeUnknown(#[source] BoxError),
    /// The storage failed; the source says how.
    #[error("storage failed")]
    Store(#[source] BoxError),
    /// Something stored can't be read: a sealed secret without its key, a broken row.
    #[error("stored data unreadable: {0}")]
    Corrupt(&'static str),
}

impl Error {
    /// Whether the same may well work when it is tried again a little later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::OutcomeUnknown(_) | Self::Full(_))
    }

    /// The kind of the error, for a reaction.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UserNotFound => ErrorKind::UserNotFound,
            Self::AppNotFound(_) => ErrorKind::AppNotFound,
            Self::AgentNotFound => ErrorKind::AgentNotFound,
            Self::SubscriberNotFound => ErrorKind::SubscriberNotFound,
            Self::ThreadNotFound(_) => ErrorKind::ThreadNotFound,
            Self::MessageNotFound => ErrorKind::MessageNotFound,
            Self::RunNotFound => ErrorKind::RunNotFound,
            Self::DeliveryNotFound => ErrorKind::DeliveryNotFound,
            Self::ReplayNotFound => ErrorKind::ReplayNotFound,
            Self::NoUserMessages(_) => ErrorKind::NoUserMessages,
            Self::ThreadHeld(_) => ErrorKind::ThreadHeld,
            Self::RunActive(_) => ErrorKind::RunActive,
            Self::MessageOutdated(_) => ErrorKind::MessageOutdated,
            Self::NotSent(failure) => ErrorKind::NotSent(failure.kind),
            Self::RunEnded(_) => ErrorKind::RunEnded,
            Self::RunNotWaiting(_) => ErrorKind::RunNotWaiting,
            Self::InvalidCursor => ErrorKind::InvalidCursor,
            Self::EmailTaken => ErrorKind::EmailTaken,
            Self::ConfigTooLarge => ErrorKind::ConfigTooLarge,
            Self::IdempotencyKeyReused => ErrorKind::IdempotencyKeyReused,
            Self::RequestInProgress => ErrorKind::RequestInProgress,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::Fenced => ErrorKind::Fenced,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Full(_) => ErrorKind::Full,
            Self::OutcomeUnknown(_) => ErrorKind::OutcomeUnknown,
            Self::Store(_) | Self::Corrupt(_) => ErrorKind::Internal,
        }
    }
}

/// How to react to an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is told at the variant of `Error` that it stands for")]
pub enum ErrorKind {
    UserNotFound,
    AppNotFound,
    AgentNotFound,
    SubscriberNotFound,
    ThreadNotFound,
    MessageNotFound,
    RunNotFound,
    DeliveryNotFound,
    ReplayNotFound,
    NoUserMessages,
    ThreadHeld,
    RunActive,
    MessageOutdated,
    NotSent(FailureKind),
    RunEnded,
    RunNotWaiting,
    InvalidCursor,
    EmailTaken,
    ConfigTooLarge,
    IdempotencyKeyReused,
    RequestInProgress,
    Conflict,
    Fenced,
    Unavailable,
    Full,
    OutcomeUnknown,
    Internal,
}
