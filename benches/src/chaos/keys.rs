//! Idempotency keys: one request is sent many times at once, over two servers.

use std::{collections::HashSet, io, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use crate::{lab::Lab, report::Report, world::World};

const SERVERS: usize = 2;
const ROUNDS: usize = 5;
/// One that can't know yet is asked again.
const ASK_EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn keys(lab: &Lab) -> io::Result<Report> {
    let world = Arc::new(World::new(lab, "keys", SERVERS, &[]).await?);
    let mut report = Report::new(format!("one key {} times at once, {ROUNDS} rounds", lab.copies));
    if !world.knows_keys {
        report.figure("these servers know no idempotency keys", "not tried");
        return Ok(report);
    }
    let (mut answers, mut messages, mut runs) = (0, 0, 0);
    for _ in 0..ROUNDS {
        let thread = world.create_thread().await?;
        let body = json!({"content": "json once"}).to_string();
        answers += send(&world, lab.copies, &world.path(&thread, "messages"), &body).await?;
        answers += send(&world, lab.copies, &world.path(&thread, "run"), "").await?;
        let stored = world.get(&world.path(&thread, "messages?limit=200")).await;
        messages += stored.as_array().map_or(0, Vec::len);
        let made = world.get(&world.path(&thread, "runs?limit=200")).await;
        runs += made["items"].as_array().map_or(0, Vec::len);
    }
    let expected = [2 * ROUNDS, 2 * ROUNDS, ROUNDS];
    for (name, count, expected) in [
        ("different answers", answers, expected[0]),
        ("messages, replies included", messages, expected[1]),
        ("runs", runs, expected[2]),
    ] {
        report.promise(name, format!("{count}, expected {expected}"), count == expected);
    }
    Ok(report)
}

/// Sends one request many times at once, and gives how many different answers there are.
async fn send(world: &Arc<World>, copies: usize, path: &str, body: &str) -> io::Result<usize> {
    let mut sending = JoinSet::new();
    for number in 0..copies {
        let (world, path, body) = (Arc::clone(world), path.to_owned(), body.to_owned());
        sending.spawn(async move { answer(&world, number % SERVERS, &path, &body).await });
    }
    let mut answers = HashSet::new();
    while let Some(answer) = sending.join_next().await {
        answers.insert(answer.map_err(io::Error::other)??);
    }
    Ok(answers.len())
}

async fn answer(
    world: &World,
    server: usize,
    path: &str,
    body: &str,
) -> io::Result<(u16, Vec<u8>)> {
    let server = &world.fleet.servers[server].address;
    loop {
        let headers = [("idempotency-key", path)];
        let answered = world.caller.call(server, &headers, ("POST", path, body)).await;
        let answer = answered.map_err(|trouble| io::Error::other(format!("{trouble:?}")))?;
        if answer.status != 409 {
            return Ok((answer.status, answer.body));
        }
        sleep(ASK_EVERY).await;
    }
}
