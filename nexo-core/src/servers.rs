//! Servers: who is alive, and what all servers on one store have to agree on.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{Result, ServerId};

/// After this much silence a server without running runs is forgotten.
pub const SERVER_FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// The names of the handlers that a server has ([`NexoBuilder::agent`]). Cheap to clone.
///
/// ```
/// # use nexo_core::Handlers;
/// let handlers: Handlers = ["concierge", "baker"].into_iter().collect();
/// assert!(handlers.have(Some("baker")) && !handlers.have(Some("butcher")));
/// assert!(handlers.have(None), "whoever needs none finds what they need everywhere");
/// ```
///
/// [`NexoBuilder::agent`]: crate::NexoBuilder::agent
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handlers(Arc<BTreeSet<String>>);

impl Handlers {
    /// Whether a run that needs this handler, or none, can begin here.
    #[must_use]
    pub fn have(&self, handler: Option<&str>) -> bool {
        handler.is_none_or(|handler| self.0.contains(handler))
    }

    /// The names, in rising order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<T: Into<String>> FromIterator<T> for Handlers {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        Self(Arc::new(names.into_iter().map(Into::into).collect()))
    }
}

/// Where servers report.
#[async_trait]
pub trait ServerStore: fmt::Debug + Send + Sync + 'static {
    /// Says that the server is alive, now, by the store's clock, and which handlers it has. The
    /// first call registers it.
    async fn beat(&self, server: ServerId, handlers: &Handlers) -> Result<()>;

    /// Says that the server has ended in good order.
    async fn retire(&self, server: ServerId) -> Result<()>;

    /// Sets a value that must be the same for every server on this store, unless it is set;
    /// gives the value that stands. Of many at once, all get the same.
    async fn pin_setting(&self, name: &str, value: &str) -> Result<String>;

    /// Sets a value that stands as `from` to `to`, and gives whether it did: of many who want to
    /// at once, one does.
    async fn replace_setting(&self, name: &str, from: &str, to: &str) -> Result<bool>;

    /// Whether the store answers: `Ok` within the caller's patience means it does.
    async fn ping(&self) -> Result<()>;

    /// Removes what has ended and nobody asks for any more, by the store's clock: keys that
    /// have expired, replaced secrets whose overlap is over, and servers that were silent for
    /// [`SERVER_FORGOTTEN_AFTER`] and have no run in state `running`.
    ///
    /// It changes nothing else: an app without its replaced secret is as old as before.
    async fn prune(&self) -> Result<()>;
}
