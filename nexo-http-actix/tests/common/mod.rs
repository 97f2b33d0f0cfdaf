//! What the tests share: serving an application on a socket.

use std::{
    net::{SocketAddr, TcpListener},
    thread::{self, JoinHandle},
};

use actix_web::{
    App, Error, HttpServer,
    body::MessageBody,
    dev::{ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse},
    rt::System,
};
use nexo_http::conformance::Server;

/// A server on a port of its own, until it is dropped.
pub(crate) struct Running {
    address: SocketAddr,
    prefix: &'static str,
    handle: ServerHandle,
    serving: Option<JoinHandle<()>>,
}

impl Server for Running {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn prefix(&self) -> &str {
        self.prefix
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The command is sent now, and need not be waited for.
        drop(self.handle.stop(false));
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

/// Serves applications that are made like this, below a path, with one worker.
pub(crate) fn serve_app<T, B>(
    prefix: &'static str,
    app: impl Fn() -> App<T> + Clone + Send + 'static,
) -> Running
where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, handle) = std::sync::mpsc::channel();
    let serving = thread::spawn(move || {
        System::new().block_on(async {
            let server = HttpServer::new(app).workers(1).disable_signals();
            let server = server.listen(listener).unwrap().run();
            sender.send(server.handle()).unwrap();
            server.await.unwrap();
        });
    });
    Running { address, prefix, handle: handle.recv().unwrap(), serving: Some(serving) }
}
