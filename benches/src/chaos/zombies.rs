//! Zombies: servers stand still for longer than they may be silent, and go on as if nothing had
//! happened. What they still say must not count.

use std::{collections::HashSet, fs, io, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use crate::{database::Database, lab::Lab, report::Report, script::Manner, world::World};

const SERVERS: usize = 12;
/// So many stand still at once; the others look after their runs.
const BATCH: usize = 10;
const CUSTOMERS: usize = 150;
const SHORTEST: Duration = Duration::from_secs(12);
const LONGEST: Duration = Duration::from_secs(25);
/// What a server had begun to write when it was stopped is written by then.
const WRITTEN: Duration = Duration::from_millis(300);
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long they are let go on before the next ones are stopped.
const AWAKE: Duration = Duration::from_secs(4);

/// A run that a stopped server carried.
#[derive(Debug)]
struct Held {
    run: String,
    server: String,
    fence: i64,
}

pub(crate) async fn zombies(lab: &Lab) -> io::Result<Report> {
    let pool = [("DATABASE_POOL_SIZE", "5"), ("DATABASE_MAX_OVERFLOW", "5")];
    let world = Arc::new(World::new(lab, "zombies", SERVERS, &pool).await?);
    let ids = server_ids(&lab.database).await?;
    world.fleet.settle().await;
    let talking = world.talk(CUSTOMERS, Manner::any).await?;
    sleep(AWAKE).await;
    let (began, mut held, mut holders, mut count) = (Instant::now(), Vec::new(), 0, 0);
    while count < lab.zombies {
        let batch = BATCH.min(lab.zombies - count);
        let stopped: Vec<usize> = (count..count + batch).map(|number| number % SERVERS).collect();
        let theirs = stand_still(&world, &lab.database, &ids, &stopped).await?;
        holders += theirs.iter().map(|it| &it.server).collect::<HashSet<_>>().len();
        held.extend(theirs);
        count += batch;
        sleep(AWAKE).await;
    }
    let took = began.elapsed().as_secs();
    let verdict = world.judge(talking).await;
    let title =
        format!("zombies: {count} times a server stood still, {BATCH} at once, in {took} s");
    let mut report = Report::new(title);
    report.promise("runs that they carried", held.len(), held.len() >= count);
    report.promise("zombies that carried any", holders, holders == count);
    let ended = fences_below(&lab.database, &held).await?;
    report.promise("of those, ended under the zombie's fence", ended, ended == 0);
    report.figure("words of theirs that were refused", refused(&world)?);
    report.verdict(&verdict);
    report.nothing_given_up(&verdict);
    Ok(report)
}

/// Stops servers until others have taken over all that they carried, and has them go on.
async fn stand_still(
    world: &World,
    database: &Database,
    ids: &[String],
    stopped: &[usize],
) -> io::Result<Vec<Held>> {
    for number in stopped {
        world.fault("stop", number, world.fleet.servers[*number].stop()).await?;
    }
    sleep(WRITTEN).await;
    let theirs: Vec<&str> = stopped.iter().map(|number| ids[*number].as_str()).collect();
    let held = held_by(database, &theirs).await?;
    let taken_over = async {
        sleep(SHORTEST).await;
        while !held_by(database, &theirs).await?.is_empty() {
            sleep(ASK_EVERY).await;
        }
        Ok::<_, io::Error>(())
    };
    timeout(LONGEST, taken_over).await.map_err(|_| io::Error::other("nobody took over"))??;
    for number in stopped {
        world.fault("go on", number, world.fleet.servers[*number].go_on()).await?;
    }
    Ok(held)
}

/// The servers' ids, in the order in which they were started.
async fn server_ids(database: &Database) -> io::Result<Vec<String>> {
    let newest = format!("select id from nexo_servers order by started_at desc limit {SERVERS}");
    let mut ids = database.rows(&newest).await?;
    ids.reverse();
    Ok(ids)
}

async fn held_by(database: &Database, servers: &[&str]) -> io::Result<Vec<Held>> {
    let servers = servers.join("','");
    let rows = database
        .rows(&format!(
            "select id, server_id, fence from nexo_runs
            where state = 'running' and server_id in ('{servers}')"
        ))
        .await?;
    Ok(rows.iter().filter_map(|row| held(row)).collect())
}

fn held(row: &str) -> Option<Held> {
    let mut columns = row.split('|').map(str::to_owned);
    let (run, server) = (columns.next()?, columns.next()?);
    Some(Held { run, server, fence: columns.next()?.parse().ok()? })
}

/// How many of the runs have no higher fence than the one under which they were held.
async fn fences_below(database: &Database, held: &[Held]) -> io::Result<usize> {
    let mut below = 0;
    for Held { run, fence, .. } in held {
        let low = format!("select 1 from nexo_runs where id = '{run}' and fence <= {fence}");
        below += database.rows(&low).await?.len();
    }
    Ok(below)
}

/// How often a server found that its run had gone on without it.
fn refused(world: &World) -> io::Result<usize> {
    let mut count = 0;
    for number in 0..SERVERS {
        let log = fs::read_to_string(world.dir.join(format!("server-{number}.log")))?;
        count += log.matches("was overtaken").count();
    }
    Ok(count)
}
