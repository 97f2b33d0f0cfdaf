//! What waits in a thread: whoever ends makes room for the next.

use nexo_core::{Run, RunId, ThreadId};

use super::rows;
use crate::{Tx, error};

/// Stores how a run has ended, and gives the one behind it that is due now.
pub(super) async fn end(tx: &mut Tx<'_>, run: &Run) -> error::Result<Option<RunId>> {
    rows::keep(tx.connection, run, tx.now).await?;
    release_next(tx, run.thread).await
}

/// The oldest run that is behind another becomes due, unless there is another. Whoever queues
/// one meanwhile comes before or after this, never in between, so none is forgotten.
pub(super) async fn release_next(
    tx: &mut Tx<'_>,
    thread: ThreadId,
) -> error::Result<Option<RunId>> {
    let standing = rows::standing(tx.connection, thread).await?;
    if standing.iter().any(|run| run.state.is_active() || run.is_due(tx.now)) {
        return Ok(None);
    }
    let Some(next) = standing.into_iter().find(|run| run.available_at.is_none()) else {
        return Ok(None);
    };
    let next = Run { available_at: Some(tx.now), ..next };
    rows::keep(tx.connection, &next, tx.now).await?;
    Ok(Some(next.id))
}
