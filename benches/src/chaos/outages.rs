//! Outages: the database is restarted again and again, in good order or not.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{database::Manner, lab::Lab, report::Report, script::Manner as Speaking, world::World};

const SERVERS: usize = 3;
const CUSTOMERS: usize = 60;
/// For how many seconds the database is let be.
const PAUSES: std::ops::Range<f64> = 5.0..40.0;
const PROBE_EVERY: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(3);

pub(crate) async fn outages(lab: &Lab) -> io::Result<Report> {
    let world = Arc::new(World::new(lab, "outages", SERVERS, &[]).await?);
    let talking = world.talk(CUSTOMERS, Speaking::any).await?;
    let probes = Probes::start(&world).await?;
    let until = Instant::now() + lab.outages;
    let mut returns = Vec::new();
    let mut manners = [Manner::Immediate, Manner::Fast].into_iter().cycle();
    while let (Ok(()), Some(manner)) = (timeout_at(until, sleep(pause())).await, manners.next()) {
        let restart = lab.database.restart(manner);
        world.fault("restart", format!("{manner:?}"), restart).await?;
        returns.push(world.history.now());
    }
    sleep(LIMIT * 2).await;
    let successes = probes.end();
    let verdict = world.judge(talking).await;
    let (count, seconds) = (returns.len(), lab.outages.as_secs());
    let mut report = Report::new(format!("PostgreSQL restarted {count} times in {seconds} s"));
    report.verdict(&verdict);
    report.nothing_given_up(&verdict);
    let firsts = first_successes(&returns, &successes);
    report.promise(
        "servers that came back each time",
        firsts.len(),
        firsts.len() == count * SERVERS,
    );
    report.times("its return until each server's first success", firsts, LIMIT);
    report.figure("runs begun more than once", verdict.taken_over);
    Ok(report)
}

fn pause() -> Duration {
    Duration::from_secs_f64(rand::random_range(PAUSES))
}

/// For each return and each server, how long it took to the first message that was stored.
fn first_successes(returns: &[Duration], successes: &[Vec<Duration>]) -> Vec<Duration> {
    let all = returns.iter().flat_map(|at| successes.iter().map(move |server| (at, server)));
    let first = |(at, server): (&Duration, &Vec<Duration>)| {
        server.iter().find(|success| *success >= at).map(|success| success.saturating_sub(*at))
    };
    all.filter_map(first).collect()
}

/// One who says something on each server all the time.
struct Probes {
    tasks: tokio::task::JoinSet<()>,
    /// When something was stored, for each server.
    successes: Vec<Arc<Mutex<Vec<Duration>>>>,
}

impl Probes {
    async fn start(world: &Arc<World>) -> io::Result<Self> {
        let mut probes = Self { tasks: tokio::task::JoinSet::new(), successes: Vec::new() };
        for number in 0..SERVERS {
            let (world, successes) = (Arc::clone(world), Arc::default());
            probes.successes.push(Arc::clone(&successes));
            let path = world.path(&world.create_thread().await?, "messages");
            probes.tasks.spawn(async move { probe(&world, number, &path, &successes).await });
        }
        Ok(probes)
    }

    fn end(self) -> Vec<Vec<Duration>> {
        drop(self.tasks);
        let times = |it: Arc<Mutex<Vec<Duration>>>| {
            it.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        self.successes.into_iter().map(times).collect()
    }
}

async fn probe(world: &World, number: usize, path: &str, successes: &Mutex<Vec<Duration>>) {
    let body = json!({"content": "is anybody there?"}).to_string();
    loop {
        let server = &world.fleet.servers[number].address;
        let answer = world.caller.call(server, &[], ("POST", path, &body)).await;
        if answer.is_ok_and(|answer| answer.status == 200) {
            let now = world.history.now();
            successes.lock().unwrap_or_else(PoisonError::into_inner).push(now);
        }
        sleep(PROBE_EVERY).await;
    }
}
