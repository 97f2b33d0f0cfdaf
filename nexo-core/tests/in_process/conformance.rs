//! The dispatcher of handlers keeps every promise of a dispatcher.

use std::sync::Arc;

use crate::stage::Actors;

async fn fresh_stage() -> Actors {
    Actors::behind(|dispatcher| Arc::new(dispatcher))
}

nexo_core::dispatcher_conformance!(fresh_stage);
