//! Deliveries.

use std::time::Duration;

use async_trait::async_trait;
use nexo_core::{AppId, Delivery, DeliveryId, DeliveryStore, Result, RunId, Scope};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    SqliteStore, Tx,
    columns::{Columns, corrupt},
    error, runs,
};

/// The run may have been deleted while its agent was being called.
pub(crate) const INSERT: &str = "
    insert into nexo_deliveries (id, app_id, run_id, attempt, url, request_headers, request_body,
        peer, status, response_headers, response_body, response_bytes, error, error_detail,
        started_at, first_byte_micros, ended_micros)
    select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17
    where exists (select 1 from nexo_runs where id = ?3)";

const LIST: &str = "select * from nexo_deliveries where run_id = ?1 order by started_at, id";

pub(crate) const PRUNE: &str = "
    delete from nexo_deliveries where id in (
        select id from nexo_deliveries where started_at < ?1 order by started_at limit ?2
    )";

#[async_trait]
impl DeliveryStore for SqliteStore {
    async fn record_delivery(&self, delivery: Delivery) -> Result<()> {
        self.write(move |tx| Box::pin(record(tx, delivery))).await
    }

    async fn list_deliveries(&self, scope: &Scope, run: RunId) -> Result<Vec<Delivery>> {
        Ok(list(self, scope, run).await?)
    }

    async fn prune_deliveries(&self, age: Duration, limit: u32) -> Result<u64> {
        self.write(move |tx| Box::pin(prune(tx, age, limit))).await
    }
}

async fn record(tx: Tx<'_>, delivery: Delivery) -> error::Result<()> {
    sqlx::query(INSERT)
        .bind(delivery.id.as_uuid())
        .bind(delivery.app.as_uuid())
        .bind(delivery.run.as_uuid())
        .bind(delivery.attempt)
        .bind(delivery.url)
        .bind(headers_as_json(&delivery.request_headers))
        .bind(delivery.request_body)
        .bind(delivery.peer.map(|peer| peer.to_string()))
        .bind(delivery.status)
        .bind(headers_as_json(&delivery.response_headers))
        .bind(delivery.response_body)
        .bind(i64::try_from(delivery.response_bytes).unwrap_or(i64::MAX))
        .bind(delivery.error)
        .bind(delivery.error_detail)
        .bind(delivery.started_at.as_micros())
        .bind(delivery.first_byte_after.map(micros))
        .bind(micros(delivery.ended_after))
        .execute(tx.connection)
        .await?;
    Ok(())
}

async fn list(store: &SqliteStore, scope: &Scope, run: RunId) -> error::Result<Vec<Delivery>> {
    let mut snapshot = store.snapshot().await?;
    if runs::find(&mut snapshot, scope, run).await?.is_none() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(LIST).bind(run.as_uuid()).fetch_all(&mut *snapshot).await?;
    rows.iter().map(read).collect()
}

async fn prune(tx: Tx<'_>, age: Duration, limit: u32) -> error::Result<u64> {
    let prune = sqlx::query(PRUNE).bind(tx.now.minus(age).as_micros()).bind(limit);
    Ok(prune.execute(tx.connection).await?.rows_affected())
}

/// A list of pairs: a header may come twice, and in an order.
fn headers_as_json(headers: &[(String, String)]) -> String {
    serde_json::to_string(headers).expect("pairs of texts are always JSON")
}

fn read_headers(row: &SqliteRow, column: &'static str) -> error::Result<Vec<(String, String)>> {
    serde_json::from_str(row.try_get(column)?).map_err(|_| corrupt(column))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}

fn read(row: &SqliteRow) -> error::Result<Delivery> {
    let peer: Option<&str> = row.try_get("peer")?;
    Ok(Delivery {
        id: row.id("id", DeliveryId::from_uuid)?,
        app: row.id("app_id", AppId::from_uuid)?,
        run: row.id("run_id", RunId::from_uuid)?,
        attempt: row.try_get("attempt")?,
        url: row.try_get("url")?,
        request_headers: read_headers(row, "request_headers")?,
        request_body: row.try_get("request_body")?,
        peer: peer.map(str::parse).transpose().map_err(|_| corrupt("peer"))?,
        status: row.try_get("status")?,
        response_headers: read_headers(row, "response_headers")?,
        response_body: row.try_get("response_body")?,
        response_bytes: row.try_get::<i64, _>("response_bytes")?.unsigned_abs(),
        error: row.try_get("error")?,
        error_detail: row.try_get("error_detail")?,
        started_at: row.instant("started_at")?,
        first_byte_after: row.try_get::<Option<i64>, _>("first_byte_micros")?.map(duration),
        ended_after: duration(row.try_get("ended_micros")?),
    })
}
