//! Word of what changes in an app, for lists that stay up to date.

use bytes::Bytes;
use nexo_core::{AppEvent, AppId, AppWatch, Hint, Topic, sse};
use serde_json::{Value, json};

use crate::{
    ApiError, Settings,
    input::{AppAccess, May, Partners, State},
    output::Sse,
    runs::ReadRuns,
    streams::{Next, Watch, events},
};

/// Watches an app: `changed` says where to look again, `resync` that it is to be everywhere, and
/// `deleted` comes at the end. `ready` comes first: what is read after it misses nothing.
pub(crate) async fn app_events(
    State(api): State,
    access: AppAccess<Partners>,
    runs: May<ReadRuns>,
) -> Result<Sse, ApiError> {
    let watch = api.feed().watch_app(&access.scope, access.app).await?;
    let first = sse::encode("ready", &json!({ "app_id": access.app }).to_string());
    let reader = Reader { app: access.app, watch, sees_runs: runs.granted };
    let Settings { heartbeat, feed_lifetime, .. } = *api.settings();
    Ok(events(reader, Some(first), heartbeat, Some(feed_lifetime)))
}

struct Reader {
    app: AppId,
    watch: AppWatch,
    sees_runs: bool,
}

impl Watch for Reader {
    async fn next(&mut self) -> Option<Next> {
        loop {
            let (name, data) = match self.watch.next().await? {
                AppEvent::Changed(Hint { topic: Topic::Run(_), .. }) if !self.sees_runs => continue,
                AppEvent::Changed(hint) => ("changed", changed(hint)),
                AppEvent::Resync => ("resync", json!({})),
                AppEvent::Deleted => {
                    return Some(Next::Last(encode("deleted", &json!({ "app_id": self.app }))));
                }
            };
            return Some(Next::Event(encode(name, &data)));
        }
    }
}

fn encode(name: &str, data: &Value) -> Bytes {
    sse::encode(name, &data.to_string())
}

/// Where to look: at a thread, its messages, or one of its runs.
fn changed(hint: Hint) -> Value {
    let mut data = json!({ "thread_id": hint.thread });
    data["topic"] = match hint.topic {
        Topic::Thread => "thread",
        Topic::Message => "message",
        Topic::Run(_) | Topic::Text(_) => "run",
    }
    .into();
    if let Topic::Run(run) | Topic::Text(run) = hint.topic {
        data["run_id"] = json!(run);
    }
    data
}
