//! Replies that come later than the answer to the request.

use serde::{Deserialize, Serialize};

use crate::{AppId, RunId};

/// What an agent has to remember that answers 202 and replies later: for its queue, as JSON.
///
/// The reply goes to the Nexo server as `POST` to [`LateReply::path`], with
/// [`Reply::to_json`](super::Reply::to_json) as the body and `Content-Type: application/json`.
/// The agent names itself as a partner does, with the headers `X-App-Id` and `X-App-Secret`
/// (the app's webhook secret), which the app's configuration has to allow: `"partner":
/// {"scopes": ["runs:write"]}`. Until then the run is waiting, by default for an hour, and the
/// customer with it.
///
/// Status 200 is the end of it. 409 with `ERROR_RUN_NOT_WAITING` says that the reply was faster
/// than the 202: try again a moment later. 409 with `ERROR_RUN_ENDED` says that nobody waits
/// any more: the run was stopped, took too long, or has its reply.
///
/// ```
/// # use nexo_core::{AppId, RunId, agent::LateReply};
/// # let (app, run): (AppId, RunId) = (
/// #     "5b0c1a52-7a5f-4a0e-9f0d-0d6a3f1c2b11".parse().unwrap(),
/// #     "019b76da-a800-7000-8000-000000000001".parse().unwrap(),
/// # );
/// let late = LateReply { app, run };
/// assert_eq!(
///     late.path(),
///     "/apps/5b0c1a52-7a5f-4a0e-9f0d-0d6a3f1c2b11/runs/019b76da-a800-7000-8000-000000000001/reply"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LateReply {
    /// The app that the agent belongs to.
    pub app: AppId,
    /// The run that waits.
    pub run: RunId,
}

impl LateReply {
    /// The path of the address, below the server's own.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/apps/{}/runs/{}/reply", self.app, self.run)
    }
}
