//! Lists of runs.

use nexo_core::{
    AppId, Cursor, CursorPage, Result, Run, RunFilter, RunPosition, RunState, Scope, position,
};
use uuid::Uuid;

use super::{read_run, run_columns};
use crate::{PostgresStore, apps::rows_of_app, row::Columns, scoped};

/// A list is cut by the index of its `$which` before anything else. The first page starts
/// before the highest id there is.
macro_rules! list {
    ($which:literal) => {
        concat!(
            "select ",
            run_columns!("r"),
            " from nexo_apps a
            left join lateral (
                select r.* from nexo_runs r
                where r.app_id = $4 and r.id < $5
                    and ($6::text[] is null or r.state = any($6)) and ",
            $which,
            " order by r.id desc
                limit $7
            ) r on true
            where a.id = $4 and ",
            sees_app!("a"),
            " order by r.id desc"
        )
    };
}

const LIST_ALL: &str = list!("$8::uuid is null");
const LIST_OF_THREAD: &str = list!(
    "r.thread_id = $8 and ($3::uuid is null or exists (
        select 1 from nexo_threads t where t.id = r.thread_id and t.subscriber_id = $3
    ))"
);
/// For a subscriber's own scope: they have few threads.
const LIST_OF_SUBSCRIBER: &str = list!(
    "$8::uuid is null and r.thread_id = any(array(
        select t.id from nexo_threads t where t.subscriber_id = $3
    ))"
);

impl PostgresStore {
    pub(super) async fn list(
        &self,
        scope: &Scope,
        app: AppId,
        filter: &RunFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<Run>> {
        let after: Option<RunPosition> = position(cursor)?;
        let states = filter
            .states
            .as_ref()
            .map(|states| states.iter().map(|state: &RunState| state.as_str()).collect::<Vec<_>>());
        let query = scoped(list_sql(scope, filter), scope)
            .bind(app.as_uuid())
            .bind(after.map_or(Uuid::max(), |after| after.id.as_uuid()))
            .bind(states)
            .bind(i64::from(limit) + 1)
            .bind(filter.thread.map(|thread| thread.as_uuid()));
        let rows = self.read_all(query).await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows_of_app(app, &rows)? {
            let mut columns = Columns::of(row);
            if !columns.is_absent()? {
                runs.push(read_run(&mut columns)?);
            }
        }
        Ok(CursorPage::from_rows(runs, limit, |run| RunPosition::from(run)))
    }
}

/// Which index cuts the list.
fn list_sql(scope: &Scope, filter: &RunFilter) -> &'static str {
    if filter.thread.is_some() {
        LIST_OF_THREAD
    } else if scope.subscriber().is_some() {
        LIST_OF_SUBSCRIBER
    } else {
        LIST_ALL
    }
}
