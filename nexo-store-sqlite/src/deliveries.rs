//! Deliveries.

use std::time::Duration;

use async_trait::async_trait;
use nexo_core::{
    AgentId, AppId, Cursor, CursorPage, Delivery, DeliveryFilter, DeliveryId, DeliveryPosition,
    DeliveryStore, DeliverySummary, Error, Frames, ReplayId, Result, RunId, Scope, SubscriberId,
    position,
};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    SqliteStore, Tx, apps,
    columns::{Columns, corrupt},
    error,
};

/// The run may have been deleted while its agent was being called.
pub(crate) const INSERT: &str = "
    insert into nexo_deliveries (id, app_id, run_id, agent_id, replay_id, repeats_id, attempt, url,
        request_headers, request_body, peer, status, response_headers, response_body,
        response_bytes, frames, error, error_detail, started_at, first_byte_micros, ended_micros,
        request_bytes)
    select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
        ?20, ?21, length(?10)
    where exists (select 1 from nexo_runs where id = ?3)";

pub(crate) const GET: &str = "
    select d.*, a.owner, t.subscriber_id
    from nexo_deliveries d
    join nexo_runs r on r.id = d.run_id
    join nexo_threads t on t.id = r.thread_id
    join nexo_apps a on a.id = d.app_id
    where d.id = ?1 and d.app_id = ?2";

/// Bodies are not read: they stand behind all of this in the row.
const HEADS: &str = "
    select id, app_id, run_id, agent_id, replay_id, repeats_id, attempt, url, request_bytes,
        status, response_bytes, error, started_at, first_byte_micros, ended_micros
    from nexo_deliveries where ";

pub(crate) const PRUNE: &str = "
    delete from nexo_deliveries where id in (
        select id from nexo_deliveries where started_at < ?1 order by started_at limit ?2
    )";

#[async_trait]
impl DeliveryStore for SqliteStore {
    async fn record_delivery(&self, delivery: Delivery) -> Result<()> {
        self.write(move |tx| Box::pin(record(tx, delivery))).await
    }

    async fn get_delivery(
        &self,
        scope: &Scope,
        app: AppId,
        delivery: DeliveryId,
    ) -> Result<Delivery> {
        let mut reader = self.reader().await?;
        let found = find(&mut reader, scope, app, delivery).await?;
        Ok(found.ok_or(Error::DeliveryNotFound)?)
    }

    async fn list_deliveries(
        &self,
        scope: &Scope,
        app: AppId,
        filter: &DeliveryFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<DeliverySummary>> {
        let mut snapshot = self.snapshot().await?;
        apps::require(&mut snapshot, scope, app).await?;
        let page = page(scope, app, filter, position(cursor)?, limit);
        let deliveries = heads(&mut snapshot, page).await?;
        Ok(CursorPage::from_rows(deliveries, limit, |last| DeliveryPosition::from(last)))
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
        .bind(delivery.agent.as_uuid())
        .bind(delivery.replay.map(|replay| replay.as_uuid()))
        .bind(delivery.repeats.map(|repeated| repeated.as_uuid()))
        .bind(delivery.attempt)
        .bind(delivery.url)
        .bind(headers_as_json(&delivery.request_headers))
        .bind(delivery.request_body)
        .bind(delivery.peer.map(|peer| peer.to_string()))
        .bind(delivery.status)
        .bind(headers_as_json(&delivery.response_headers))
        .bind(delivery.response_body)
        .bind(i64::try_from(delivery.response_bytes).unwrap_or(i64::MAX))
        .bind(delivery.frames.as_bytes())
        .bind(delivery.error)
        .bind(delivery.error_detail)
        .bind(delivery.started_at.as_micros())
        .bind(delivery.first_byte_after.map(micros))
        .bind(micros(delivery.ended_after))
        .execute(tx.connection)
        .await?;
    Ok(())
}

async fn find(
    connection: &mut SqliteConnection,
    scope: &Scope,
    app: AppId,
    delivery: DeliveryId,
) -> error::Result<Option<Delivery>> {
    let query = sqlx::query(GET).bind(delivery.as_uuid()).bind(app.as_uuid());
    let Some(row) = query.fetch_optional(connection).await? else { return Ok(None) };
    let subscriber = row.id_if_any("subscriber_id", SubscriberId::from_uuid)?;
    let visible = apps::sees(scope, app, &row)? && scope.sees_subscriber(subscriber);
    visible.then(|| read(&row)).transpose()
}

/// Up to `limit + 1` deliveries of an app that come after a position. Only the conditions that
/// are asked for, so that each combination finds the index it needs.
pub(crate) fn page(
    scope: &Scope,
    app: AppId,
    filter: &DeliveryFilter,
    after: Option<DeliveryPosition>,
    limit: u32,
) -> QueryBuilder<Sqlite> {
    let mut page = QueryBuilder::new(HEADS);
    narrow(&mut page, app, filter);
    if let Some(status) = filter.status {
        page.push(" and status = ").push_bind(status);
    }
    if let Some(own) = scope.subscriber() {
        page.push(" and run_id in (select r.id from nexo_runs r join nexo_threads t");
        page.push(" on t.id = r.thread_id where t.subscriber_id = ").push_bind(own.as_uuid());
        page.push(")");
    }
    if let Some(since) = filter.since {
        page.push(" and started_at >= ").push_bind(since.as_micros());
    }
    let (at, id) = end(filter, after);
    page.push(" and (started_at, id) < (").push_bind(at).push(", ").push_bind(id);
    page.push(") order by started_at desc, id desc limit ").push_bind(i64::from(limit) + 1);
    page
}

/// The narrowest comes first; the plus keeps SQLite from walking over something wider.
fn narrow(page: &mut QueryBuilder<Sqlite>, app: AppId, filter: &DeliveryFilter) {
    let narrower = filter.replay.is_some() || filter.run.is_some();
    let is_narrow = narrower || (filter.agent.is_some() && !filter.failed);
    page.push(if is_narrow { "+app_id = " } else { "app_id = " }).push_bind(app.as_uuid());
    if let Some(replay) = filter.replay {
        page.push(" and replay_id = ").push_bind(replay.as_uuid());
    }
    if let Some(run) = filter.run {
        let wide = filter.replay.is_some();
        page.push(if wide { " and +run_id = " } else { " and run_id = " });
        page.push_bind(run.as_uuid());
    }
    if let Some(agent) = filter.agent {
        let wide = narrower || filter.failed;
        page.push(if wide { " and +agent_id = " } else { " and agent_id = " });
        page.push_bind(agent.as_uuid());
    }
    if filter.failed {
        page.push(" and error is not null");
    }
}

/// What all of a page comes before: the last row seen, or the end of the window.
fn end(filter: &DeliveryFilter, after: Option<DeliveryPosition>) -> (i64, Uuid) {
    let after = after.map_or((i64::MAX, Uuid::max()), |after| (after.at, after.id.as_uuid()));
    filter.until.map_or(after, |until| after.min((until.as_micros(), Uuid::nil())))
}

async fn heads(
    connection: &mut SqliteConnection,
    mut page: QueryBuilder<Sqlite>,
) -> error::Result<Vec<DeliverySummary>> {
    let rows = page.build().fetch_all(connection).await?;
    rows.iter().map(read_head).collect()
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

fn read_head(row: &SqliteRow) -> error::Result<DeliverySummary> {
    Ok(DeliverySummary {
        id: row.id("id", DeliveryId::from_uuid)?,
        app: row.id("app_id", AppId::from_uuid)?,
        run: row.id("run_id", RunId::from_uuid)?,
        agent: row.id("agent_id", AgentId::from_uuid)?,
        replay: row.id_if_any("replay_id", ReplayId::from_uuid)?,
        repeats: row.id_if_any("repeats_id", DeliveryId::from_uuid)?,
        attempt: row.try_get("attempt")?,
        url: row.try_get("url")?,
        request_bytes: row.try_get::<i64, _>("request_bytes")?.unsigned_abs(),
        status: row.try_get("status")?,
        response_bytes: row.try_get::<i64, _>("response_bytes")?.unsigned_abs(),
        error: row.try_get("error")?,
        started_at: row.instant("started_at")?,
        first_byte_after: row.try_get::<Option<i64>, _>("first_byte_micros")?.map(duration),
        ended_after: duration(row.try_get("ended_micros")?),
    })
}

fn read(row: &SqliteRow) -> error::Result<Delivery> {
    let head = read_head(row)?;
    let peer: Option<&str> = row.try_get("peer")?;
    Ok(Delivery {
        id: head.id,
        app: head.app,
        run: head.run,
        agent: head.agent,
        replay: head.replay,
        repeats: head.repeats,
        attempt: head.attempt,
        url: head.url,
        request_headers: read_headers(row, "request_headers")?,
        request_body: row.try_get("request_body")?,
        peer: peer.map(str::parse).transpose().map_err(|_| corrupt("peer"))?,
        status: head.status,
        response_headers: read_headers(row, "response_headers")?,
        response_body: row.try_get("response_body")?,
        response_bytes: head.response_bytes,
        frames: Frames::from_bytes(row.try_get("frames")?),
        error: head.error,
        error_detail: row.try_get("error_detail")?,
        started_at: head.started_at,
        first_byte_after: head.first_byte_after,
        ended_after: head.ended_after,
    })
}
