//! What goes wrong, and when, is chance.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    chance::Chance,
    gate::Standing,
    world::{Server, World},
};

/// Makes trouble for as long as it is let.
pub(crate) async fn rage(world: Arc<World>, mut chance: Chance, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        tokio::time::sleep(chance.millis(200..7_000)).await;
        let server = world.server(&mut chance);
        match chance.below(100) {
            0..25 => kill(&world, &server),
            25..55 => freeze(server, &mut chance),
            55..80 => flake(server, &mut chance),
            80..86 => lose_store(&world, &mut chance),
            _ => shut_down(&world, server, &mut chance),
        }
    }
}

fn kill(world: &Arc<World>, server: &Server) {
    server.gate.set(Standing::Dead);
    world.replace(server);
}

/// For longer than a server may be silent, or not as long.
fn freeze(server: Server, chance: &mut Chance) {
    let time = chance.millis(500..20_000);
    server.gate.set(Standing::Frozen);
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        server.gate.set(Standing::Alive);
    });
}

fn flake(server: Server, chance: &mut Chance) {
    let (time, percent) = (chance.millis(500..15_000), 5 + chance.below(60));
    server.gate.flake(percent);
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        server.gate.flake(0);
    });
}

/// For all servers at once; for longer than each of them may be silent, or not as long.
fn lose_store(world: &Arc<World>, chance: &mut Chance) {
    let time = chance.millis(500..20_000);
    let servers = world.servers();
    servers.iter().for_each(|server| server.gate.flake(100));
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        servers.iter().for_each(|server| server.gate.flake(0));
    });
}

/// In good order, as long as the store lets it.
fn shut_down(world: &Arc<World>, server: Server, chance: &mut Chance) {
    let grace = chance.millis(0..8_000);
    world.history.note(|| format!("s{} shuts down within {grace:?}", server.number));
    world.replace(&server);
    tokio::spawn(async move {
        server.nexo.engine().shutdown(grace).await;
        server.gate.set(Standing::Dead);
    });
}
