//! A laboratory for faults: servers on one store die, freeze, shut down and lose its answers,
//! while clients talk over them; whatever happens, what the engine promises holds.
//!
//! All of it happens in one process and in a time of its own, so that a minute of trouble takes
//! some milliseconds. A seed makes a history; `NEXO_SEED=n` makes that one again, and
//! `NEXO_SEEDS=n` says how many are made.

#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod agent;
mod chance;
mod chaos;
mod client;
mod doors;
mod gate;
mod history;
mod hub;
mod judge;
mod reader;
mod silence;
mod world;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chance::Chance;
use client::Client;
use gate::Lie;
use history::DAWN;
use judge::Remains;
use nexo_core::Timestamp;
use world::World;

const SEEDS: u64 = 1_000;
/// How often a single seed is tried until something is wrong; see below why once may be too few.
const REPLAYS: u32 = 20;
const TROUBLE: Duration = Duration::from_secs(75);

#[test]
fn whatever_fails_every_promise_holds() {
    match number("NEXO_SEED") {
        Some(seed) => {
            let mut verdicts = (0..REPLAYS).map(|_| Verdict::of(seed, None));
            let bad = verdicts.find(|verdict| !verdict.wrongs.is_empty());
            let verdict = bad.unwrap_or_else(|| Verdict::of(seed, None));
            println!("{verdict}");
            assert!(verdict.wrongs.is_empty(), "{:#?}", verdict.wrongs);
        }
        None => {
            let seeds = number("NEXO_SEEDS").unwrap_or(SEEDS);
            let bad = bad_ones(seeds);
            let all: Vec<_> = bad.iter().map(|it| (it.seed, &it.wrongs)).collect();
            assert!(bad.is_empty(), "{}{} of {seeds}: {all:#?}", bad[0], all.len());
        }
    }
}

#[test]
fn a_store_that_lies_is_noticed() {
    for lie in [Lie::LosesMessages, Lie::CutsReplies, Lie::IgnoresFences, Lie::GarblesSegments] {
        let mut noticed = (0..400).map(|seed| Verdict::of(seed, Some(lie)));
        let noticed = noticed.find(|verdict| !verdict.wrongs.is_empty());
        let noticed = noticed.unwrap_or_else(|| panic!("{lie:?} was not noticed"));
        println!("{lie:?} by seed {}: {:?}", noticed.seed, noticed.wrongs.first());
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// The histories that something is wrong with, in the order of their seeds.
fn bad_ones(seeds: u64) -> Vec<Verdict> {
    let (next, bad) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::SeqCst)).filter(|it| *it < seeds) {
            let verdict = Verdict::of(seed, None);
            if !verdict.wrongs.is_empty() {
                bad.lock().unwrap().push(verdict);
            }
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
    let mut bad = bad.into_inner().unwrap();
    bad.sort_by_key(|verdict: &Verdict| verdict.seed);
    bad
}

/// What is to be said of one history.
struct Verdict {
    seed: u64,
    wrongs: Vec<String>,
    lines: Vec<(Timestamp, String)>,
    remains: Remains,
    /// How many pieces of text were read on another server than the one where they were said,
    /// before that one had said everything.
    live: usize,
}

impl Verdict {
    fn of(seed: u64, lie: Option<Lie>) -> Self {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(history(seed, lie))
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        for (at, line) in &self.lines {
            writeln!(f, "{:9.3} {line}", at.since(DAWN).as_secs_f64())?;
        }
        writeln!(f, "{:#?}\n{:#?}", self.remains, self.wrongs)
    }
}

/// Whatever fails, there is always somebody who reads along elsewhere.
#[test]
fn readers_see_what_runs_say_on_other_servers_as_well() {
    let live = (0..20).map(|seed| Verdict::of(seed, None).live);
    let live: Vec<usize> = live.collect();
    assert!(live.iter().filter(|live| **live > 0).count() > 15, "{live:?}");
}

/// Not always: who wait for one thing wake in an order that is tokio's own chance, and one seed
/// in a hundred depends on it.
#[test]
fn a_seed_makes_one_history_nearly_always() {
    let again = (0..20).filter(|seed| {
        let [mut one, mut other] = [0, 1].map(|_| Verdict::of(*seed, None).lines);
        one.sort();
        other.sort();
        one == other
    });
    assert!(again.count() > 10);
}

/// Trouble, then none, then peace; and what is to be said of it.
async fn history(seed: u64, lie: Option<Lie>) -> Verdict {
    let mut chance = Chance::new(seed);
    let world = World::new(chance.fork(), lie).await;
    let clients = talk(&world, &mut chance);
    chaos::rage(world.clone(), chance.fork(), TROUBLE).await;
    world.heal();
    let mut readers = clients.join_all().await;
    world.settle().await;
    let reading = async {
        for readers in &mut readers {
            while let Some(read) = readers.join_next().await {
                read.unwrap();
            }
        }
    };
    if tokio::time::timeout(Duration::from_secs(60), reading).await.is_err() {
        world.history.wrong("somebody never came to read the end".into());
    }
    let remains = world.remains().await;
    let mut facts = world.history.facts();
    let wrongs = judge::judge(&facts, &remains);
    let (lines, live) = (std::mem::take(&mut facts.lines), facts.live);
    Verdict { seed, wrongs, lines, remains, live }
}

type Talking = tokio::task::JoinSet<tokio::task::JoinSet<()>>;

fn talk(world: &std::sync::Arc<World>, chance: &mut Chance) -> Talking {
    let mut clients = Talking::new();
    for (number, thread) in world.threads.iter().enumerate() {
        let (world, thread) = (world.clone(), *thread);
        let client = Client { world, number, thread, chance: chance.fork() };
        clients.spawn(client.talk(6 + chance.below(9)));
    }
    clients
}
