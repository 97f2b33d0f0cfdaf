//! Subscribers: pages of a list, at its beginning and deep in it, by the length of the list.

use std::cell::LazyCell;

use criterion::{Criterion, Throughput};
use nexo_core::{Cursor, SubscriberId, SubscriberPosition};
use sqlx::{PgConnection, SqliteConnection};
use uuid::Uuid;

use crate::stores::{self, Desk, Kind, Raw};

/// How many subscribers the longer list has. A million take some minutes to make.
const LONG_LIST: &str = "NEXO_BENCH_SUBSCRIBERS";
const DEFAULT_LONG_LIST: u32 = 1_000_000;
const SHORT_LIST: u32 = 1_000;
const PAGE: u32 = 50;
/// Subscribers do not come in the order in which they spoke last: the nth one spoke at this
/// many times n, modulo their number. It is a prime that divides no round number, so that all
/// times differ.
const STRIDE: u32 = 7_919;

/// One iteration is one page of 50, with each one's number of threads and newest message.
pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = stores::runtime();
    let long_list = long_list();
    let mut group = criterion.benchmark_group("page of 50 subscribers");
    group.throughput(Throughput::Elements(PAGE.into()));
    for kind in [Kind::Sqlite, Kind::Postgres] {
        if !Kind::all().contains(&kind) {
            continue;
        }
        for count in [SHORT_LIST, long_list] {
            let name = format!("{} with {count}", kind.name());
            let desk = LazyCell::new(|| runtime.block_on(filled(kind, count)));
            for (page, cursor) in [("first page", None), ("deep page", Some(deep(count)))] {
                group.bench_function(format!("{name}/{page}"), |b| {
                    let desk = &*desk;
                    b.to_async(&runtime).iter(|| list(desk, cursor.as_ref()));
                });
            }
        }
    }
    group.finish();
}

fn long_list() -> u32 {
    let asked = std::env::var(LONG_LIST).ok().and_then(|text| text.parse().ok());
    if asked.is_none() {
        eprintln!(
            "the long list has {DEFAULT_LONG_LIST} subscribers; for another number: {LONG_LIST}=100000"
        );
    }
    asked.unwrap_or(DEFAULT_LONG_LIST)
}

async fn list(desk: &Desk, cursor: Option<&Cursor>) {
    let page = desk.store.list_subscribers(&desk.scope, desk.app.id, "", cursor, PAGE).await;
    assert_eq!(page.expect("the app is there").items.len(), PAGE as usize);
}

/// Where nine tenths of the list have been seen. A cursor need not stand on a subscriber.
fn deep(count: u32) -> Cursor {
    let micros = i64::from(count / 10);
    Cursor::new(&SubscriberPosition {
        last_message_at: Some(micros),
        created_at: micros,
        id: SubscriberId::from_uuid(Uuid::nil()),
    })
}

/// A store with one app and this many subscribers, each of whom spoke in one thread.
async fn filled(kind: Kind, count: u32) -> Desk {
    let desk = Desk::open(kind).await;
    let app = desk.app.id.as_uuid();
    match desk.raw().await.expect("there is a database") {
        Raw::Sqlite(connection) => fill_sqlite(connection, app, count).await,
        Raw::Postgres(connection) => fill_postgres(connection, app, count).await,
    }
    .expect("the tables are empty");
    desk
}

async fn fill_sqlite(mut raw: SqliteConnection, app: Uuid, count: u32) -> sqlx::Result<()> {
    const SUBSCRIBERS: &str = "
        with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < ?2)
        insert into nexo_subscribers (id, app_id, customer_id, display_name, search, metadata,
            created_at, last_seen_at, last_message_at)
        select randomblob(16), ?1, 'c-' || n, 'Customer ' || n,
            'c-' || n || char(10) || 'customer ' || n, '{}', at, at, at
        from (select n, 1 + n * ?3 % ?2 as at from numbers)";
    const THREADS: &str = "
        insert into nexo_threads (id, app_id, subscriber_id, status, customer_id,
            last_message_at, last_message_preview, created_at, updated_at)
        select randomblob(16), app_id, id, 'active', customer_id, last_message_at,
            'Is the rye bread vegan?', created_at, created_at
        from nexo_subscribers where app_id = ?1";
    let subscribers = sqlx::query(SUBSCRIBERS).bind(app).bind(count).bind(STRIDE);
    subscribers.execute(&mut raw).await?;
    sqlx::query(THREADS).bind(app).execute(&mut raw).await?;
    sqlx::query("analyze").execute(&mut raw).await?;
    Ok(())
}

async fn fill_postgres(mut raw: PgConnection, app: Uuid, count: u32) -> sqlx::Result<()> {
    const SUBSCRIBERS: &str = "
        insert into nexo_subscribers (id, app_id, customer_id, display_name, metadata,
            created_at, last_seen_at, last_message_at)
        select gen_random_uuid(), $1, 'c-' || n, 'Customer ' || n, '{}', at, at, at
        from generate_series(1, $2) n,
            lateral (select 'epoch'::timestamptz
                + (1 + n::bigint * $3 % $2) * interval '1 microsecond' as at) times";
    const THREADS: &str = "
        insert into nexo_threads (id, app_id, subscriber_id, status, customer_id,
            last_message_at, last_message_preview, created_at, updated_at)
        select gen_random_uuid(), app_id, id, 'active', customer_id, last_message_at,
            'Is the rye bread vegan?', created_at, created_at
        from nexo_subscribers where app_id = $1";
    let (count, stride) = (count.cast_signed(), STRIDE.cast_signed());
    let subscribers = sqlx::query(SUBSCRIBERS).bind(app).bind(count).bind(stride);
    subscribers.execute(&mut raw).await?;
    sqlx::query(THREADS).bind(app).execute(&mut raw).await?;
    sqlx::query("vacuum analyze").execute(&mut raw).await?;
    Ok(())
}
