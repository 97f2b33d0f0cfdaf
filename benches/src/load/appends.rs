//! Appending messages, beside the database's own time for the same statement.

use std::io;

use nexo_bench::stats::Stats;

use crate::{
    database::Database,
    drive::{Call, Crowd, requests},
    lab::Lab,
    report,
    rows::{self, Row},
    stage::{MESSAGE, SAID, Stage, THREADS, calls},
    statement::Statement,
};

/// Words that only the statement has which appends.
const WORDS: &str = "insert into nexo_messages as m";
/// How often that statement is looked for: a connection may have been used again.
const LOOKS: usize = 50;

pub(crate) async fn measure(lab: &Lab) -> io::Result<()> {
    let stage = Stage::new(lab).await?;
    let appends = calls("POST", &stage.threads(THREADS).await?, "messages", MESSAGE);
    let one = vec![appends[0].clone()];
    let limit = Limit::find(lab, &stage, &one[0]).await?;
    for (row, clients, calls, threads) in [
        (rows::APPEND, 32, &appends, ":client_id"),
        (rows::APPEND_ALONE, 1, &appends, ":client_id"),
        (rows::APPEND_CONTENDED, 32, &one, "0"),
    ] {
        let crowd = Crowd { clients, time: lab.time };
        let ours = requests(&stage.target, crowd, calls.clone()).await?;
        report::row(row);
        report::figures(report::NEXO, &ours);
        if let Some(limit) = &limit {
            limit.print(row, crowd, threads, &ours.stats).await?;
        }
    }
    Ok(())
}

/// The database, asked for the same without us.
struct Limit<'a> {
    database: &'a Database,
    statement: Statement,
    app: String,
    owner: String,
}

impl<'a> Limit<'a> {
    async fn find(lab: &'a Lab, stage: &Stage, call: &Call) -> io::Result<Option<Self>> {
        let Some(database) = &lab.database else { return Ok(None) };
        let Some(statement) = last_append(database, stage, call).await? else {
            report::line("limit", "unknown: the database does not show long statements whole");
            return Ok(None);
        };
        let owner = database.owner(&stage.app).await?;
        Ok(Some(Self { database, statement, app: stage.app.clone(), owner }))
    }

    /// The very statement, except that parameters without a value can't be parameters there,
    /// and that the message's id is made by the database. Each client looks once for a thread.
    fn script(&self, thread: &str) -> String {
        let statement = self.statement.with(&[
            ":owner",
            "null",
            "null",
            ":app",
            ":thread",
            "gen_random_uuid()",
            ":role",
            ":content",
            ":json",
            ":content",
            ":to_deleted",
        ]);
        format!(
            "\\if :is_ready\n\\else\n\
            select id as thread from nexo_threads where app_id = :app order by id offset {thread} limit 1 \\gset\n\
            \\set is_ready 1\n\\endif\n{statement}"
        )
    }

    async fn print(&self, row: Row, crowd: Crowd, thread: &str, ours: &Stats) -> io::Result<()> {
        let variables = [
            ("is_ready", "0"),
            ("owner", &self.owner),
            ("app", &self.app),
            ("role", "user"),
            ("content", SAID),
            ("json", "{}"),
            ("to_deleted", "true"),
        ];
        let limit = self.database.bench(&self.script(thread), &variables, crowd).await?;
        report::line("limit: the database alone, that statement", &report::stats(&limit));
        if row.name == rows::APPEND_ALONE.name {
            report::added("the statement", ours, &limit);
        } else {
            report::share(ours, &limit);
        }
        Ok(())
    }
}

/// Appends until the statement is seen with which that was done.
async fn last_append(
    database: &Database,
    stage: &Stage,
    (method, path, body): &Call,
) -> io::Result<Option<Statement>> {
    let mut client = stage.target.client().await?;
    for _ in 0..LOOKS {
        client.send(method, path, body).await?;
        if let Some(statement) = database.last_said(WORDS).await? {
            return Ok(Some(statement));
        }
    }
    Ok(None)
}
