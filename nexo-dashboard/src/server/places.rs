//! Places: how many connections there may be, in all and from one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use nexo_http::network_of;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts the connections.
pub(super) struct Places {
    all: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    per_address: Option<usize>,
}

#[derive(Default)]
struct Addresses(Mutex<HashMap<IpAddr, usize>>);

impl Places {
    pub(super) fn new(all: usize, per_address: Option<usize>) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), addresses: Arc::default(), per_address }
    }

    /// Waits until there is room for one more; the rest queue in the system meanwhile.
    pub(super) async fn wait(&self) -> Place<'_> {
        let permit = Arc::clone(&self.all).acquire_owned().await;
        Place { permit: permit.expect("the semaphore is never closed"), places: self }
    }
}

/// Room for a connection, from wherever it comes.
pub(super) struct Place<'a> {
    permit: OwnedSemaphorePermit,
    places: &'a Places,
}

impl Place<'_> {
    /// The place of a connection from this address, unless its network has its share.
    pub(super) fn with_address(self, address: IpAddr) -> Option<Taken> {
        let address = network_of(address);
        let addresses = &self.places.addresses;
        addresses.add(address, self.places.per_address.unwrap_or(usize::MAX)).then(|| Taken {
            address,
            addresses: Arc::clone(addresses),
            _permit: self.permit,
        })
    }
}

/// A connection's place, given back when it is dropped.
pub(super) struct Taken {
    address: IpAddr,
    addresses: Arc<Addresses>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.addresses.remove(self.address);
    }
}

impl Addresses {
    fn add(&self, address: IpAddr, limit: usize) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = counts.get(&address).copied().unwrap_or(0);
        if open >= limit {
            return false;
        }
        counts.insert(address, open + 1);
        metrics::gauge!("nexo_connections").increment(1.0);
        true
    }

    fn remove(&self, address: IpAddr) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = counts.get_mut(&address) {
            metrics::gauge!("nexo_connections").decrement(1.0);
            *open -= 1;
            if *open == 0 {
                counts.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[tokio::test]
    async fn an_address_gets_its_share_and_no_more() {
        let places = Places::new(10, Some(2));
        let first = places.wait().await.with_address(A);
        let _second = places.wait().await.with_address(A).unwrap();

        assert!(places.wait().await.with_address(A).is_none());
        assert!(places.wait().await.with_address(B).is_some());
        drop(first);
        assert!(places.wait().await.with_address(A).is_some());
    }

    #[tokio::test]
    async fn addresses_of_one_customer_share() {
        let places = Places::new(10, Some(1));
        let _first = places.wait().await.with_address("2001:db8::1".parse().unwrap()).unwrap();

        assert!(places.wait().await.with_address("2001:db8::2".parse().unwrap()).is_none());
        assert!(places.wait().await.with_address("2001:db8:0:1::1".parse().unwrap()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_let_in_beyond_the_whole_number() {
        let places = Places::new(1, None);
        let taken = places.wait().await.with_address(A).unwrap();

        let waited = tokio::time::timeout(Duration::from_secs(1), places.wait()).await;
        assert!(waited.is_err());

        drop(taken);
        places.wait().await;
    }
}
