//! Saying something and having it answered, as one step.

use nexo_core::{Message, NewMessage, Scope, StartRun, StartedRun};

use super::start::start;
use crate::{Tx, error, messages};

/// Where the start fails, what was said is taken back with everything else.
pub(crate) async fn ask(
    mut tx: Tx<'_>,
    scope: Scope,
    message: NewMessage,
    wish: StartRun,
) -> error::Result<(Message, StartedRun)> {
    let (app, thread) = (wish.app, wish.thread);
    let said = messages::append(tx.part(), scope.clone(), app, thread, message).await?;
    Ok((said, start(tx, scope, wish).await?))
}
