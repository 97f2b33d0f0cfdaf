//! The client: from where it calls.

use std::net::{IpAddr, Ipv6Addr};

use super::{Input, Reject};
use crate::{Api, Request};

/// From where the client calls, as far as rate limits are concerned.
pub(crate) struct Client {
    /// The network that the address belongs to: one IPv4 address, or an IPv6 /64, which is
    /// what one customer of a provider gets.
    pub(crate) network: String,
}

impl Input for Client {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        Ok(Self { network: network(request, api) })
    }
}

/// The network that the client's address belongs to.
pub(crate) fn network(request: &Request, api: &Api) -> String {
    let forwarded = api.settings().trust_forwarded_for.then(|| forwarded_for(request)).flatten();
    match forwarded.or(request.peer).map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => Ipv6Addr::from(u128::from(address) >> 64 << 64).to_string(),
        None => "unknown".to_owned(),
    }
}

/// The address that the nearest proxy saw: the last one of the last line, since clients can
/// invent the others, and some proxies add a line of their own instead of an element.
fn forwarded_for(request: &Request) -> Option<IpAddr> {
    let line = request.headers.get_all("x-forwarded-for").iter().next_back()?;
    line.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
}
