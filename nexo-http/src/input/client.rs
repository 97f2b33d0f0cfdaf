//! The client: from where it calls.

use std::net::{IpAddr, Ipv6Addr};

use super::{Input, Reject};
use crate::{Api, Request};

/// From where the client calls, as far as rate limits are concerned.
pub(crate) struct Client {
    /// The network that the address belongs to; see [`network_of`].
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
    let address = forwarded.or(request.peer);
    address.map_or_else(|| "unknown".to_owned(), |address| network_of(address).to_string())
}

/// The network that limits are for: one IPv4 address, or an IPv6 /64, which is what one customer
/// of a provider gets.
///
/// ```
/// # use nexo_http::network_of;
/// let one = network_of("2001:db8::1".parse()?);
/// assert_eq!(one, network_of("2001:db8::ffff:2".parse()?));
/// assert_eq!(network_of("::ffff:192.0.2.1".parse()?), network_of("192.0.2.1".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// The address that the nearest proxy saw: the last one of the last line, since clients can
/// invent the others, and some proxies add a line of their own instead of an element.
fn forwarded_for(request: &Request) -> Option<IpAddr> {
    let line = request.headers.get_all("x-forwarded-for").iter().next_back()?;
    line.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
}
