//! Where runs are kept.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::{
    ClaimRuns, FinishRun, FinishedRun, Run, RunFilter, RunStart, StartRun, StartedRun, Stop,
    SweepRuns, SweptRuns,
};
use crate::{AppId, Cursor, CursorPage, Message, NewMessage, Result, RunId, Scope, ServerId};

/// Where runs are kept.
///
/// Every method is one atomic step, done whole or not at all.
#[async_trait]
pub trait RunStore: fmt::Debug + Send + Sync + 'static {
    /// Has the newest user message of a thread answered: makes a run for it, or finds the one
    /// that answers it already. What happens on a thread that is busy is [`StartRun::plan`]'s
    /// to say; the store does what it says, all in this one step.
    ///
    /// A run that begins at once is `running`, owned by `server`, with attempt 1, fence 1 and
    /// the thread's epoch. One that waits is `queued`, with attempt 0 and fence 0. Its agent is
    /// the thread's holder, or the app's default agent. Of many at once on one thread for one
    /// message, one makes the run and all others get it. A run whose agent needs a handler that
    /// the server does not have is queued and due, for one that has it.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] if there is no such app in the scope,
    /// [`crate::Error::ThreadNotFound`] if the app has no such thread in the scope,
    /// [`crate::Error::ThreadHeld`] if a person holds it,
    /// [`crate::Error::NoUserMessages`] if no user has said anything in it,
    /// [`crate::Error::MessageOutdated`] if another message than the one meant is the newest,
    /// [`crate::Error::RunActive`] if the thread is busy and the wish is to be refused then. In
    /// this order.
    async fn start_run(&self, scope: &Scope, start: StartRun) -> Result<StartedRun>;

    /// Appends a user's message as [`MessageStore::append_message`] does, and has it answered as
    /// [`RunStore::start_run`] does, as one step: where the wish is refused, nothing is said.
    ///
    /// # Errors
    ///
    /// Those of both, the message's first.
    ///
    /// [`MessageStore::append_message`]: crate::MessageStore::append_message
    async fn ask(
        &self,
        scope: &Scope,
        message: NewMessage,
        start: StartRun,
    ) -> Result<(Message, StartedRun)>;

    /// Begins queued runs that are due, the one that is due longest first, and gives them: each
    /// becomes what [`Run::claimed`] makes of it. Of a thread with an active run none begins,
    /// and of every other one at most. Of many servers at once, a run goes to one. Those whose
    /// handler is not among `handlers` are left alone.
    ///
    /// A due run whose thread is busy is behind another again (`available_at` is `None`), and
    /// one that is withdrawn ([`Run::withdrawn`]) ends. So does one whose agent can't be told all
    /// it has to know, because that can't be read ([`Run::unreadable`]): it would be due for
    /// ever, and keep others from their turn.
    async fn claim_runs(&self, claim: ClaimRuns) -> Result<Vec<RunStart>>;

    /// Gives a running run back, because its server shuts down: it is queued again, due at
    /// once, and the attempt counts as handed back.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Fenced`] if the run is not `running` under this fence.
    async fn hand_back_run(&self, run: RunId, fence: i64) -> Result<()>;

    /// Lets a running run wait for its agent, for as long as `patience`: it is `waiting` then,
    /// and no server carries it.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Fenced`] if the run is not `running` under this fence, or the thread's
    /// epoch is not the run's.
    async fn park_run(&self, run: RunId, fence: i64, patience: Duration) -> Result<()>;

    /// Ends an active run and speaks its reply, as one step: the run's end, and the assistant's
    /// message with the thread's next `seq`. The oldest run that was behind it becomes due.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Fenced`] if the run is not active under this fence any more (it was
    /// finished, taken over, or deleted), or the thread's epoch is not the run's: nothing was
    /// written then.
    async fn finish_run(&self, finish: FinishRun) -> Result<FinishedRun>;

    /// Has a run stop, and gives it as it stands then: a queued or waiting one has ended
    /// without a reply ([`Run::stopped`]), and the oldest one behind it is due; a running one is
    /// marked, for its server to see ([`RunStore::stopped_runs`]). The first reason stands.
    ///
    /// # Errors
    ///
    /// [`crate::Error::RunNotFound`] if the app has no such run in the scope,
    /// [`crate::Error::RunEnded`] if it has ended already.
    async fn stop_run(&self, scope: &Scope, app: AppId, run: RunId, stop: Stop) -> Result<Run>;

    /// The running runs of a server that have to stop.
    async fn stopped_runs(&self, server: ServerId) -> Result<Vec<(RunId, Stop)>>;

    /// Gets a run.
    ///
    /// # Errors
    ///
    /// [`crate::Error::RunNotFound`] if there is none, or it lies outside the scope.
    async fn get_run(&self, scope: &Scope, run: RunId) -> Result<Run>;

    /// Lists the runs of an app, the newest first.
    ///
    /// # Errors
    ///
    /// [`crate::Error::AppNotFound`] if there is no such app in the scope,
    /// [`crate::Error::InvalidCursor`] if the cursor holds no [`RunPosition`](super::RunPosition).
    async fn list_runs(
        &self,
        scope: &Scope,
        app: AppId,
        filter: &RunFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<Run>>;

    /// Looks after the runs that nobody carries, as [`Run::swept`] says. These are
    ///
    /// - the running ones of other servers that have not beaten
    ///   ([`ServerStore::beat`](crate::ServerStore::beat)) within `silence`, or never;
    /// - the running ones of `server` itself that are not among `carried` and began longer
    ///   than `silence` ago: whoever began them never learned of it, because the store's answer
    ///   was lost or not waited for. They would block their threads for ever;
    /// - all that are waiting or queued.
    ///
    /// A queued run that has been due for `handler_patience` ends as [`Run::unhandled`] says if it
    /// needs a handler that no server has: none that has beaten within
    /// [`SweepRuns::handler_silence`].
    ///
    /// The oldest run of a thread that is behind another becomes due where there is no other.
    async fn sweep_runs(&self, sweep: SweepRuns) -> Result<SweptRuns>;
}
