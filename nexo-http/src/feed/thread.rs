//! What changes in a thread.

use bytes::Bytes;
use nexo_core::{Change, Changed, Error, ThreadCursor, ThreadEvent, ThreadId, ThreadWatch, sse};
use serde::Serialize;
use serde_json::json;

use crate::{
    ApiError, Settings,
    input::{LastEventId, May, Partners, Query, State, ThreadAccess},
    messages::MessageRead,
    output::Sse,
    request::{Named, Within},
    runs::{ReadRuns, RunRead},
    streams::{Next, RETRY_MS, Watch, events},
    threads::ThreadRead,
    validate::fields,
};

fields! {
    /// What was seen of a thread already.
    pub(crate) query ThreadEventsQuery as "ThreadEventsQuery" {
        /// The id of the last event that was seen, or the `seq` of a message: what changed
        /// since comes first. From now on if it is not said.
        after: Option<String>,
    }
}

/// Watches a thread: `message`, `run` and `thread` with what changed, as the other endpoints
/// show it, and `deleted` at the end. Without a cursor `ready` comes first.
pub(crate) async fn thread_events(
    State(api): State,
    access: ThreadAccess<Partners>,
    runs: May<ReadRuns>,
    LastEventId(last): LastEventId,
    Query(query): Query<ThreadEventsQuery>,
) -> Result<Sse, ApiError> {
    let ThreadAccess { scope, app, thread, .. } = access;
    // A browser that connects again repeats the query, and says in the header what it saw since.
    let text = [last, query.after].into_iter().flatten().find(|text| !text.is_empty());
    let after = match text.map(|text| text.parse::<ThreadCursor>()).transpose() {
        Ok(after) => after,
        Err(_) => {
            api.confirm(&Named { scope, app, within: Within::Thread(thread) }).await?;
            return Err(Error::InvalidCursor.into());
        }
    };
    let watch = api.feed().watch_thread(&scope, app, thread, after).await?;
    // Who comes back is told when to do so the next time.
    let first = if after.is_none() { ready(watch.cursor()) } else { sse::retry(RETRY_MS) };
    let reader = Reader { thread, watch, sees_runs: runs.granted };
    let Settings { heartbeat, feed_lifetime, .. } = *api.settings();
    Ok(events(reader, Some(first), heartbeat, Some(feed_lifetime)))
}

/// From where somebody goes on who has seen nothing yet.
fn ready(cursor: ThreadCursor) -> Bytes {
    let cursor = cursor.to_string();
    sse::encode_with_id(&cursor, "ready", &json!({ "cursor": cursor }).to_string())
}

struct Reader {
    thread: ThreadId,
    watch: ThreadWatch,
    sees_runs: bool,
}

impl Watch for Reader {
    async fn next(&mut self) -> Option<Next> {
        loop {
            match self.watch.next().await? {
                ThreadEvent::Changed(Change { what: Changed::Run(_), .. }) if !self.sees_runs => {}
                ThreadEvent::Changed(change) => return Some(Next::Event(encode(change))),
                ThreadEvent::Deleted => {
                    let data = json!({ "thread_id": self.thread });
                    return Some(Next::Last(sse::encode("deleted", &data.to_string())));
                }
            }
        }
    }
}

fn encode(change: Change) -> Bytes {
    let id = ThreadCursor::Version(change.version).to_string();
    match change.what {
        Changed::Thread(thread) => shown(&id, "thread", &ThreadRead::from(*thread)),
        Changed::Message(message) => shown(&id, "message", &MessageRead::from(*message)),
        Changed::Run(run) => shown(&id, "run", &RunRead::from(*run)),
    }
}

fn shown(id: &str, event: &str, what: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(what).expect("what is shown is plain data");
    sse::encode_with_id(id, event, &data)
}
