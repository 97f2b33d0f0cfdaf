//! SIGTERM: one server after another is shut down in good order under load, and started again.

use std::{io, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{lab::Lab, report::Report, script::Manner, takeover, world::World};

const SERVERS: usize = 3;
const CUSTOMERS: usize = 60;
/// So long runs are let go on; some take longer, and are handed over.
const GRACE: &str = "4";
/// The grace, and what is documented as the time for everything that ends after it.
const LIMIT: Duration = Duration::from_secs(4 + 5 + 5 + 5);
const PAUSE: Duration = Duration::from_secs(4);
const TAKEOVER_LIMIT: Duration = Duration::from_secs(2);

pub(crate) async fn drains(lab: &Lab) -> io::Result<Report> {
    let grace = [("SHUTDOWN_GRACE_SECONDS", GRACE)];
    let world = Arc::new(World::new(lab, "drains", SERVERS, &grace).await?);
    let talking = world.talk(CUSTOMERS, Manner::long).await?;
    let (began, mut times, mut in_order) = (Instant::now(), Vec::new(), 0);
    for count in 0..lab.drains {
        sleep(PAUSE).await;
        let (number, server) = (count % SERVERS, &world.fleet.servers[count % SERVERS]);
        let (status, time) = world.fault("terminate", number, server.terminate(LIMIT)).await?;
        in_order += usize::from(status.success());
        times.push(time);
        world.fault("start", number, server.start()).await?;
    }
    let (count, took) = (lab.drains, began.elapsed().as_secs());
    let verdict = world.judge(talking).await;
    let facts = world.history.facts();
    let mut report = Report::new(format!("SIGTERM: {count} shutdowns under load in {took} s"));
    report.promise("ended with exit code 0", in_order, in_order == count);
    report.times("SIGTERM until it has ended", times, LIMIT);
    report.verdict(&verdict);
    report.nothing_given_up(&verdict);
    let handed_over = takeover::until_asked_again(&facts);
    report.times("handed over until the agent is asked again", handed_over, TAKEOVER_LIMIT);
    Ok(report)
}
