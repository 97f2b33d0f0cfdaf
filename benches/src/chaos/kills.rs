//! `kill -9`: one server after another is killed in the middle of its runs, and started again.

use std::{io, ops::Range, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    lab::Lab,
    report::{GIVEN_UP, Report},
    script::Manner,
    takeover,
    world::World,
};

/// So many that each lives long enough to look after others, though one is killed every other
/// second.
const SERVERS: usize = 8;
const CUSTOMERS: usize = 160;
/// How long until the next one, in seconds. In step with their signs of life, the kills would
/// hit the same runs again and again.
const PACE: Range<f64> = 1.5..2.5;
const WARM_UP: Duration = Duration::from_secs(2);
/// How many runs a server has at least, on average, when it is killed.
const RUNS_EACH: usize = 10;
const LIMIT: Duration = Duration::from_secs(15);

pub(crate) async fn kills(lab: &Lab) -> io::Result<Report> {
    let world = Arc::new(World::new(lab, "kills", SERVERS, &[]).await?);
    world.fleet.settle().await;
    let talking = world.talk(CUSTOMERS, Manner::any).await?;
    sleep(WARM_UP).await;
    let began = Instant::now();
    for count in 0..lab.kills {
        let next = sleep(Duration::from_secs_f64(rand::random_range(PACE)));
        let (number, server) = (count % SERVERS, &world.fleet.servers[count % SERVERS]);
        world.fault("kill", number, server.kill()).await?;
        world.fault("start", number, server.start()).await?;
        next.await;
    }
    let took = began.elapsed().as_secs();
    let verdict = world.judge(talking).await;
    let facts = world.history.facts();
    let (kills, cut) = (lab.kills, takeover::cut(&facts).count());
    let mut report =
        Report::new(format!("kill -9: {kills} kills of {SERVERS} servers in {took} s"));
    report.promise("runs in flight on a server that was killed", cut, cut >= kills * RUNS_EACH);
    report.verdict(&verdict);
    report.figure(GIVEN_UP, verdict.given_up);
    report.times("kill until the agent is asked again", takeover::until_asked_again(&facts), LIMIT);
    report.times("kill until readers see a reset or the end", takeover::until_seen(&facts), LIMIT);
    Ok(report)
}
