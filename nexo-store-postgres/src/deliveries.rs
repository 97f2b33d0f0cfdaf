//! Deliveries.

use std::time::Duration;

use async_trait::async_trait;
use nexo_core::{
    AgentId, AppId, Cursor, CursorPage, Delivery, DeliveryFilter, DeliveryId, DeliveryPosition,
    DeliveryStore, DeliverySummary, Error, Frames, ReplayId, Result, RunId, Scope, position,
    storable,
};
use sqlx::{
    postgres::PgRow,
    types::{Json, time::OffsetDateTime},
};
use uuid::Uuid;

use crate::{
    PostgresStore, SqlQuery,
    apps::rows_of_app,
    error::{at_commit, is_orphan},
    row::{Columns, cursor_time, interval},
    scoped,
};

const RECORD: &str = "
    insert into nexo_deliveries (id, app_id, run_id, agent_id, replay_id, repeats_id, attempt, url,
        request_headers, request_body, peer, status, response_headers, response_body,
        response_bytes, frames, error, error_detail, started_at, first_byte_micros, ended_micros)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
        $20, $21)";

/// What read_head() reads, in its order. A server from before did not say which agent it was.
macro_rules! head_columns {
    () => {
        "d.id, d.app_id, d.run_id,
        coalesce(d.agent_id, (select r.agent_id from nexo_runs r where r.id = d.run_id)),
        d.replay_id, d.repeats_id, d.attempt, d.url, octet_length(d.request_body)::bigint, d.status, d.response_bytes,
        d.error, d.started_at, d.first_byte_micros, d.ended_micros"
    };
}

const GET: &str = concat!(
    "select ",
    head_columns!(),
    ", d.request_headers, d.request_body, d.peer, d.response_headers, d.response_body, d.frames,
        d.error_detail
    from nexo_deliveries d
    join nexo_runs r on r.id = d.run_id
    join nexo_threads t on t.id = r.thread_id
    join nexo_apps a on a.id = t.app_id
    where d.id = $5 and a.id = $4 and ",
    sees_app!("a"),
    " and ",
    sees_subscriber!("t.subscriber_id")
);

/// A list is cut by the index of its `$which` before anything else; the narrowest comes first.
/// What belongs to one run, agent or replay belongs to one app, which is looked at afterwards,
/// lest the database think of walking over that app's deliveries. That the upper end is told twice
/// is for its estimates: it knows how much is between two times, but not between a pair and a time,
/// and would walk over the deliveries of all apps in a narrow window.
macro_rules! list {
    ($which:literal) => {
        concat!(
            "select ",
            head_columns!(),
            " from nexo_apps a
            left join lateral (
                select d.* from nexo_deliveries d
                where ",
            $which,
            " and (d.started_at, d.id) < (coalesce($5, 'infinity'::timestamptz), $6)
                    and d.started_at <= coalesce($5, 'infinity'::timestamptz)
                    and d.started_at >= coalesce($7, '-infinity'::timestamptz)
                    and ($8::uuid is null or d.run_id = $8)
                    and ($9::uuid is null or d.replay_id = $9)
                    and ($10::uuid is null or d.agent_id = $10)
                    and (not $11 or d.error is not null)
                    and ($12::integer is null or d.status = $12)
                    and ($3::uuid is null or exists (
                        select 1 from nexo_runs r join nexo_threads t on t.id = r.thread_id
                        where r.id = d.run_id and t.subscriber_id = $3
                    ))
                order by d.started_at desc, d.id desc
                limit $13
            ) d on d.app_id = a.id
            where a.id = $4 and ",
            sees_app!("a"),
            " order by d.started_at desc, d.id desc"
        )
    };
}

const LIST_ALL: &str = list!("d.app_id = $4");
const LIST_FAILED: &str = list!("d.app_id = $4 and d.error is not null");
const LIST_OF_AGENT: &str = list!("d.agent_id = $10");
const LIST_OF_RUN: &str = list!("d.run_id = $8");
const LIST_OF_REPLAY: &str = list!("d.replay_id = $9");

/// The array is made once, so that no more go than were chosen. Rows that somebody has locked
/// are being deleted already, and are not waited for.
const PRUNE: &str = "
    delete from nexo_deliveries where id = any (array(
        select id from nexo_deliveries where started_at < now() - $1
        order by started_at limit $2
        for update skip locked
    ))";

#[async_trait]
impl DeliveryStore for PostgresStore {
    async fn record_delivery(&self, delivery: Delivery) -> Result<()> {
        let mut connection = self.connection().await?;
        match connection.answer(|it| record_query(&delivery).execute(it)).await {
            Ok(_) => Ok(()),
            // Its run is gone: nothing is left that it could belong to.
            Err(error) if is_orphan(&error) => Ok(()),
            Err(error) => Err(at_commit(error)),
        }
    }

    async fn get_delivery(
        &self,
        scope: &Scope,
        app: AppId,
        delivery: DeliveryId,
    ) -> Result<Delivery> {
        let query = scoped(GET, scope).bind(app.as_uuid()).bind(delivery.as_uuid());
        let row = self.read_optional(query).await?;
        read_delivery(&row.ok_or(Error::DeliveryNotFound)?)
    }

    async fn list_deliveries(
        &self,
        scope: &Scope,
        app: AppId,
        filter: &DeliveryFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<DeliverySummary>> {
        let end = end(filter, position(cursor)?)?;
        let query = list_query(scope, app, filter, end).bind(i64::from(limit) + 1);
        let rows = self.read_all(query).await?;
        let mut deliveries = Vec::with_capacity(rows.len());
        for row in rows_of_app(app, &rows)? {
            let mut columns = Columns::of(row);
            if !columns.is_absent()? {
                deliveries.push(read_head(&mut columns)?);
            }
        }
        Ok(CursorPage::from_rows(deliveries, limit, |last| DeliveryPosition::from(last)))
    }

    async fn prune_deliveries(&self, age: Duration, limit: u32) -> Result<u64> {
        self.write(sqlx::query(PRUNE).bind(interval(age)).bind(i64::from(limit))).await
    }
}

/// What all of a page comes before: the last row seen, or the end of the window.
fn end(
    filter: &DeliveryFilter,
    after: Option<DeliveryPosition>,
) -> Result<Option<(OffsetDateTime, Uuid)>> {
    let after =
        after.map(|after| cursor_time(after.at).map(|at| (at, after.id.as_uuid()))).transpose()?;
    let until = filter.until.map(|until| (until.as_datetime(), Uuid::nil()));
    Ok([after, until].into_iter().flatten().min())
}

fn list_query(
    scope: &Scope,
    app: AppId,
    filter: &DeliveryFilter,
    end: Option<(OffsetDateTime, Uuid)>,
) -> SqlQuery<'static> {
    scoped(list_sql(filter), scope)
        .bind(app.as_uuid())
        .bind(end.map(|(at, _)| at))
        .bind(end.map_or(Uuid::max(), |(_, id)| id))
        .bind(filter.since.map(|since| since.as_datetime()))
        .bind(filter.run.map(|run| run.as_uuid()))
        .bind(filter.replay.map(|replay| replay.as_uuid()))
        .bind(filter.agent.map(|agent| agent.as_uuid()))
        .bind(filter.failed)
        .bind(filter.status.map(i32::from))
}

/// Which index cuts the list.
fn list_sql(filter: &DeliveryFilter) -> &'static str {
    match filter {
        DeliveryFilter { replay: Some(_), .. } => LIST_OF_REPLAY,
        DeliveryFilter { run: Some(_), .. } => LIST_OF_RUN,
        DeliveryFilter { failed: true, .. } => LIST_FAILED,
        DeliveryFilter { agent: Some(_), .. } => LIST_OF_AGENT,
        _ => LIST_ALL,
    }
}

fn record_query(delivery: &Delivery) -> SqlQuery<'static> {
    sqlx::query(RECORD)
        .bind(delivery.id.as_uuid())
        .bind(delivery.app.as_uuid())
        .bind(delivery.run.as_uuid())
        .bind(delivery.agent.as_uuid())
        .bind(delivery.replay.map(|replay| replay.as_uuid()))
        .bind(delivery.repeats.map(|repeated| repeated.as_uuid()))
        .bind(delivery.attempt)
        .bind(storable(&delivery.url))
        .bind(Json(&delivery.request_headers))
        .bind(delivery.request_body.as_slice())
        .bind(delivery.peer.map(|peer| peer.to_string()))
        .bind(delivery.status.map(i32::from))
        .bind(Json(&delivery.response_headers))
        .bind(delivery.response_body.as_slice())
        .bind(i64::try_from(delivery.response_bytes).unwrap_or(i64::MAX))
        .bind(delivery.frames.as_bytes())
        .bind(delivery.error.as_deref().map(storable))
        .bind(delivery.error_detail.as_deref().map(storable))
        .bind(delivery.started_at.as_datetime())
        .bind(delivery.first_byte_after.map(micros))
        .bind(micros(delivery.ended_after))
}

fn read_head(columns: &mut Columns<'_>) -> Result<DeliverySummary> {
    Ok(DeliverySummary {
        id: DeliveryId::from_uuid(columns.take()?),
        app: AppId::from_uuid(columns.take()?),
        run: RunId::from_uuid(columns.take()?),
        agent: AgentId::from_uuid(columns.take()?),
        replay: columns.take::<Option<Uuid>>()?.map(ReplayId::from_uuid),
        repeats: columns.take::<Option<Uuid>>()?.map(DeliveryId::from_uuid),
        attempt: columns.take()?,
        url: columns.take()?,
        request_bytes: columns.take::<i64>()?.unsigned_abs(),
        status: columns
            .take::<Option<i32>>()?
            .map(|status| status.try_into().map_err(|_| Error::Corrupt("status of a delivery")))
            .transpose()?,
        response_bytes: columns.take::<i64>()?.unsigned_abs(),
        error: columns.take()?,
        started_at: columns.time()?,
        first_byte_after: columns.take::<Option<i64>>()?.map(duration),
        ended_after: duration(columns.take()?),
    })
}

fn read_delivery(row: &PgRow) -> Result<Delivery> {
    let mut columns = Columns::of(row);
    let head = read_head(&mut columns)?;
    Ok(Delivery {
        id: head.id,
        app: head.app,
        run: head.run,
        agent: head.agent,
        replay: head.replay,
        repeats: head.repeats,
        attempt: head.attempt,
        url: head.url,
        request_headers: read_headers(&mut columns)?,
        request_body: columns.take()?,
        peer: columns
            .take::<Option<&str>>()?
            .map(|peer| peer.parse().map_err(|_| Error::Corrupt("peer of a delivery")))
            .transpose()?,
        status: head.status,
        response_headers: read_headers(&mut columns)?,
        response_body: columns.take()?,
        response_bytes: head.response_bytes,
        frames: Frames::from_bytes(columns.take()?),
        error: head.error,
        error_detail: columns.take()?,
        started_at: head.started_at,
        first_byte_after: head.first_byte_after,
        ended_after: head.ended_after,
    })
}

fn read_headers(columns: &mut Columns<'_>) -> Result<Vec<(String, String)>> {
    columns.take().map(|Json(headers)| headers)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

const fn duration(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}
