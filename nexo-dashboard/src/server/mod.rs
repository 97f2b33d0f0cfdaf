//! The accept loop: connections are taken, bounded in number and time, and ended in good
//! order. Which web framework speaks HTTP on them makes no difference to any of that.

#[cfg(feature = "actix")]
mod actix;
#[cfg(feature = "axum")]
mod axum;
mod farewell;
mod places;
mod socket;

use std::{io, net::SocketAddr, time::Duration};

use nexo_http::Api;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::{
    places::{Places, Taken},
    socket::GuardedSocket,
};
use crate::{
    config::{Framework, Listen},
    error::{Context, Failure, Result},
};

/// How long a client may leave what it is sent unread.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// When no connection can be taken, trying again at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens where the configuration says.
pub(crate) async fn bind(listen: &Listen) -> Result<TcpListener> {
    let Listen { host, port, .. } = listen;
    match TcpListener::bind((host.as_str(), *port)).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Failure::new(format!(
            "{host}:{port} is taken: another server runs there. Stop it, or choose another PORT"
        ))),
        bound => bound.context(format!("can't listen on {host}:{port}")),
    }
}

/// The connections that were taken, and the web framework that speaks HTTP on them.
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
pub(crate) enum Connections {
    #[cfg(feature = "axum")]
    Axum(axum::Connections),
    #[cfg(feature = "actix")]
    Actix(actix::Connections),
}

impl Connections {
    /// None yet.
    pub(crate) async fn new(api: &Api, listen: &Listen) -> Result<Self> {
        match listen.framework {
            #[cfg(feature = "axum")]
            Framework::Axum => Ok(Self::Axum(axum::Connections::new(api, listen))),
            #[cfg(feature = "actix")]
            Framework::Actix => Ok(Self::Actix(actix::Connections::new(api, listen).await?)),
        }
    }

    fn add(&mut self, connection: Connection) {
        match self {
            #[cfg(feature = "axum")]
            Self::Axum(connections) => connections.add(connection),
            #[cfg(feature = "actix")]
            Self::Actix(connections) => connections.add(connection),
        }
    }

    /// Lets each answer the request that is under way, and waits for all to end.
    pub(crate) async fn end(self) {
        match self {
            #[cfg(feature = "axum")]
            Self::Axum(connections) => connections.end().await,
            #[cfg(feature = "actix")]
            Self::Actix(connections) => connections.end().await,
        }
    }
}

/// A connection that was taken.
struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    place: Taken,
}

/// Takes connections until `stop`.
pub(crate) async fn accept(
    listener: TcpListener,
    connections: &mut Connections,
    listen: &Listen,
    stop: &CancellationToken,
) {
    let places = Places::new(listen.max_connections, listen.max_connections_per_address);
    while let Some(place) = stop.run_until_cancelled(places.wait()).await {
        let Some((stream, peer)) = stop.run_until_cancelled(next(&listener)).await else { break };
        match place.with_address(peer.ip()) {
            Some(place) => connections.add(Connection { stream, peer, place }),
            None => debug!("a connection was refused: its address has too many"),
        }
    }
}

/// The next connection. Running out of files is no reason to stop, nor to spin.
async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Small pieces of a reply should not wait for one another.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                warn!(%error, "no connection can be taken at the moment");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
