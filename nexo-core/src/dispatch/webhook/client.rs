//! The HTTP client: one for all calls, doing nothing by itself that wasn't asked for.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use reqwest::{
    Client, ClientBuilder,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect, retry,
};
use tower_layer::Layer;
use tower_service::Service;

use super::target::{TARGET, Target};
use crate::BoxError;

pub(super) const USER_AGENT: &str = concat!("nexo/", env!("CARGO_PKG_VERSION"));

const MAX_IDLE_CONNECTIONS_PER_HOST: usize = 16;

/// After this long a kept connection is given up, and the name looked up and vetted again.
const MAX_IDLE_TIME: Duration = Duration::from_secs(60);

/// Without the system's certificates, calls over `http` still work, and those over `https`
/// fail one by one, with the reason.
pub(super) fn client() -> Client {
    builder().build().unwrap_or_else(|error| {
        tracing::warn!(%error, "no certificates found: agents can't be called over https");
        builder()
            .tls_certs_only([])
            .build()
            .expect("a client that reads nothing from the system can be built")
    })
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(retry::never())
        // A proxy would dial for us, past the guard.
        .no_proxy()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS_PER_HOST)
        .pool_idle_timeout(MAX_IDLE_TIME)
        .dns_resolver(Arc::new(VettedNames))
        .connector_layer(PeerCheckLayer)
}

/// A connection that outlives its call has no target any more, and is given up.
fn current_target() -> Result<Arc<Target>, BoxError> {
    Ok(TARGET.try_with(Arc::clone)?)
}

/// Looks names up for whichever call asks.
struct VettedNames;

impl Resolve for VettedNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = current_target()?.look_up(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The client does not ask the resolver about hosts that are addresses already, so every new
/// connection is checked once more by where it leads.
#[derive(Clone, Copy)]
struct PeerCheckLayer;

impl<S> Layer<S> for PeerCheckLayer {
    type Service = PeerCheck<S>;

    fn layer(&self, connector: S) -> PeerCheck<S> {
        PeerCheck { connector }
    }
}

#[derive(Clone)]
struct PeerCheck<S> {
    connector: S,
}

impl<S, To> Service<To> for PeerCheck<S>
where
    S: Service<To, Error = BoxError>,
    S::Response: Connection,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, to: To) -> Self::Future {
        let connecting = self.connector.call(to);
        Box::pin(async move {
            let connection = connecting.await?;
            check_peer(&connection)?;
            Ok(connection)
        })
    }
}

fn check_peer(connection: &impl Connection) -> Result<(), BoxError> {
    let mut info = http::Extensions::new();
    connection.connected().get_extras(&mut info);
    let peer = info.get::<HttpInfo>().map(HttpInfo::remote_addr);
    current_target()?.connected(peer.ok_or("the connection does not say where it leads")?)
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn nothing_is_sent_where_nobody_vetted_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let sent = tokio::spawn(client().post(url).body("secret").send());

        let (mut socket, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        let _ = socket.read_to_end(&mut received).await;

        assert!(sent.await.unwrap().unwrap_err().is_connect());
        assert!(received.is_empty());
    }

    #[tokio::test]
    async fn no_name_is_looked_up_for_nobody() {
        let error = client().get("http://localhost:1/").send().await.unwrap_err();

        assert!(error.is_connect());
    }
}
