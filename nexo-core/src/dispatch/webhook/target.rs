//! Where one call goes: the name is looked up, every answer is vetted, and the connection is
//! compared with what was vetted before the request is written to it.
//!
//! The HTTP client is shared by all calls, so its resolver and connector learn from a
//! task-local which call they work for.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::time::timeout;
use url::{Host, Url};

use super::{Guard, Resolve};
use crate::{BoxError, Failure, FailureKind};

/// The most addresses of one name that are tried. All of them are vetted.
const MAX_ADDRESSES: usize = 16;

tokio::task_local! {
    /// The call that a connection is made for.
    pub(super) static TARGET: Arc<Target>;
}

#[derive(Debug)]
pub(super) struct Target {
    guard: Arc<Guard>,
    resolver: Arc<dyn Resolve>,
    dns_timeout: Duration,
    port: u16,
    vetted: Mutex<Vec<IpAddr>>,
    peer: OnceLock<SocketAddr>,
    /// Why it was not connected, where the HTTP client would only say that it wasn't.
    refusal: OnceLock<Failure>,
}

impl Target {
    /// `url` has passed the guard: what is literally an address in it counts as vetted.
    pub(super) fn new(
        url: &Url,
        guard: Arc<Guard>,
        resolver: Arc<dyn Resolve>,
        dns_timeout: Duration,
    ) -> Self {
        let literal = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::from(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::from(ip)),
            Some(Host::Domain(_)) | None => None,
        };
        Self {
            guard,
            resolver,
            dns_timeout,
            port: url.port_or_known_default().unwrap_or_default(),
            vetted: Mutex::new(literal.into_iter().collect()),
            peer: OnceLock::new(),
            refusal: OnceLock::new(),
        }
    }

    /// The address that was connected to, if this call made a connection.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.peer.get().copied()
    }

    pub(super) fn refusal(&self) -> Option<&Failure> {
        self.refusal.get()
    }

    /// The addresses to dial for a name.
    pub(super) async fn look_up(&self, name: &str) -> Result<Vec<SocketAddr>, BoxError> {
        let answers = self.answers(name).await.map_err(|failure| self.refuse(failure))?;
        *self.vetted.lock().unwrap_or_else(PoisonError::into_inner) = answers.clone();
        // The client puts the URL's port in place of the zero.
        Ok(answers.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect())
    }

    async fn answers(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        let answers = timeout(self.dns_timeout, self.resolver.resolve(name))
            .await
            .map_err(|_| {
                let after = self.dns_timeout;
                let why = format!("no answer from DNS in {after:?}");
                Failure::new(FailureKind::WebhookTimeout, why).passing()
            })?
            .map_err(|error| failed(format!("{name} could not be looked up: {error}")))?;
        if answers.is_empty() {
            return Err(failed(format!("{name} has no address")));
        }
        self.guard.check_answers(name, &answers, self.port)?;
        let mut answers = answers;
        answers.truncate(MAX_ADDRESSES);
        Ok(answers)
    }

    /// Whether the connection may be used: only if it leads where the look-up said.
    pub(super) fn connected(&self, peer: SocketAddr) -> Result<(), BoxError> {
        let _ = self.peer.set(peer);
        let vetted = self.vetted.lock().unwrap_or_else(PoisonError::into_inner);
        if vetted.iter().any(|ip| ip.to_canonical() == peer.ip().to_canonical()) {
            return Ok(());
        }
        drop(vetted);
        let why = format!("blocked: connected to {peer}, which was not vetted");
        Err(self.refuse(Failure::new(FailureKind::WebhookUrlBlocked, why)))
    }

    fn refuse(&self, failure: Failure) -> BoxError {
        let _ = self.refusal.set(failure.clone());
        failure.into()
    }
}

/// An agent that can't be found is one that can't be reached: it may be there the next time.
fn failed(why: String) -> Failure {
    Failure::new(FailureKind::WebhookRequestFailed, why).passing()
}

#[cfg(test)]
mod tests {
    use super::{super::SystemResolver, *};

    #[test]
    fn a_connection_that_leads_elsewhere_than_was_vetted_is_refused() {
        let url = Url::parse("http://[::ffff:8.8.8.8]/").unwrap();
        let (guard, resolver) = (Arc::default(), Arc::new(SystemResolver::default()));
        let target = Target::new(&url, guard, resolver, Duration::from_secs(1));

        assert!(target.connected("8.8.8.8:80".parse().unwrap()).is_ok());
        assert!(target.connected("127.0.0.1:80".parse().unwrap()).is_err());

        let refusal = target.refusal().map(|failure| failure.kind);
        assert_eq!(refusal, Some(FailureKind::WebhookUrlBlocked));
    }
}
