//! Runs that no server carries any more.

use std::time::Duration;

use nexo_core::{Failure, Run, RunId, RunState, ServerId};

use super::{read, store_end};
use crate::{Tx, error};

/// A server that never reported, or has retired, is as silent as one that died. Of the asking
/// server's own runs these are the old ones, carried or not.
const ORPHANS: &str = "
    select r.* from nexo_runs r
    left join nexo_servers s on s.id = r.server_id
    where r.state = 'running' and case r.server_id when ?1 then r.created_at < ?2
        else s.beat_at is null or s.beat_at < ?2 end
    order by r.id";

pub(super) async fn interrupt(
    tx: Tx<'_>,
    server: ServerId,
    carried: Vec<RunId>,
    silence: Duration,
) -> error::Result<Vec<RunId>> {
    let rows = sqlx::query(ORPHANS)
        .bind(server.as_uuid())
        .bind(tx.now.minus(silence).as_micros())
        .fetch_all(&mut *tx.connection)
        .await?;
    let mut orphans = rows.iter().map(read).collect::<error::Result<Vec<_>>>()?;
    orphans.retain(|run| run.server != Some(server) || !carried.contains(&run.id));
    for orphan in &orphans {
        let failure = Some(Failure::interrupted());
        let ended = Run { state: RunState::Failed, failure, ..orphan.clone() };
        store_end(tx.connection, &ended, tx.now).await?;
    }
    Ok(orphans.iter().map(|run| run.id).collect())
}
