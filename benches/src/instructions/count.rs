//! Counting: each host and endpoint with few requests and with many.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use nexo_bench::hosts::{Endpoint, World};
use nexo_core::BoxError;
use serde_json::Value;
use tokio::runtime::Builder;

use crate::{
    client::Client,
    serve::{ALONE, HOSTS},
};

const FEW: u64 = 500;
const MANY: u64 = 2_500;

/// Counts for every endpoint and host, and prints how the table in each framework compares with
/// the table alone, and with what is native there.
pub(crate) fn everything() -> Result<(), BoxError> {
    println!(
        "instructions per request, outside of the kernel: ({MANY} - {FEW} requests) / {}",
        MANY - FEW
    );
    for endpoint in endpoints()? {
        println!("\n{:<40} {:>14} {:>14}", endpoint.name, "to the table", "to native");
        let (mut alone, mut native, mut shapes) = (0, 0, Vec::new());
        for host in HOSTS {
            let (few, _) = count(host, &endpoint, FEW)?;
            let (many, answer) = count(host, &endpoint, MANY)?;
            let each = many.saturating_sub(few) / (MANY - FEW);
            shapes.push(shape(&answer)?);
            match host {
                ALONE => alone = each,
                _ if host.ends_with("native") => native = each,
                _ => {
                    let [alone, native] = [alone, native].map(|other| compared(each, other));
                    println!("  {host:<29} {each:>8} {alone:>14} {native:>14}");
                    continue;
                }
            }
            println!("  {host:<29} {each:>8}");
        }
        // What answers something else would be another endpoint.
        if shapes.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(format!("{}: the hosts answer differently", endpoint.name).into());
        }
    }
    Ok(())
}

fn endpoints() -> Result<[Endpoint; 3], BoxError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(World::new())?.endpoints())
}

fn compared(each: u64, other: u64) -> String {
    format!("{:+.1} %", (each as f64 / other as f64 - 1.0) * 100.0)
}

/// The names in an answer, in their order; ids and times differ.
fn shape(answer: &str) -> Result<Vec<String>, BoxError> {
    let answer: Value = serde_json::from_str(answer)?;
    Ok(answer.as_object().into_iter().flat_map(|it| it.keys().cloned()).collect())
}

/// How many instructions a server executes in all if it is asked so often, and its last answer.
fn count(host: &str, endpoint: &Endpoint, requests: u64) -> Result<(u64, String), BoxError> {
    let mut server = start(host, endpoint.name)?;
    let answer = ask(&mut server, endpoint, requests);
    // Its end is that of its input.
    drop(server.stdin.take());
    let mut said = String::new();
    server.stderr.take().ok_or("no report")?.read_to_string(&mut said)?;
    server.wait()?;
    let answer = answer.map_err(|error| format!("{host}: {error}\n{said}"))?;
    Ok((collected(&said).ok_or_else(|| format!("{host}: no count in:\n{said}"))?, answer))
}

fn start(host: &str, endpoint: &str) -> Result<Child, BoxError> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(std::env::current_exe()?).args(["serve", host, endpoint]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command.spawn().map_err(|error| format!("valgrind: {error}"))?)
}

fn ask(server: &mut Child, endpoint: &Endpoint, requests: u64) -> Result<String, BoxError> {
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let (address, path) = line.trim_end().split_once(' ').ok_or("it does not start")?;
    let (method, body) = (endpoint.method.as_str(), endpoint.body);
    let mut client = Client::connect(address.parse()?, method, path, body)?;
    let mut answer = String::new();
    for _ in 0..requests {
        answer = client.ask()?;
    }
    Ok(answer)
}

/// What callgrind reports at the end: `==1234== Collected : 56789`.
fn collected(said: &str) -> Option<u64> {
    let (_, count) = said.lines().find_map(|line| line.split_once("Collected : "))?;
    count.trim().parse().ok()
}
