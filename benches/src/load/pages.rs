//! Pages of a long list of subscribers, beside the database's own time for the same statement.

use std::io;

use nexo_bench::client::text;

use crate::{
    database::Database,
    drive::{Call, Crowd, requests},
    lab::Lab,
    report,
    rows::{self, Row},
    stage::Stage,
    statement::Statement,
};

const SUBSCRIBERS: usize = 100_000;
/// How far the deep page is from the first.
const DEPTH: usize = SUBSCRIBERS / 2;
/// The largest page there is, for the way there.
const STRIDE: usize = 200;
/// Words that only the statement has which lists subscribers.
const WORDS: &str = "(select * from ((select s.* from nexo_subscribers s where";
/// How often that statement is looked for: a connection may have been used again.
const LOOKS: usize = 50;

pub(crate) async fn measure(lab: &Lab) -> io::Result<()> {
    let Some(database) = &lab.database else {
        println!(
            "\npages of subscribers: measured on PostgreSQL only, which can be filled quickly"
        );
        return Ok(());
    };
    let stage = Stage::new(lab).await?;
    fill(database, &stage.app).await?;
    let first = stage.path("subscribers?limit=50");
    let deep = format!("{first}&cursor={}", cursor(&stage).await?);
    let limit = Limit::find(database, &stage, &first).await?;
    let nothing = ["null"; 3].map(str::to_owned);
    page(lab, &stage, rows::FIRST_PAGE, first, &limit, &nothing).await?;
    let position = position(database, &stage.app).await?;
    page(lab, &stage, rows::DEEP_PAGE, deep, &limit, &position).await
}

async fn page(
    lab: &Lab,
    stage: &Stage,
    row: Row,
    path: String,
    limit: &Option<Limit<'_>>,
    position: &[String; 3],
) -> io::Result<()> {
    let (crowd, call): (_, Call) = (Crowd { clients: 1, time: lab.time }, ("GET", path, ""));
    let ours = requests(&stage.target, crowd, vec![call]).await?;
    report::row(row);
    report::figures(report::NEXO, &ours);
    let Some(limit) = limit else {
        report::line("limit", "unknown: the database does not show long statements whole");
        return Ok(());
    };
    let limit = limit.database.bench(&limit.script(position), &[], crowd).await?;
    report::line("limit: the database alone, that statement", &report::stats(&limit));
    report::added("the statement", &ours.stats, &limit);
    Ok(())
}

/// Subscribers of whom each has one thread. Who spoke when has nothing to do with who came
/// when.
async fn fill(database: &Database, app: &str) -> io::Result<()> {
    let sql = format!(
        "insert into nexo_subscribers
            (id, app_id, customer_id, display_name, metadata, created_at, last_seen_at, last_message_at)
        select gen_random_uuid(), '{app}', 'customer-' || n, 'Customer ' || n, '{{}}',
            now() - interval '2 days', spoke_at, spoke_at
        from (
            select n, now() - n * 7919 % {SUBSCRIBERS} * interval '1 second' as spoke_at
            from generate_series(1, {SUBSCRIBERS}) n
        ) n;
        insert into nexo_subscriber_names (subscriber_id, app_id, search)
        select id, app_id, lower(customer_id || ' ' || display_name)
        from nexo_subscribers where app_id = '{app}';
        insert into nexo_threads
            (id, app_id, subscriber_id, status, customer_id, last_message_at,
             last_message_preview, created_at, updated_at)
        select gen_random_uuid(), app_id, id, 'active', customer_id, last_message_at,
            'Is the rye bread vegan?', created_at, last_message_at
        from nexo_subscribers where app_id = '{app}';
        vacuum analyze nexo_subscribers;
        vacuum analyze nexo_threads;"
    );
    database.ask(&sql).await.map(|_| ())
}

/// Where the deep page begins, as the server says it.
async fn cursor(stage: &Stage) -> io::Result<String> {
    let path = stage.path(&format!("subscribers?limit={STRIDE}"));
    let (mut client, mut next) = (stage.target.client().await?, path.clone());
    for _ in 1..DEPTH / STRIDE {
        let page = client.send("GET", &next, "").await?.json()?;
        next = format!("{path}&cursor={}", text(&page["next_cursor"])?);
    }
    text(&client.send("GET", &next, "").await?.json()?["next_cursor"])
}

/// The same, as the database knows it: when they came, who they are, and when they spoke.
async fn position(database: &Database, app: &str) -> io::Result<[String; 3]> {
    let sql = format!(
        "select created_at, id, last_message_at from nexo_subscribers where app_id = '{app}'
        order by last_message_at desc nulls last, created_at desc, id desc
        limit 1 offset {}",
        DEPTH - 1
    );
    let row = database.ask(&sql).await?;
    let values: Vec<String> = row.split('|').map(|value| format!("'{value}'")).collect();
    values.try_into().map_err(|_| io::Error::other("there are fewer subscribers than were made"))
}

/// The database, asked for the same without us.
struct Limit<'a> {
    database: &'a Database,
    statement: Statement,
    app: String,
    owner: String,
}

impl<'a> Limit<'a> {
    /// Lists until the statement is seen with which that was done.
    async fn find(database: &'a Database, stage: &Stage, path: &str) -> io::Result<Option<Self>> {
        let mut client = stage.target.client().await?;
        for _ in 0..LOOKS {
            client.send("GET", path, "").await?;
            if let Some(statement) = database.last_said(WORDS).await? {
                let owner = database.owner(&stage.app).await?;
                return Ok(Some(Self { database, statement, app: stage.app.clone(), owner }));
            }
        }
        Ok(None)
    }

    /// The very statement with its values, for the page after this position.
    fn script(&self, [created_at, id, spoke_at]: &[String; 3]) -> String {
        let [owner, app] = [&self.owner, &self.app].map(|value| format!("'{value}'"));
        self.statement.with(&[&owner, "null", "null", &app, "51", "null", created_at, id, spoke_at])
    }
}
