//! Saying something and having it answered, as one transaction.
//!
//! The append locks the thread's row, so whatever the start finds there stays as it is.

use nexo_core::{Error, Message, MessageId, NewMessage, Result, Scope, StartRun, StartedRun};

use crate::{Connection, PostgresStore, error::commit, messages::Append};

impl PostgresStore {
    pub(super) async fn ask(
        &self,
        scope: &Scope,
        message: NewMessage,
        wish: StartRun,
    ) -> Result<(Message, StartedRun)> {
        let (app, mut transaction) = (wish.app, self.begin().await?);
        let asked = match self.ask_within(&mut transaction, scope, message, wish).await {
            Err(error @ Error::ThreadNotFound(_)) => {
                drop(transaction);
                return Err(self.missing(scope, app, error).await);
            }
            outcome => outcome?,
        };
        commit(transaction).await?;
        Ok(asked)
    }

    /// The same within a transaction of the caller's.
    pub(crate) async fn ask_within(
        &self,
        connection: &mut Connection,
        scope: &Scope,
        message: NewMessage,
        wish: StartRun,
    ) -> Result<(Message, StartedRun)> {
        let (app, thread, id) = (wish.app, wish.thread, MessageId::new());
        let append = Append { scope, app, thread, id, message };
        let said = append.within(connection).await?;
        Ok((said, self.start_within(connection, scope, wish).await?))
    }
}
