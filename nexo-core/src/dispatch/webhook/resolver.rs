//! How host names become network addresses.

use std::{fmt, io, net::IpAddr};

use async_trait::async_trait;

/// Looks host names up. What comes back is vetted by the [`Guard`](super::Guard), and exactly
/// that is dialled.
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// All addresses of a name.
    ///
    /// # Errors
    ///
    /// If the name does not exist, or can't be looked up now.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Looks names up as the operating system does.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let addresses = tokio::net::lookup_host((name, 0)).await?;
        Ok(addresses.map(|address| address.ip()).collect())
    }
}
