//! A worker: a thread that speaks HTTP on the connections that it is dealt.

use std::{io, net::SocketAddr, time::Duration};

use actix_http::{HttpService, KeepAlive};
use actix_service::map_config;
use actix_web::{
    App,
    dev::{AppConfig, Extensions, Service, ServiceFactory},
    middleware::from_fn,
    rt::Runtime,
};
use nexo_http::Api;
use tokio::{
    net::TcpStream,
    runtime::Handle,
    sync::{mpsc::UnboundedReceiver, oneshot},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::socket::{ActixSocket, occupying};
use crate::{
    config::Listen,
    server::{Connection, GuardedSocket, WRITE_STALL, places::Taken},
};

/// How long a client may go on sending what nobody wants any more, so that it sees why.
const LINGER: Duration = Duration::from_secs(1);

type Socket = ActixSocket<GuardedSocket<TcpStream>>;

/// A connection between two runtimes.
pub(super) struct Handed {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    place: Taken,
}

impl Handed {
    pub(super) fn new(connection: Connection) -> io::Result<Self> {
        let Connection { stream, peer, place } = connection;
        Ok(Self { stream: stream.into_std()?, peer, place })
    }
}

/// What a worker needs to begin.
pub(super) struct Worker {
    api: Api,
    header_timeout: Duration,
    ending: CancellationToken,
    /// Where requests are answered.
    answering: Handle,
}

impl Worker {
    pub(super) fn new(api: &Api, listen: &Listen, ending: CancellationToken) -> Self {
        let (api, header_timeout) = (api.clone(), listen.header_timeout);
        Self { api, header_timeout, ending, answering: Handle::current() }
    }

    /// Says whether it can begin, and serves until no more connections can come and all have
    /// ended.
    pub(super) fn run(
        self,
        connections: UnboundedReceiver<Handed>,
        ready: oneshot::Sender<io::Result<()>>,
    ) {
        match Runtime::new() {
            Ok(runtime) => runtime.block_on(self.serve(connections, ready)),
            Err(error) => drop(ready.send(Err(error))),
        }
    }

    async fn serve(
        self,
        mut connections: UnboundedReceiver<Handed>,
        ready: oneshot::Sender<io::Result<()>>,
    ) {
        let nexo = nexo_http_actix::configure(&self.api, Some(self.answering.clone()));
        let app = App::new().wrap(from_fn(occupying)).configure(nexo);
        let service = HttpService::build()
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(LINGER)
            .on_connect_ext(|socket: &Socket, data: &mut Extensions| {
                data.insert(socket.occupation());
            })
            .h1(map_config(app, |()| AppConfig::default()))
            .new_service(())
            .await
            .expect("no part of the application can fail to start");
        // Nobody waits for it only if the start was given up.
        let _ = ready.send(Ok(()));
        let open = TaskTracker::new();
        while let Some(Handed { stream, peer, place }) = connections.recv().await {
            let Ok(socket) = self.socket(stream) else { continue };
            let connection = service.call((socket, Some(peer)));
            open.spawn_local(async move {
                // A client that goes away or talks nonsense is its own business.
                let _ = connection.await;
                drop(place);
            });
        }
        open.close();
        open.wait().await;
    }

    fn socket(&self, stream: std::net::TcpStream) -> io::Result<Socket> {
        let socket = TcpStream::from_std(stream)?;
        let socket = GuardedSocket::new(socket, WRITE_STALL);
        Ok(ActixSocket::new(socket, self.header_timeout, self.ending.clone()))
    }
}
