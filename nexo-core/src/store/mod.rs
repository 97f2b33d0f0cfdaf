//! Stores: where everything is kept.
//!
//! A store implements one trait for each noun; [`Store`] is all of them together. A method
//! is a whole unit of work, and no transaction is ever handed out. What a store promises is
//! written at the methods and proved by `nexo_core::store_conformance!` (feature
//! `conformance`).

mod memory;

pub use memory::MemoryStore;

use crate::{
    AgentStore, AppStore, DeliveryStore, EventStore, FeedStore, IdempotencyStore, KeyStore,
    MessageStore, ReplayStore, RunStore, ServerStore, SubscriberStore, ThreadStore,
};

/// Keeps the state of conversations.
pub trait Store:
    AppStore
    + AgentStore
    + KeyStore
    + SubscriberStore
    + ThreadStore
    + MessageStore
    + RunStore
    + EventStore
    + DeliveryStore
    + FeedStore
    + ReplayStore
    + ServerStore
    + IdempotencyStore
{
}

impl<T> Store for T where
    T: AppStore
        + AgentStore
        + KeyStore
        + SubscriberStore
        + ThreadStore
        + MessageStore
        + RunStore
        + EventStore
        + DeliveryStore
        + FeedStore
        + ReplayStore
        + ServerStore
        + IdempotencyStore
{
}
