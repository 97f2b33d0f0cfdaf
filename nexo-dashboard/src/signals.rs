//! Signals: the first asks the server to end, the second insists.

use std::process;

use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A token that is cancelled by the first signal; the second ends the process at once.
pub(crate) fn stop_on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            let mut signals = Signals::listen();
            signals.next().await;
            stop.cancel();
            signals.next().await;
            warn!("told twice to end: what is under way is cut");
            process::exit(1);
        }
    });
    stop
}

#[cfg(unix)]
struct Signals {
    terminate: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self { terminate: signal(SignalKind::terminate()).ok() }
    }

    async fn next(&mut self) {
        let interrupt = tokio::signal::ctrl_c();
        match &mut self.terminate {
            Some(terminate) => {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt => {} }
            }
            None => drop(interrupt.await),
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Self {
        Self
    }

    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
