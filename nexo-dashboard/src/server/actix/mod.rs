//! Connections on actix: HTTP/1.1, on workers that have a thread and a runtime each. Requests
//! are answered on the server's own runtime all the same, which the database belongs to.
//!
//! actix's own server has no limits for each address and none for a client that does not read,
//! and its workers' deadlines hold for the first request only. So it is given the connections
//! that the accept loop has taken, on sockets that know what goes on.

mod socket;
mod worker;

use std::{io, num::NonZero, thread};

use nexo_http::Api;
use tokio::sync::{
    mpsc::{self, UnboundedSender},
    oneshot,
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tracing::error;

use self::worker::{Handed, Worker};
use super::Connection;
use crate::{
    config::Listen,
    error::{Context, Result},
};

/// The workers, among which the connections are dealt in turn.
pub(crate) struct Connections {
    workers: Vec<UnboundedSender<Handed>>,
    next: usize,
    ending: CancellationToken,
    threads: TaskTracker,
}

impl Connections {
    pub(super) async fn new(api: &Api, listen: &Listen) -> Result<Self> {
        let (ending, threads) = (CancellationToken::new(), TaskTracker::new());
        let mut workers = Vec::new();
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            let worker = Worker::new(api, listen, ending.clone());
            let started = start(worker, threads.token()).await;
            workers.push(started.context("a worker can't be started")?);
        }
        Ok(Self { workers, next: 0, ending, threads })
    }

    pub(super) fn add(&mut self, connection: Connection) {
        self.next = (self.next + 1) % self.workers.len();
        // A socket that can't be handed over is broken.
        let Ok(handed) = Handed::new(connection) else { return };
        if self.workers[self.next].send(handed).is_err() {
            error!("a worker has ended, and a connection with it");
        }
    }

    pub(super) async fn end(self) {
        drop(self.workers);
        self.ending.cancel();
        self.threads.close();
        self.threads.wait().await;
    }
}

/// Starts a worker on a thread of its own; gives where it takes connections.
async fn start(worker: Worker, running: TaskTrackerToken) -> io::Result<UnboundedSender<Handed>> {
    // Never holds more than there may be connections.
    let (sender, connections) = mpsc::unbounded_channel();
    let (ready, is_ready) = oneshot::channel();
    let work = move || {
        worker.run(connections, ready);
        drop(running);
    };
    thread::Builder::new().name("actix worker".into()).spawn(work)?;
    is_ready.await.unwrap_or_else(|_| Err(io::Error::other("it has ended already")))?;
    Ok(sender)
}
