//! Deliveries.

use std::time::Duration;

use async_trait::async_trait;
use nexo_core::{AppId, Delivery, DeliveryId, DeliveryStore, Error, Result, RunId, Scope};
use sqlx::{postgres::PgRow, types::Json};

use crate::{
    PostgresStore, SqlQuery,
    error::{at_commit, is_orphan},
    row::{Columns, interval, storable},
    scoped,
};

const RECORD: &str = "
    insert into nexo_deliveries (id, app_id, run_id, attempt, url, request_headers, request_body,
        peer, status, response_headers, response_body, response_bytes, error, error_detail,
        started_at, first_byte_micros, ended_micros)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";

const LIST: &str = concat!(
    "select d.id, d.app_id, d.run_id, d.attempt, d.url, d.request_headers, d.request_body, d.peer,
        d.status, d.response_headers, d.response_body, d.response_bytes, d.error, d.error_detail,
        d.started_at, d.first_byte_micros, d.ended_micros
    from nexo_deliveries d
    join nexo_runs r on r.id = d.run_id
    join nexo_threads t on t.id = r.thread_id
    join nexo_apps a on a.id = t.app_id
    where d.run_id = $4 and ",
    sees_app!("a"),
    " and ",
    sees_subscriber!("t.subscriber_id"),
    " order by d.started_at, d.id"
);

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
        match record_query(&delivery).execute(&mut *connection).await {
            Ok(_) => Ok(()),
            // Its run is gone: nothing is left that it could belong to.
            Err(error) if is_orphan(&error) => Ok(()),
            Err(error) => Err(at_commit(error)),
        }
    }

    async fn list_deliveries(&self, scope: &Scope, run: RunId) -> Result<Vec<Delivery>> {
        let rows = self.read_all(scoped(LIST, scope).bind(run.as_uuid())).await?;
        rows.iter().map(read_delivery).collect()
    }

    async fn prune_deliveries(&self, age: Duration, limit: u32) -> Result<u64> {
        self.write(sqlx::query(PRUNE).bind(interval(age)).bind(i64::from(limit))).await
    }
}

fn record_query(delivery: &Delivery) -> SqlQuery<'static> {
    sqlx::query(RECORD)
        .bind(delivery.id.as_uuid())
        .bind(delivery.app.as_uuid())
        .bind(delivery.run.as_uuid())
        .bind(delivery.attempt)
        .bind(storable(&delivery.url))
        .bind(Json(&delivery.request_headers))
        .bind(delivery.request_body.as_slice())
        .bind(delivery.peer.map(|peer| peer.to_string()))
        .bind(delivery.status.map(i32::from))
        .bind(Json(&delivery.response_headers))
        .bind(delivery.response_body.as_slice())
        .bind(i64::try_from(delivery.response_bytes).unwrap_or(i64::MAX))
        .bind(delivery.error.as_deref().map(storable))
        .bind(delivery.error_detail.as_deref().map(storable))
        .bind(delivery.started_at.as_datetime())
        .bind(delivery.first_byte_after.map(micros))
        .bind(micros(delivery.ended_after))
}

fn read_delivery(row: &PgRow) -> Result<Delivery> {
    let mut columns = Columns::of(row);
    Ok(Delivery {
        id: DeliveryId::from_uuid(columns.take()?),
        app: AppId::from_uuid(columns.take()?),
        run: RunId::from_uuid(columns.take()?),
        attempt: columns.take()?,
        url: columns.take()?,
        request_headers: read_headers(&mut columns)?,
        request_body: columns.take()?,
        peer: columns
            .take::<Option<&str>>()?
            .map(|peer| peer.parse().map_err(|_| Error::Corrupt("peer of a delivery")))
            .transpose()?,
        status: columns
            .take::<Option<i32>>()?
            .map(|status| status.try_into().map_err(|_| Error::Corrupt("status of a delivery")))
            .transpose()?,
        response_headers: read_headers(&mut columns)?,
        response_body: columns.take()?,
        response_bytes: columns.take::<i64>()?.unsigned_abs(),
        error: columns.take()?,
        error_detail: columns.take()?,
        started_at: columns.time()?,
        first_byte_after: columns.take::<Option<i64>>()?.map(duration),
        ended_after: duration(columns.take()?),
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
