//! Runs that are answered whole.

use std::io;

use crate::{
    drive::{Call, Crowd, requests},
    lab::Lab,
    report,
    rows::{self, Row},
    stage::{MESSAGE, Stage, THREADS, calls},
};

pub(crate) async fn measure(lab: &Lab) -> io::Result<()> {
    let stage = Stage::new(lab).await?;
    let runs = calls("POST", &stage.spoken_threads(THREADS).await?, "run", "");
    simulated(lab, &stage, &runs).await?;
    stage.use_agent(&lab.agent, "/").await?;
    webhook(lab, &stage, &runs, rows::WEBHOOK_RUN, 1).await?;
    webhook(lab, &stage, &runs, rows::WEBHOOK_RUNS, 32).await
}

/// The simulator is ours as well: there is nothing it could stand beside.
async fn simulated(lab: &Lab, stage: &Stage, runs: &[Call]) -> io::Result<()> {
    let crowd = Crowd { clients: 32, time: lab.time };
    let ours = requests(&stage.target, crowd, runs.to_vec()).await?;
    report::row(rows::SIMULATED_RUN);
    report::figures(report::NEXO, &ours);
    Ok(())
}

async fn webhook(
    lab: &Lab,
    stage: &Stage,
    runs: &[Call],
    row: Row,
    clients: usize,
) -> io::Result<()> {
    let (crowd, call) = (Crowd { clients, time: lab.time }, ("POST", "/".to_owned(), MESSAGE));
    let proxy = lab.proxy().await?;
    let ours = requests(&stage.target, crowd, runs.to_vec()).await?;
    let direct = requests(&lab.agent.target(), crowd, vec![call.clone()]).await?;
    let proxied = requests(&proxy.target(), crowd, vec![call]).await?;
    report::row(row);
    report::figures(report::NEXO, &ours);
    report::figures("limit: the agent called directly", &direct);
    report::figures("limit: the same through a bare proxy", &proxied);
    report::added("the direct call", &ours.stats, &direct.stats);
    Ok(())
}
