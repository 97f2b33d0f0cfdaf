//! `kill -9`: one server after another is killed in the middle of its runs, and started again.

use std::{io, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    history::{Ending, Facts},
    lab::Lab,
    report::Report,
    script::Manner,
    world::World,
};

/// So many that each lives long enough to look after others, though one is killed every other
/// second.
const SERVERS: usize = 8;
const CUSTOMERS: usize = 160;
const PACE: Duration = Duration::from_millis(2_000);
/// How many runs a server has at least, on average, when it is killed.
const RUNS_EACH: usize = 10;
const LIMIT: Duration = Duration::from_secs(15);

pub(crate) async fn kills(lab: &Lab) -> io::Result<Report> {
    let world = Arc::new(World::new(lab, "kills", SERVERS, &[]).await?);
    world.fleet.settle().await;
    let talking = world.talk(CUSTOMERS, Manner::any).await?;
    sleep(PACE).await;
    let began = Instant::now();
    for count in 0..lab.kills {
        let next = sleep(PACE);
        let (number, server) = (count % SERVERS, &world.fleet.servers[count % SERVERS]);
        world.fault("kill", number, server.kill()).await?;
        world.fault("start", number, server.start()).await?;
        next.await;
    }
    let took = began.elapsed().as_secs();
    let verdict = world.judge(talking).await;
    let facts = world.history.facts();
    let (kills, cut) = (lab.kills, cut(&facts).count());
    let mut report =
        Report::new(format!("kill -9: {kills} kills of {SERVERS} servers in {took} s"));
    report.promise("runs in flight on a server that was killed", cut, cut >= kills * RUNS_EACH);
    report.verdict(&verdict);
    report.figure("runs given up after three lost servers", verdict.given_up);
    report.times("kill until the agent is asked again", until_asked_again(&facts), LIMIT);
    report.times("kill until readers see a reset or the end", until_seen(&facts), LIMIT);
    Ok(report)
}

/// The runs whose server was killed while it listened to their agent, with the attempt, and when
/// that was.
fn cut(facts: &Facts) -> impl Iterator<Item = (&str, i32, Duration)> {
    facts.speeches.iter().filter_map(|speech| match speech.ending {
        Some(Ending::Cut(at)) => Some((speech.run.as_str(), speech.attempt, at)),
        _ => None,
    })
}

fn until_asked_again(facts: &Facts) -> Vec<Duration> {
    let began = facts.speeches.iter().map(|it| ((it.run.as_str(), it.attempt), it.began));
    let began: std::collections::HashMap<_, _> = began.collect();
    let again = |(run, attempt, at)| Some(began.get(&(run, attempt + 1))?.saturating_sub(at));
    cut(facts).filter_map(again).collect()
}

fn until_seen(facts: &Facts) -> Vec<Duration> {
    let readings = facts.readings.iter().map(|reading| (reading.run.as_str(), reading));
    let readings: std::collections::HashMap<_, _> = readings.collect();
    let seen = |(run, attempt, at)| {
        let reading = readings.get(run)?;
        let later = reading.attempts.iter().find(|(it, _)| *it > attempt).map(|(_, at)| *at);
        Some(later.unwrap_or(reading.ended).saturating_sub(at))
    };
    cut(facts).filter_map(seen).collect()
}
