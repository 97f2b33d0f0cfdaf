//! The writer: one task that does all writing, and commits in groups.
//!
//! A commit waits for the disk, so its price is shared: whatever was asked for while the last
//! commit ran is done in one transaction, each unit of work in a savepoint of its own, and
//! nobody gets an answer before that transaction is on the disk. Since nothing else writes,
//! there is no lock to wait for.

mod job;

use nexo_core::Error;
use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::warn;

use crate::{
    Work,
    error::{self, closed},
    options::{PATIENCE, SqliteOptions},
};
use job::{Job, Lost, Unit};

/// How many units of work may wait; who comes later waits outside.
const MAX_QUEUED: usize = 1024;

/// How many units of work share a commit at most, so that the first does not wait forever.
const MAX_GROUP: usize = 256;

/// Where units of work are handed in.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Order>,
}

enum Order {
    Work(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

impl Writer {
    pub(crate) async fn open(options: &SqliteOptions) -> error::Result<Self> {
        let connection = options.writing().connect().await?;
        let (queue, orders) = mpsc::channel(MAX_QUEUED);
        let task = Task { orders, options: options.clone(), connection: Some(connection) };
        tokio::spawn(task.run());
        Ok(Self { queue })
    }

    /// Has a unit of work done, and gives what came of it after it was committed. A caller
    /// that goes away changes nothing for the others.
    pub(crate) async fn submit<T, F>(&self, work: F) -> nexo_core::Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, T> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let order = Order::Work(Box::new(Unit::new(work, caller)));
        match timeout(PATIENCE, self.queue.send(order)).await {
            // The task ends without an answer only when its runtime is torn down.
            Ok(Ok(())) => answer.await.map_err(|gone| Error::OutcomeUnknown(gone.into()))?,
            Ok(Err(_)) => Err(closed()),
            Err(elapsed) => Err(Error::Unavailable(elapsed.into())),
        }
    }

    /// Waits until what was asked for before is done and the file is closed.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Order::Close(done)).await.is_ok() {
            // Without an answer the task has ended already, which is what was wanted.
            let _ = closed.await;
        }
    }
}

struct Task {
    orders: mpsc::Receiver<Order>,
    options: SqliteOptions,
    connection: Option<SqliteConnection>,
}

impl Task {
    async fn run(mut self) {
        let (mut orders, mut closing) = (Vec::new(), Vec::new());
        while self.orders.recv_many(&mut orders, MAX_GROUP).await > 0 {
            let mut group = Vec::new();
            for order in orders.drain(..) {
                match order {
                    Order::Work(job) => group.push(job),
                    Order::Close(done) => closing.push(done),
                }
            }
            if !closing.is_empty() {
                // What is in the queue is still done, then there is no more.
                self.orders.close();
            }
            self.serve(group).await;
        }
        self.disconnect().await;
        for done in closing {
            // Whoever stopped waiting for the end does not mind.
            let _ = done.send(());
        }
    }

    /// Does a group of jobs in one transaction, then answers each of them.
    async fn serve(&mut self, mut group: Vec<Box<dyn Job>>) {
        group.retain(|job| job.is_wanted());
        if group.is_empty() {
            return;
        }
        let outcome = self.commit(&mut group).await;
        if let Err(lost) = &outcome {
            warn!(jobs = group.len(), "a transaction was lost: {lost:?}");
            // In what state the connection is now is nothing to build on.
            self.disconnect().await;
        }
        for job in group {
            job.answer(&outcome);
        }
    }

    async fn commit(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Lost> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.options.writing().connect().await.map_err(Lost::before)?),
        };
        fill(connection, group).await.map_err(Lost::before)?;
        connection.execute("commit").await.map_err(Lost::in_commit)?;
        Ok(())
    }

    async fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            warn!("closing the database failed: {error}");
        }
    }
}

/// Does each job in a savepoint, so that one that fails takes only its own writes back.
///
/// An error that makes SQLite roll back the whole transaction shows in the savepoint being
/// gone.
async fn fill(
    connection: &mut SqliteConnection,
    group: &mut [Box<dyn Job>],
) -> Result<(), sqlx::Error> {
    connection.execute("begin immediate").await?;
    for job in group {
        connection.execute("savepoint job").await?;
        if !job.run(connection).await {
            connection.execute("rollback to job").await?;
        }
        connection.execute("release job").await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn writer(directory: &tempfile::TempDir) -> Writer {
        let options = SqliteOptions::new(directory.path().join("nexo.db"));
        options.create_file().unwrap();
        let writer = Writer::open(&options).await.unwrap();
        execute(&writer, "create table noted (word text not null) strict").await.unwrap();
        writer
    }

    async fn execute(writer: &Writer, statement: &'static str) -> nexo_core::Result<()> {
        writer.submit(move |connection| Box::pin(run(connection, statement))).await
    }

    async fn run(connection: &mut SqliteConnection, statement: &'static str) -> error::Result<()> {
        connection.execute(statement).await?;
        Ok(())
    }

    async fn words(writer: &Writer) -> Vec<String> {
        let all = "select word from noted order by rowid";
        let read = writer.submit(move |connection| {
            Box::pin(async move { Ok(sqlx::query_scalar(all).fetch_all(connection).await?) })
        });
        read.await.unwrap()
    }

    /// Keeps the writer busy until the sender is used, so that what is asked for meanwhile
    /// lands in one group.
    fn occupy(writer: &Writer) -> oneshot::Sender<()> {
        let (release, released) = oneshot::channel::<()>();
        let writer = writer.clone();
        tokio::spawn(async move {
            let wait = writer.submit(move |_| {
                Box::pin(async move {
                    let _ = released.await;
                    Ok(())
                })
            });
            wait.await.unwrap();
        });
        release
    }

    #[tokio::test]
    async fn a_unit_that_fails_takes_back_only_its_own_writes() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory).await;
        let release = occupy(&writer);

        let (first, failed, last, _) = tokio::join!(
            execute(&writer, "insert into noted values ('first')"),
            writer.submit(move |connection| Box::pin(async move {
                run(connection, "insert into noted values ('half')").await?;
                run(connection, "insert into noted values (null)").await
            })),
            execute(&writer, "insert into noted values ('last')"),
            async { release.send(()) },
        );

        assert!(first.is_ok() && last.is_ok());
        assert!(matches!(failed, Err(Error::Store(_))));
        assert_eq!(words(&writer).await, ["first", "last"]);
    }

    #[tokio::test]
    async fn a_unit_that_panics_harms_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory).await;
        let release = occupy(&writer);

        let (first, panicked, last, _) = tokio::join!(
            execute(&writer, "insert into noted values ('first')"),
            writer.submit::<(), _>(|connection| Box::pin(async move {
                run(connection, "insert into noted values ('half')").await?;
                panic!("on purpose");
            })),
            execute(&writer, "insert into noted values ('last')"),
            async { release.send(()) },
        );

        assert!(first.is_ok() && last.is_ok());
        assert!(matches!(panicked, Err(Error::Store(_))));
        assert_eq!(words(&writer).await, ["first", "last"]);
    }

    #[tokio::test]
    async fn when_the_transaction_is_lost_nobody_is_told_that_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory).await;
        let release = occupy(&writer);

        let (first, _, last, _) = tokio::join!(
            execute(&writer, "insert into noted values ('first')"),
            // What SQLite does by itself on some errors.
            execute(&writer, "rollback"),
            execute(&writer, "insert into noted values ('last')"),
            async { release.send(()) },
        );

        assert!(matches!(first, Err(Error::Unavailable(_))));
        assert!(matches!(last, Err(Error::Unavailable(_))));
        assert!(words(&writer).await.is_empty());
        execute(&writer, "insert into noted values ('later')").await.unwrap();
        assert_eq!(words(&writer).await, ["later"]);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_harms_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory).await;
        let release = occupy(&writer);

        let impatient = execute(&writer, "insert into noted values ('impatient')");
        let gone = timeout(std::time::Duration::ZERO, impatient).await;
        let (stays, _) =
            tokio::join!(execute(&writer, "insert into noted values ('stays')"), async {
                release.send(())
            },);

        assert!(gone.is_err() && stays.is_ok());
        assert_eq!(words(&writer).await.last().unwrap(), "stays");
    }

    #[tokio::test]
    async fn closing_ends_what_was_asked_for_before_and_refuses_what_comes_later() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory).await;
        let release = occupy(&writer);

        let (before, (), _) = tokio::join!(
            execute(&writer, "insert into noted values ('before')"),
            writer.close(),
            async { release.send(()) },
        );

        assert!(before.is_ok());
        let late = execute(&writer, "insert into noted values ('late')").await;
        assert!(matches!(late, Err(Error::Unavailable(_))));
        writer.close().await;
    }
}
