//! Feeds: the endpoints that show what changes in a thread or an app as event streams.

mod app;
mod thread;

pub(crate) use app::app_events;
pub(crate) use thread::thread_events;
