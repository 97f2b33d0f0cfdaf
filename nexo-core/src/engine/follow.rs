//! Watching a run that another server carries, or that nobody carries yet: the store is asked
//! until it has ended, once for all who watch it here.

use std::{sync::Arc, time::Duration};

use tracing::warn;

use super::{Inner, routing};
use crate::{
    Error, Failure, FailureKind, Message, Result, Run, RunEnd, RunEvent, RunState, RunWatch, Scope,
    hub::Mirror,
};

/// How long until the store is asked again.
const ASK_EVERY: Duration = Duration::from_millis(250);

impl Inner {
    /// Watches a run from its start.
    pub(super) async fn watch(self: &Arc<Self>, run: Run) -> Result<RunWatch> {
        let (watch, mirror) = self.hub.watch(run.id);
        if let Some(mirror) = mirror {
            self.reflect(mirror, run).await?;
        }
        Ok(watch)
    }

    /// Shows in a mirror how a run stands, and keeps it up to date if that is not the end.
    pub(super) async fn reflect(self: &Arc<Self>, mirror: Mirror, run: Run) -> Result<()> {
        if !self.show(&mirror, run).await? {
            self.follow(mirror);
        }
        Ok(())
    }

    /// Keeps a mirror up to date, until the run has ended or nobody looks any more.
    pub(super) fn follow(self: &Arc<Self>, mirror: Mirror) {
        let (inner, stopping) = (Arc::downgrade(self), self.stopping.clone());
        let following = async move {
            while mirror.is_wanted() {
                let Some(inner) = inner.upgrade() else { return };
                match inner.ask(&mirror).await {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(error) => warn!(%error, "run {} could not be followed", mirror.run()),
                }
                drop(inner);
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        self.handle.spawn(stopping.run_until_cancelled_owned(following));
    }

    /// Gives whether the run has ended.
    async fn ask(&self, mirror: &Mirror) -> Result<bool> {
        match self.store.get_run(&Scope::Everything, mirror.run()).await {
            Ok(run) => self.show(mirror, run).await,
            Err(Error::RunNotFound) => {
                let meta = meta(None);
                mirror.finish(0, meta, "", gone());
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives whether the run has ended.
    async fn show(&self, mirror: &Mirror, run: Run) -> Result<bool> {
        if !run.state.is_terminal() {
            mirror.follow(run.attempt);
            return Ok(false);
        }
        let message = match run.reply {
            Some(reply) => Some(self.store.get_message(&Scope::Everything, reply).await?),
            None => None,
        };
        let text = message.as_ref().and_then(|message| message.content.clone());
        let meta = meta(message.as_ref());
        let end = RunEnd { state: run.state, message, failure: run.failure };
        mirror.finish(run.attempt, meta, text.as_deref().unwrap_or_default(), end);
        Ok(true)
    }
}

/// How a run ended that was deleted with its thread.
pub(super) fn gone() -> RunEnd {
    let failure = Failure::new(FailureKind::RunCancelled, "its thread was deleted");
    RunEnd { state: RunState::Cancelled, message: None, failure: Some(failure) }
}

/// Who answered, as the stored reply says it.
fn meta(reply: Option<&Message>) -> RunEvent {
    let said = |name| {
        let member = reply.and_then(|reply| reply.content_json.get(name));
        member.and_then(|member| member.as_str().map(Arc::from))
    };
    RunEvent::Meta {
        source: said("source").unwrap_or_else(|| routing::WEBHOOK.into()),
        reason: said("reason"),
    }
}
