//! Exceptions that an operator makes.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;
use url::Host;

/// A host or a network that may be called although it isn't public.
///
/// ```
/// # use nexo_core::dispatch::webhook::AllowRule;
/// let network: AllowRule = "10.20.0.0/16".parse()?;
/// let host: AllowRule = "Agents.Internal".parse()?;
/// assert_eq!(host.to_string(), "agents.internal");
/// # Ok::<(), nexo_core::dispatch::webhook::InvalidAllowRule>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowRule {
    /// This host name, wherever it leads.
    Host(String),
    /// Every address in this network.
    Network(IpNet),
}

impl AllowRule {
    pub(super) fn matches(&self, host: &str, ip: Option<IpAddr>) -> bool {
        match self {
            Self::Host(allowed) => allowed == host,
            Self::Network(network) => ip.is_some_and(|ip| network.contains(&ip)),
        }
    }
}

/// The text is neither a host name nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a host name nor a network such as 10.0.0.0/8")]
pub struct InvalidAllowRule(String);

impl FromStr for AllowRule {
    type Err = InvalidAllowRule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Network(ip.into()));
        }
        match Host::parse(text) {
            // A star is a valid name to the parser, but who writes one means a pattern.
            Ok(Host::Domain(name)) if !super::bare(&name).is_empty() && !name.contains('*') => {
                Ok(Self::Host(super::bare(&name).to_owned()))
            }
            Ok(Host::Ipv4(ip)) => Ok(Self::Network(IpAddr::from(ip).into())),
            Ok(Host::Ipv6(ip)) => Ok(Self::Network(IpAddr::from(ip).into())),
            _ => Err(InvalidAllowRule(text.to_owned())),
        }
    }
}

impl std::fmt::Display for AllowRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Network(network) => network.fmt(f),
        }
    }
}
