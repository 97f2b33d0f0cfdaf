//! Lists of runs: the newest first, by the ids, which rise with time.

use nexo_core::{AppId, Cursor, CursorPage, Run, RunFilter, RunPosition, Scope, position};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::rows;
use crate::{apps, error};

pub(super) async fn list(
    connection: &mut SqliteConnection,
    scope: &Scope,
    app: AppId,
    filter: &RunFilter,
    cursor: Option<&Cursor>,
    limit: u32,
) -> error::Result<CursorPage<Run>> {
    apps::require(connection, scope, app).await?;
    let mut page = page(scope, app, filter, position(cursor)?, limit);
    let rows = page.build().fetch_all(connection).await?;
    let runs = rows.iter().map(rows::read).collect::<error::Result<Vec<_>>>()?;
    Ok(CursorPage::from_rows(runs, limit, |last| RunPosition::from(last)))
}

/// Up to `limit + 1` runs of an app that come after a position. Only the conditions that are
/// asked for, so that each combination finds the index it needs.
pub(crate) fn page(
    scope: &Scope,
    app: AppId,
    filter: &RunFilter,
    after: Option<RunPosition>,
    limit: u32,
) -> QueryBuilder<Sqlite> {
    let mut page = QueryBuilder::new("select * from nexo_runs where ");
    narrow(&mut page, scope, app, filter);
    if let Some(states) = &filter.states {
        page.push(" and state in (");
        let mut names = page.separated(", ");
        for state in states {
            names.push_bind(state.as_str());
        }
        page.push(")");
    }
    page.push(" and id < ").push_bind(after.map_or(Uuid::max(), |after| after.id.as_uuid()));
    page.push(" order by id desc limit ").push_bind(i64::from(limit) + 1);
    page
}

/// A thread, or all threads of a customer, have fewer runs than the app: there the plus keeps
/// SQLite from walking over the app's.
fn narrow(page: &mut QueryBuilder<Sqlite>, scope: &Scope, app: AppId, filter: &RunFilter) {
    let own = scope.subscriber();
    let is_narrow = own.is_some() || filter.thread.is_some();
    page.push(if is_narrow { "+app_id = " } else { "app_id = " }).push_bind(app.as_uuid());
    if let Some(thread) = filter.thread {
        page.push(" and thread_id = ").push_bind(thread.as_uuid());
    }
    if let Some(own) = own {
        page.push(" and thread_id in (select id from nexo_threads where subscriber_id = ");
        page.push_bind(own.as_uuid()).push(")");
    }
}
