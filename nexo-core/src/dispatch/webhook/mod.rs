//! Agents that are called over HTTP: one POST per turn, answered with JSON or an event stream.
//!
//! An answer is one JSON object with `reply`, or server-sent events: any number of `delta`
//! with `{"text":"…"}` (or `{"delta":"…"}`), then `done`, or `error`. Either is good wherever
//! a turn comes from. Long deltas are passed on in pieces of at most 1 KiB; a reply that came
//! in one piece is passed on in one piece.
//!
//! Status 200 is an answer, 202 says that it will come later, anything else is a failure.
//! Redirects and proxies are not followed, and nothing is tried twice.
//!
//! # Clocks
//!
//! The app's timeout bounds the time until the answer begins, for JSON until its end, and for
//! a stream each gap between two events; comments keep no stream alive. [`Limits`] has what
//! holds for every app.

mod answer;
mod call;
mod client;
mod content;
mod guard;
mod headers;
mod json_reply;
mod payload;
mod record;
mod resolver;
mod stream_reply;
mod target;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

pub use guard::{AllowRule, Guard, InvalidAllowRule, Loopback, MAX_URL_BYTES, is_public};
pub use headers::HeaderNames;
pub use resolver::{Resolve, SystemResolver};

use super::{AgentStream, Dispatcher, Turn, events};
use crate::{Clock, SystemClock};

/// What an agent may take up, whichever app it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a stream may last from its head on: 5 minutes.
    pub stream: Duration,
    /// How long the look-up of a host name may take: 3 seconds.
    pub dns: Duration,
    /// The most bytes of the answer's headers: 16 KiB.
    pub head_bytes: usize,
    /// The most bytes of a JSON answer: 1 MiB.
    pub body_bytes: usize,
    /// The most bytes of a stream, everything counted: 16 MiB.
    pub stream_bytes: usize,
    /// The most bytes of one event in a stream: 64 KiB.
    pub event_bytes: usize,
    /// The most bytes of the reply's text: 256 KiB.
    pub reply_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stream: Duration::from_secs(5 * 60),
            dns: Duration::from_secs(3),
            head_bytes: 16 * 1024,
            body_bytes: 1024 * 1024,
            stream_bytes: 16 * 1024 * 1024,
            event_bytes: crate::sse::MAX_EVENT_BYTES,
            reply_bytes: 256 * 1024,
        }
    }
}

/// Calls agents over HTTP. Make one and share it: it keeps connections.
///
/// ```
/// # use nexo_core::dispatch::webhook::{Guard, Loopback, WebhookDispatcher};
/// let dispatcher = WebhookDispatcher::new(Guard::new().with_loopback(Loopback::Allowed));
/// # let _ = dispatcher;
/// ```
#[derive(Clone, Debug)]
pub struct WebhookDispatcher {
    shared: Arc<Shared>,
}

#[derive(Clone, Debug)]
struct Shared {
    /// Made for the first call: it reads the system's certificates.
    client: Arc<OnceLock<reqwest::Client>>,
    guard: Arc<Guard>,
    resolver: Arc<dyn Resolve>,
    names: HeaderNames,
    clock: Arc<dyn Clock>,
    limits: Limits,
}

impl Shared {
    fn client(&self) -> &reqwest::Client {
        self.client.get_or_init(client::client)
    }

    fn target(&self, url: &url::Url) -> target::Target {
        let (guard, resolver) = (Arc::clone(&self.guard), Arc::clone(&self.resolver));
        target::Target::new(url, guard, resolver, self.limits.dns)
    }
}

/// Calls what is neither within this machine nor within its network.
impl Default for WebhookDispatcher {
    fn default() -> Self {
        Self::new(Guard::new())
    }
}

impl WebhookDispatcher {
    /// A dispatcher that calls what the guard lets it call.
    #[must_use]
    pub fn new(guard: Guard) -> Self {
        let shared = Shared {
            client: Arc::default(),
            guard: Arc::new(guard),
            resolver: Arc::new(SystemResolver::default()),
            names: HeaderNames::default(),
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// How host names are looked up; by the operating system by default.
    #[must_use]
    pub fn with_resolver(self, resolver: impl Resolve) -> Self {
        self.with(|shared| shared.resolver = Arc::new(resolver))
    }

    /// What the headers are called; see [`HeaderNames`] for the defaults.
    #[must_use]
    pub fn with_header_names(self, names: HeaderNames) -> Self {
        self.with(|shared| shared.names = names)
    }

    /// What time it is for timestamps; the machine's by default.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|shared| shared.clock = clock)
    }

    /// What an agent may take up; see [`Limits`] for the defaults.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        self.with(|shared| shared.limits = limits)
    }

    /// The guard, to check an address before it is saved.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.shared.guard
    }

    fn with(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }
}

impl Dispatcher for WebhookDispatcher {
    fn dispatch(&self, turn: Arc<Turn>) -> AgentStream {
        let shared = Arc::clone(&self.shared);
        events::stream(move |events| call::run(shared, turn, events))
    }
}
