//! Events.

use std::time::Duration;

use async_trait::async_trait;
use nexo_core::{EventStore, FollowRun, FollowedRun, Result, Run, Said, Segment};
use sqlx::{postgres::PgRow, types::Json};
use uuid::Uuid;

use crate::{
    PostgresStore, SqlQuery,
    row::{Columns, interval},
    runs::{read_run, run_columns},
};

/// The runs are locked against being deleted, so that none is gone when its segments are
/// written. One that is being deleted right now is not waited for.
const APPEND: &str = "
    with standing as (
        select id from nexo_runs where id = any ($1) for key share skip locked
    )
    insert into nexo_events (run_id, attempt, position, app_id, data, created_at)
    select said.run, said.attempt, said.position, said.app, said.data::json, now()
    from unnest($1::uuid[], $2::int[], $3::int[], $4::uuid[], $5::text[])
        as said (run, attempt, position, app, data)
    join standing on standing.id = said.run
    on conflict (run_id, attempt, position) do nothing";

/// A row for each segment, and one for each run without any. How long a segment is, is measured
/// as it is kept: that is never shorter than its text.
const FOLLOW: &str = concat!(
    "select ",
    run_columns!("r"),
    ", e.position, e.data
    from unnest($1::uuid[], $2::int[], $3::int[]) as known (run, attempt, bytes)
    join nexo_runs r on r.id = known.run
    left join lateral (
        select next.position, next.data
        from (
            select e.position, e.data,
                sum(octet_length(e.data::text)) over (order by e.position) as bytes,
                row_number() over (order by e.position) as place
            from nexo_events e
            where e.run_id = r.id and e.attempt = r.attempt and e.position >=
                case when known.attempt = r.attempt then known.bytes else 0 end
        ) next
        where next.bytes <= $4 or next.place = 1
    ) e on r.state in ('queued', 'running', 'waiting')
    order by r.id, e.position"
);

/// What was said longer ago than that goes if its run has ended as long ago. The array is made
/// once, so that no more go than were chosen; rows that somebody has locked are being deleted
/// already, and are not waited for.
const PRUNE: &str = "
    delete from nexo_events where ctid = any (array(
        select e.ctid
        from nexo_events e join nexo_runs r on r.id = e.run_id
        where e.created_at < now() - $1 and r.finished_at < now() - $1
        order by e.created_at limit $2
        for update of e skip locked
    ))";

#[async_trait]
impl EventStore for PostgresStore {
    async fn append_segments(&self, segments: &[Segment]) -> Result<()> {
        self.write(append_query(segments)).await.map(drop)
    }

    async fn follow_runs(&self, runs: &[FollowRun], max_bytes: u32) -> Result<Vec<FollowedRun>> {
        let rows = self.read_all(follow_query(runs, max_bytes)).await?;
        let mut followed: Vec<FollowedRun> = Vec::with_capacity(runs.len());
        for row in &rows {
            let (run, segment) = read_row(row)?;
            match followed.last_mut().filter(|last| last.run.id == run.id) {
                Some(last) => last.segments.extend(segment),
                None => followed.push(FollowedRun { run, segments: segment.into_iter().collect() }),
            }
        }
        Ok(followed)
    }

    async fn prune_segments(&self, age: Duration, limit: u32) -> Result<u64> {
        self.write(sqlx::query(PRUNE).bind(interval(age)).bind(i64::from(limit))).await
    }
}

fn append_query(segments: &[Segment]) -> SqlQuery<'static> {
    let ids = |id: fn(&Segment) -> Uuid| segments.iter().map(id).collect::<Vec<_>>();
    sqlx::query(APPEND)
        .bind(ids(|segment| segment.run.as_uuid()))
        .bind(segments.iter().map(|segment| segment.attempt).collect::<Vec<_>>())
        .bind(segments.iter().map(|segment| place(segment.position)).collect::<Vec<_>>())
        .bind(ids(|segment| segment.app.as_uuid()))
        .bind(segments.iter().map(Segment::data).collect::<Vec<_>>())
}

fn follow_query(runs: &[FollowRun], max_bytes: u32) -> SqlQuery<'static> {
    sqlx::query(FOLLOW)
        .bind(runs.iter().map(|known| known.run.as_uuid()).collect::<Vec<_>>())
        .bind(runs.iter().map(|known| known.attempt).collect::<Vec<_>>())
        .bind(runs.iter().map(|known| place(known.bytes)).collect::<Vec<_>>())
        .bind(i64::from(max_bytes))
}

/// Replies are far shorter than 2 GiB.
fn place(bytes: u32) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

fn read_row(row: &PgRow) -> Result<(Run, Option<Segment>)> {
    let mut columns = Columns::of(row);
    let run = read_run(&mut columns)?;
    if columns.is_absent()? {
        return Ok((run, None));
    }
    let position: i32 = columns.take()?;
    let Json(said): Json<Said> = columns.take()?;
    let (app, attempt, position) = (run.app, run.attempt, position.unsigned_abs());
    let segment = Segment { run: run.id, app, attempt, position, said };
    Ok((run, Some(segment)))
}
