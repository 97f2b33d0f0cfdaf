//! Transactions: committed, or rolled back before anybody else has the connection.
//!
//! The driver's own would do, but for two things. They hide the pool's connection, so that one
//! without an answer can't be kept from the pool; and they know of a transaction only once the
//! answer to BEGIN is there: broken off before, the connection would go back with a transaction
//! open, and what others write over it would be acknowledged, and not be committed.

use std::ops::{Deref, DerefMut};

use sqlx::Executor as _;
use tokio::runtime::Handle;

use crate::connection::Connection;

/// A transaction. Dropped without a commit, it is rolled back.
pub(crate) struct Transaction {
    /// Until it is dropped.
    connection: Option<Connection>,
    is_open: bool,
}

impl Transaction {
    /// Begins one. Whoever breaks that off drops a transaction that is open, or may be.
    pub(crate) async fn begin(connection: Connection) -> Result<Self, sqlx::Error> {
        let mut transaction = Self { connection: Some(connection), is_open: true };
        transaction.answer(|it| it.execute("BEGIN")).await?;
        Ok(transaction)
    }

    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        self.end("COMMIT").await
    }

    pub(crate) async fn rollback(self) -> Result<(), sqlx::Error> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        self.answer(|it| it.execute(statement)).await?;
        self.is_open = false;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("only dropping takes it")
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("only dropping takes it")
    }
}

/// What is dropped can't wait: a task rolls back, and gives the connection to the pool then.
impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if let (true, Ok(runtime)) = (self.is_open, Handle::try_current()) {
            runtime.spawn(roll_back(connection));
        }
    }
}

/// If that fails, for whatever reason, the transaction ends with its connection.
async fn roll_back(mut connection: Connection) {
    if connection.answer(|it| it.execute("ROLLBACK")).await.is_err() {
        connection.give_up();
    }
}
