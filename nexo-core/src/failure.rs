//! Failures of runs: why an agent's answer did not come.

use std::fmt;

/// Why a run failed. The key is shown to clients; the detail goes to the log, the run's record
/// and the tester, and never holds the partner's body or a secret.
#[derive(Clone)]
pub struct Failure {
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// What exactly happened, for people.
    pub detail: String,
    /// Whether the agent may answer if it is asked again: it did not get the turn, or said
    /// that it is only busy. Of no interest once the run has ended.
    pub is_passing: bool,
}

impl Failure {
    /// A failure of this kind.
    #[must_use]
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), is_passing: false }
    }

    /// That of a run which ended without anybody saying why: a defect of ours.
    pub(crate) fn internal() -> Self {
        Self::new(FailureKind::Internal, "the run ended without a word")
    }

    /// The same, for something that may be over when it is tried again.
    #[must_use]
    pub fn passing(mut self) -> Self {
        self.is_passing = true;
        self
    }

    /// Whether it tells that the agent is out, and not only that it has no answer to this turn:
    /// it was not reached, said that it is only busy, or let the time pass.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        self.is_passing || self.kind == FailureKind::WebhookTimeout
    }
}

/// Two failures are the same if they say the same; stores keep nothing else of them.
impl PartialEq for Failure {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.detail == other.detail
    }
}

impl Eq for Failure {}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.key(), self.detail)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

macro_rules! failures {
    ($(#[doc = $doc:literal] $name:ident = $key:literal),* $(,)?) => {
        /// The kinds of failure, each with a stable key for clients to translate.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FailureKind {$(
            #[doc = $doc]
            $name,
        )*}

        impl FailureKind {
            /// Every kind there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The key as it is stored and sent.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self {$(Self::$name => $key),*}
            }

            /// What it means, in a sentence without any names, addresses or texts.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self {$(Self::$name => $doc.trim_ascii()),*}
            }

            /// The kind with this key.
            #[must_use]
            pub fn find(key: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.key() == key)
            }

            /// The kind that a store has kept under this key.
            ///
            /// A newer server on the same store may know kinds that this one does not. Its runs
            /// and threads must stay readable here, so an unknown kind is [`Self::Internal`].
            #[must_use]
            pub fn from_stored(key: &str) -> Self {
                Self::find(key).unwrap_or(Self::Internal)
            }
        }
    };
}

failures! {
    /// A clock of the call ran out.
    WebhookTimeout = "WEBHOOK_TIMEOUT",
    /// Could not connect, or the transfer broke.
    WebhookRequestFailed = "WEBHOOK_REQUEST_FAILED",
    /// The status was not 200.
    WebhookBadStatus = "WEBHOOK_BAD_STATUS",
    /// The body is not JSON, or not an object.
    WebhookInvalidJson = "WEBHOOK_INVALID_JSON",
    /// `reply` is absent, null, or neither text nor number.
    WebhookMissingReply = "WEBHOOK_MISSING_REPLY",
    /// Neither JSON nor an event stream.
    WebhookBadContentType = "WEBHOOK_BAD_CONTENT_TYPE",
    /// The event stream breaks its own format.
    WebhookInvalidStream = "WEBHOOK_INVALID_STREAM",
    /// The agent said that it failed.
    WebhookAgentError = "WEBHOOK_AGENT_ERROR",
    /// More came than the caps allow.
    WebhookTooLarge = "WEBHOOK_TOO_LARGE",
    /// The reply is compressed, which was not asked for.
    WebhookBadEncoding = "WEBHOOK_BAD_ENCODING",
    /// There is no address.
    WebhookUrlEmpty = "WEBHOOK_URL_EMPTY",
    /// The address is neither `http` nor `https`.
    WebhookUrlBadScheme = "WEBHOOK_URL_BAD_SCHEME",
    /// The address names no host.
    WebhookUrlNoHost = "WEBHOOK_URL_NO_HOST",
    /// The address must not be called.
    WebhookUrlBlocked = "WEBHOOK_URL_BLOCKED",
    /// The simulator was told to fail.
    SimulatorError = "SIMULATOR_ERROR",
    /// The agent gave neither a reply nor an error.
    NoReply = "ERROR_NO_REPLY",
    /// The agent can't be called at the moment.
    AgentUnavailable = "AGENT_UNAVAILABLE",
    /// The run was cancelled.
    RunCancelled = "RUN_CANCELLED",
    /// Somebody else answers in its place: another run, another agent, or a person.
    RunSuperseded = "RUN_SUPERSEDED",
    /// The run took longer than its deadline.
    RunExpired = "RUN_EXPIRED",
    /// The server that ran it is gone.
    RunInterrupted = "RUN_INTERRUPTED",
    /// The agent will answer later.
    RunWaiting = "RUN_WAITING",
    /// There was no space left to store the reply.
    StorageFull = "ERROR_STORAGE_FULL",
    /// Nexo itself failed.
    Internal = "ERROR_INTERNAL",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_kind_that_nobody_knows_here_is_an_internal_failure() {
        assert_eq!(FailureKind::from_stored("WEBHOOK_TIMEOUT"), FailureKind::WebhookTimeout);
        assert_eq!(FailureKind::from_stored("FROM_THE_FUTURE"), FailureKind::Internal);
    }
}
