//! The guard: where agents may be called.
//!
//! Users say where their agents are, and we call from inside our own network: without a guard
//! they could have us call databases, metadata services and neighbours. What counts is the
//! address that a name leads to, looked up once and dialled as it was vetted, never the text.

mod address;
mod rule;

use std::net::{IpAddr, SocketAddr};

use url::{Host, ParseError, Url};

pub use address::is_public;
pub use rule::{AllowRule, InvalidAllowRule};

use crate::{Failure, FailureKind};

/// The most bytes that an address may have.
pub const MAX_URL_BYTES: usize = 2_048;

const MAX_NAME_BYTES: usize = 253;

/// Names that mean something within a network only.
const LOCAL_SUFFIXES: [&str; 4] = ["localhost", "local", "internal", "home.arpa"];

/// Spellings of the machine itself that count as one for [`Loopback::Allowed`].
const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Whether an agent may run on the same machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loopback {
    /// It may not.
    #[default]
    Denied,
    /// It may, at `localhost`, `127.0.0.1` or `[::1]`, on any port but our own. Other names
    /// that lead to the machine stay refused: anyone can make one.
    Allowed,
}

/// Decides where agents may be called: by default at public addresses, over `http` and
/// `https`, on any port.
///
/// ```
/// # use nexo_core::{FailureKind, dispatch::webhook::{Guard, Loopback}};
/// let guard = Guard::new();
/// assert!(guard.check_url("https://agent.example.com/hook").is_ok());
/// let refused = guard.check_url("http://0x7f.1:8080/").unwrap_err();
/// assert_eq!(refused.kind, FailureKind::WebhookUrlBlocked);
///
/// let development = guard.with_loopback(Loopback::Allowed);
/// assert!(development.check_url("http://localhost:8080/").is_ok());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Guard {
    loopback: Loopback,
    https_only: bool,
    ports: Vec<u16>,
    allowed: Vec<AllowRule>,
    own: Vec<SocketAddr>,
}

impl Guard {
    /// The default rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether agents may run on the same machine; denied by default.
    #[must_use]
    pub fn with_loopback(mut self, loopback: Loopback) -> Self {
        self.loopback = loopback;
        self
    }

    /// Whether `http` is refused; it isn't by default.
    #[must_use]
    pub fn with_https_only(mut self, https_only: bool) -> Self {
        self.https_only = https_only;
        self
    }

    /// The only ports that may be called; by default, and with an empty list, any may.
    #[must_use]
    pub fn with_ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.ports = ports.into_iter().collect();
        self
    }

    /// Hosts and networks that may be called although they aren't public; none by default.
    #[must_use]
    pub fn with_allowed(mut self, rules: impl IntoIterator<Item = AllowRule>) -> Self {
        self.allowed = rules.into_iter().collect();
        self
    }

    /// Where this server itself listens, which no rule opens: a server that calls itself goes
    /// round in circles. One that listens on all addresses is known by loopback and by what is
    /// named here; a rule that opens its network opens its own port there. None by default.
    #[must_use]
    pub fn with_own_addresses(mut self, own: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.own = own.into_iter().collect();
        self
    }

    /// Checks all that can be known without looking a name up: when an address is saved, and
    /// again before each call, since the rules may have changed. Gives the address in its
    /// normal form, the one to call.
    ///
    /// # Errors
    ///
    /// A [`Failure`] of the kinds [`FailureKind::WebhookUrlEmpty`],
    /// [`FailureKind::WebhookUrlBadScheme`], [`FailureKind::WebhookUrlNoHost`] or
    /// [`FailureKind::WebhookUrlBlocked`].
    pub fn check_url(&self, text: &str) -> Result<Url, Failure> {
        let url = parse(text)?;
        self.check_scheme(&url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(blocked("the URL has a user name or password in it"));
        }
        let port = url.port_or_known_default().unwrap_or_default();
        if !self.ports.is_empty() && !self.ports.contains(&port) {
            return Err(blocked(format!("port {port} is not among those allowed")));
        }
        match url.host() {
            Some(Host::Domain(name)) => self.check_name(name)?,
            Some(Host::Ipv4(ip)) => self.check_literal(ip.into(), port)?,
            Some(Host::Ipv6(ip)) => self.check_literal(ip.into(), port)?,
            None => return Err(no_host("the URL has no host")),
        }
        Ok(url)
    }

    /// Checks all addresses that a name leads to. One bad address among good ones is an
    /// attack or a mistake, so it is enough to refuse.
    ///
    /// # Errors
    ///
    /// [`FailureKind::WebhookUrlBlocked`].
    pub fn check_answers(&self, name: &str, answers: &[IpAddr], port: u16) -> Result<(), Failure> {
        let name = bare(name);
        answers.iter().try_for_each(|ip| self.check_address(name, *ip, port))
    }

    fn check_scheme(&self, url: &Url) -> Result<(), Failure> {
        match url.scheme() {
            "https" => Ok(()),
            "http" if !self.https_only => Ok(()),
            "http" => Err(bad_scheme("the scheme has to be https")),
            _ => Err(bad_scheme("the scheme is neither http nor https")),
        }
    }

    fn check_name(&self, name: &str) -> Result<(), Failure> {
        let name = bare(name);
        if name.is_empty() {
            return Err(no_host("the URL has no host"));
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(blocked("the host name is too long"));
        }
        if self.allows(name, None) || self.is_loopback_exception(name) || !is_local_name(name) {
            return Ok(());
        }
        Err(blocked(format!("{name} is a name within a network")))
    }

    fn check_literal(&self, ip: IpAddr, port: u16) -> Result<(), Failure> {
        self.check_address(&ip.to_canonical().to_string(), ip, port)
    }

    fn check_address(&self, host: &str, ip: IpAddr, port: u16) -> Result<(), Failure> {
        let ip = ip.to_canonical();
        if self.is_own(ip, port) {
            return Err(blocked(format!("{host} port {port} is this server itself")));
        }
        let is_exception = ip.is_loopback() && self.is_loopback_exception(host);
        if is_public(ip) || is_exception || self.allows(host, Some(ip)) {
            return Ok(());
        }
        Err(blocked(format!("{host} leads to {ip}, which is not a public address")))
    }

    fn allows(&self, host: &str, ip: Option<IpAddr>) -> bool {
        self.allowed.iter().any(|rule| rule.matches(host, ip))
    }

    fn is_loopback_exception(&self, host: &str) -> bool {
        self.loopback == Loopback::Allowed && LOOPBACK_HOSTS.contains(&host)
    }

    /// A server that listens on all addresses is reached through loopback as well.
    fn is_own(&self, ip: IpAddr, port: u16) -> bool {
        self.own.iter().filter(|own| own.port() == port).any(|own| {
            let own = own.ip().to_canonical();
            own == ip || ip.is_loopback() && (own.is_unspecified() || own.is_loopback())
        })
    }
}

/// Control characters are refused rather than dropped, as the standard parser does: what
/// somebody reads and what is called would differ.
fn parse(text: &str) -> Result<Url, Failure> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::new(FailureKind::WebhookUrlEmpty, "the URL is empty"));
    }
    if text.len() > MAX_URL_BYTES {
        return Err(blocked(format!("the URL is longer than {MAX_URL_BYTES} bytes")));
    }
    if text.contains(char::is_control) {
        return Err(blocked("the URL has control characters in it"));
    }
    Url::parse(text).map_err(|error| unparsable(text, error))
}

fn unparsable(text: &str, error: ParseError) -> Failure {
    let scheme = text.split(':').next().unwrap_or_default().to_ascii_lowercase();
    if error == ParseError::RelativeUrlWithoutBase || !["http", "https"].contains(&&*scheme) {
        bad_scheme("the scheme is neither http nor https")
    } else {
        no_host(&format!("the URL has no usable host: {error}"))
    }
}

/// A name without the dot that marks it as complete.
fn bare(name: &str) -> &str {
    name.trim_end_matches('.')
}

fn is_local_name(name: &str) -> bool {
    LOCAL_SUFFIXES.iter().any(|suffix| {
        name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

fn blocked(why: impl AsRef<str>) -> Failure {
    Failure::new(FailureKind::WebhookUrlBlocked, format!("blocked: {}", why.as_ref()))
}

fn bad_scheme(why: &str) -> Failure {
    Failure::new(FailureKind::WebhookUrlBadScheme, why)
}

fn no_host(why: &str) -> Failure {
    Failure::new(FailureKind::WebhookUrlNoHost, why)
}

#[cfg(test)]
mod tests;
