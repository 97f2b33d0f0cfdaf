//! Jobs: units of work, and what their callers are told.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use async_trait::async_trait;
use nexo_core::{BoxError, Error};
use sqlx::SqliteConnection;
use tokio::sync::oneshot;

use crate::{
    Work,
    error::{self, Problem, Trouble, closed},
};

/// A unit of work whose answer is held back until the commit.
#[async_trait]
pub(super) trait Job: Send {
    /// Whether anybody still waits for it. What was not begun needs not be done then.
    fn is_wanted(&self) -> bool;
    /// Does the work, and says whether its writes are to stay.
    async fn run(&mut self, connection: &mut SqliteConnection) -> bool;
    /// Tells the caller what came of it.
    fn answer(self: Box<Self>, outcome: &Result<(), Lost>);
}

/// A job that gives a value to its caller.
pub(super) struct Unit<T, F> {
    work: Option<F>,
    result: Option<error::Result<T>>,
    caller: oneshot::Sender<nexo_core::Result<T>>,
}

impl<T, F> Unit<T, F> {
    pub(super) fn new(work: F, caller: oneshot::Sender<nexo_core::Result<T>>) -> Self {
        Self { work: Some(work), result: None, caller }
    }
}

#[async_trait]
impl<T, F> Job for Unit<T, F>
where
    T: Send,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, T> + Send,
{
    fn is_wanted(&self) -> bool {
        !self.caller.is_closed()
    }

    async fn run(&mut self, connection: &mut SqliteConnection) -> bool {
        let Some(work) = self.work.take() else { return false };
        let result = caught(async { work(connection).await }).await.unwrap_or_else(|Panicked| {
            Err(Problem::Core(Error::Store(BoxError::from("a unit of work panicked"))))
        });
        self.result.insert(result).is_ok()
    }

    fn answer(self: Box<Self>, outcome: &Result<(), Lost>) {
        let answer = match (self.result, outcome) {
            // What failed by itself has nothing to lose with the group.
            (Some(Err(problem)), _) => Err(problem.into_core()),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(lost)) => Err(lost.to_core()),
            (None, Ok(())) => Err(closed()),
        };
        // A caller that has gone needs no answer.
        let _ = self.caller.send(answer);
    }
}

/// Why a whole group came to nothing.
#[derive(Clone, Debug)]
pub(super) enum Lost {
    /// Nothing was written, for certain.
    Before(Arc<sqlx::Error>),
    /// The disk failed while it was being written.
    InCommit(Arc<sqlx::Error>),
}

impl Lost {
    pub(super) fn before(error: sqlx::Error) -> Self {
        Self::Before(Arc::new(error))
    }

    /// A commit that could not begin, for a lock or for space, has written nothing.
    pub(super) fn in_commit(error: sqlx::Error) -> Self {
        match Trouble::of(&error) {
            Trouble::Busy | Trouble::Full => Self::before(error),
            Trouble::Other => Self::InCommit(Arc::new(error)),
        }
    }

    fn to_core(&self) -> Error {
        match self {
            Self::Before(cause) if Trouble::of(cause) == Trouble::Full => {
                Error::Full(cause.clone().into())
            }
            Self::Before(cause) => Error::Unavailable(cause.clone().into()),
            Self::InCommit(cause) => Error::OutcomeUnknown(cause.clone().into()),
        }
    }
}

struct Panicked;

/// Turns a panic of a future into an error: it must not take the writer along.
async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}
