//! Hung agents: a thousand calls that are never answered, and what others notice of it.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use nexo_bench::{
    client::{Client, text},
    stats::Stats,
};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    call::Trouble,
    lab::Lab,
    report::Report,
    world::{World, create_app},
};

/// At most so many connections to the database.
const POOL: &str = "10";
/// How many customers of another app there are, and for how long they are measured.
const OTHERS: usize = 4;
const SPAN: Duration = Duration::from_secs(6);
/// How many calls are begun at once.
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How much longer it may take beside them, in the middle.
const MOST: f64 = 2.0;
const REQUESTS: [&str; 3] = ["POST message", "GET messages", "POST run"];

pub(crate) async fn hung(lab: &Lab) -> io::Result<Report> {
    let pool = [("DATABASE_POOL_SIZE", POOL), ("DATABASE_MAX_OVERFLOW", "0")];
    let world = Arc::new(World::new(lab, "hung", 1, &pool).await?);
    let others = create_app(world.fleet.any(), &world.caller, &world.agent).await?;
    measure(&world, &others).await?;
    let mut alone = measure(&world, &others).await?;
    let streams = hang(&world, lab.hung).await?;
    let beside = measure(&world, &others).await?;
    let hanging = world.agent.hanging();
    let_go(&world, streams).await?;
    let after = measure(&world, &others).await?;
    alone.iter_mut().zip(after).for_each(|(alone, after)| alone.extend(after));
    let mut report = Report::new(format!("{hanging} hung agent calls, {POOL} connections"));
    report.promise("calls that hung all the while", hanging, hanging == lab.hung);
    for ((name, alone), beside) in REQUESTS.into_iter().zip(alone).zip(beside) {
        compare(&mut report, name, alone, beside);
    }
    Ok(report)
}

fn compare(report: &mut Report, name: &str, alone: Vec<Duration>, beside: Vec<Duration>) {
    let [alone, beside] = [alone, beside].map(|times| Stats::new(times, SPAN, 0));
    let [middle, last] = [0.5, 0.99].map(|part| (beside.percentile(part), alone.percentile(part)));
    let (ratio, last_ratio) = (middle.0 / middle.1, last.0 / last.1);
    let figure = format!(
        "p50 {:.1} ms, alone {:.1} ms: x {ratio:.2}  p99 {:.1} ms, alone {:.1} ms: x {last_ratio:.2}",
        middle.0, middle.1, last.0, last.1
    );
    report.promise(&format!("{name} beside them"), figure, ratio <= MOST);
}

/// How long each of the requests takes for customers of another app. None may fail.
async fn measure(world: &Arc<World>, app: &str) -> io::Result<[Vec<Duration>; 3]> {
    let mut customers = JoinSet::new();
    for _ in 0..OTHERS {
        let mut client = Client::connect(world.fleet.any(), Some(&world.caller.token)).await?;
        let created = client.send("POST", &format!("/apps/{app}/threads"), "{}").await?.json()?;
        let thread = format!("/apps/{app}/threads/{}", text(&created["thread"]["id"])?);
        customers.spawn(converse(client, thread));
    }
    let mut all = [Vec::new(), Vec::new(), Vec::new()];
    while let Some(times) = customers.join_next().await {
        let times = times.map_err(io::Error::other)??;
        all.iter_mut().zip(times).for_each(|(all, times)| all.extend(times));
    }
    Ok(all)
}

async fn converse(mut client: Client, thread: String) -> io::Result<[Vec<Duration>; 3]> {
    let messages = format!("{thread}/messages");
    let (latest, run) = (format!("{messages}?limit=50"), format!("{thread}/run"));
    let requests = [
        ("POST", messages, json!({"content": "prompt please"}).to_string()),
        ("GET", latest, String::new()),
        ("POST", run, String::new()),
    ];
    let (began, mut times) = (Instant::now(), [Vec::new(), Vec::new(), Vec::new()]);
    while began.elapsed() < SPAN {
        for ((method, path, body), times) in requests.iter().zip(&mut times) {
            let sent = Instant::now();
            let answer = client.send(method, path, body).await?;
            if answer.status != 200 {
                return Err(io::Error::other(format!("{method} {path}: {}", answer.status)));
            }
            times.push(sent.elapsed());
        }
    }
    Ok(times)
}

/// Has so many agent calls hang, each with somebody who waits for it.
async fn hang(world: &Arc<World>, count: usize) -> io::Result<Vec<Client>> {
    let mut beginning = JoinSet::new();
    let mut streams = Vec::with_capacity(count);
    for number in 0..count {
        if beginning.len() >= AT_ONCE {
            streams.extend(next(&mut beginning).await?);
        }
        beginning.spawn(wait_in_vain(Arc::clone(world), number));
    }
    while !beginning.is_empty() {
        streams.extend(next(&mut beginning).await?);
    }
    let all_hang = async {
        while world.agent.hanging() < count {
            sleep(ASK_EVERY).await;
        }
    };
    timeout(PATIENCE, all_hang).await?;
    Ok(streams)
}

async fn next(beginning: &mut JoinSet<io::Result<Client>>) -> io::Result<Option<Client>> {
    beginning.join_next().await.transpose().map_err(io::Error::other)?.transpose()
}

async fn wait_in_vain(world: Arc<World>, number: usize) -> io::Result<Client> {
    let thread = world.create_thread().await?;
    let body = json!({"content": format!("hang {number}")}).to_string();
    let path = world.path(&thread, "messages");
    let failed = |trouble: Trouble| io::Error::other(format!("{trouble:?}"));
    let (server, caller) = (world.fleet.any(), &world.caller);
    caller.call(server, &[], ("POST", &path, &body)).await.map_err(failed)?;
    let path = world.path(&thread, "run/stream");
    let (_, client) = caller.open(server, &[], &path).await.map_err(failed)?;
    Ok(client)
}

/// Ends the calls, and waits until their runs have ended as well.
async fn let_go(world: &World, streams: Vec<Client>) -> io::Result<()> {
    drop(streams);
    world.agent.let_go();
    timeout(PATIENCE, world.rest()).await?;
    Ok(())
}
