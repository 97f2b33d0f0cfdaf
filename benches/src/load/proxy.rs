//! A bare reverse proxy: what has to be paid by anything that stands between a client and an
//! agent. Each client's connection has one of its own to the agent, and pieces go on as they
//! come.

use std::{io, sync::Arc};

use hyper::{Request, body::Incoming, client, server, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Mutex};

use crate::helper;

/// What it is called as a process.
pub(crate) const ROLE: &str = "bare-proxy";

/// Hands everything on to the agent.
pub(crate) async fn serve(agent: &str) -> io::Result<()> {
    let listener = helper::listen().await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve_connection(stream, agent.to_owned()));
    }
}

async fn serve_connection(client: TcpStream, agent: String) -> io::Result<()> {
    client.set_nodelay(true)?;
    let agent = TcpStream::connect(agent).await?;
    agent.set_nodelay(true)?;
    let handshake = client::conn::http1::handshake(TokioIo::new(agent)).await;
    let (sender, connection) = handshake.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let sender = Arc::new(Mutex::new(sender));
    let service = service_fn(move |request: Request<Incoming>| {
        let sender = Arc::clone(&sender);
        async move {
            let mut sender = sender.lock().await;
            sender.ready().await?;
            sender.send_request(request).await
        }
    });
    let connection = server::conn::http1::Builder::new();
    connection.serve_connection(TokioIo::new(client), service).await.map_err(io::Error::other)
}
