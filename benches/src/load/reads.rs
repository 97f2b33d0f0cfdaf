//! Reading: the account, and a page of messages.

use std::io;

use crate::{
    bare,
    drive::{Call, Crowd, Figures, requests},
    helper::Helper,
    lab::Lab,
    report,
    rows::{self, Row},
    stage::{MESSAGE, Stage, Target},
};

const LONG_THREAD: usize = 1_000;

pub(crate) async fn measure(lab: &Lab) -> io::Result<()> {
    let stage = Stage::new(lab).await?;
    beside_a_bare_server(lab, &stage, rows::ME, "/users/me").await?;
    let thread = long_thread(&stage).await?;
    beside_a_bare_server(lab, &stage, rows::MESSAGES, &format!("{thread}/messages?limit=50")).await
}

async fn long_thread(stage: &Stage) -> io::Result<String> {
    let thread = stage.threads(1).await?.remove(0);
    let mut client = stage.target.client().await?;
    for _ in 0..LONG_THREAD {
        client.send("POST", &format!("{thread}/messages"), MESSAGE).await?;
    }
    Ok(thread)
}

/// The limit gives the very same answer, which it has at hand.
async fn beside_a_bare_server(lab: &Lab, stage: &Stage, row: Row, path: &str) -> io::Result<()> {
    let answer = stage.target.client().await?.send("GET", path, "").await?;
    let bare = Helper::start(bare::ROLE, &String::from_utf8_lossy(&answer.body)).await?;
    let limit = Target { token: stage.target.token.clone(), ..bare.target() };
    let ours = read(lab, &stage.target, path).await?;
    let limit = read(lab, &limit, path).await?;
    report::row(row);
    report::figures(report::NEXO, &ours);
    report::figures("limit: a bare server, the same answer", &limit);
    report::share(&ours.stats, &limit.stats);
    Ok(())
}

async fn read(lab: &Lab, target: &Target, path: &str) -> io::Result<Figures> {
    let call: Call = ("GET", path.to_owned(), "");
    requests(target, Crowd { clients: 32, time: lab.time }, vec![call]).await
}
