//! Counting: each host and endpoint with few requests and with many.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use nexo_bench::hosts::{Endpoint, World};
use nexo_core::BoxError;
use serde_json::Value;
use tokio::runtime::Builder;

use crate::{client::Client, serve::FRAMEWORKS};

const FEW: u32 = 500;
const MANY: u32 = 2_500;

/// Counts for every endpoint and host, and prints it.
///
/// What the table costs by itself is its difference to a native handler behind hyper, which
/// has nothing to adapt to. In a framework, what comes on top of that and of what is native
/// there is the adapter's.
pub(crate) fn everything() -> Result<(), BoxError> {
    println!(
        "instructions per request, outside of the kernel: ({MANY} - {FEW} requests) / {}",
        MANY - FEW
    );
    for endpoint in endpoints()? {
        println!("\n{}", endpoint.name);
        let (mut table, mut shapes) = (None, Vec::new());
        for (framework, hosted) in FRAMEWORKS {
            let mut each = |how: &str| {
                let (each, answer) = count_each(&format!("{framework} {how}"), &endpoint)?;
                shapes.push(shape(&answer)?);
                print!("  {:<32} {each:>7}", format!("{framework}, {how}"));
                Ok::<_, BoxError>(each)
            };
            let native = each("native")?;
            println!();
            for how in hosted {
                let hosted = each(how)?;
                println!("  {}", compared(hosted, native, *table.get_or_insert(hosted - native)));
            }
        }
        // What answers something else would be another endpoint.
        if shapes.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(format!("{}: the hosts answer differently", endpoint.name).into());
        }
    }
    Ok(())
}

/// How many a request takes there, and the last answer.
fn count_each(host: &str, endpoint: &Endpoint) -> Result<(i64, String), BoxError> {
    let (few, _) = count(host, endpoint, FEW)?;
    let (many, answer) = count(host, endpoint, MANY)?;
    Ok(((many - few) / i64::from(MANY - FEW), answer))
}

/// What the table adds to the native version, and the adapter to the native version and the
/// table.
fn compared(hosted: i64, native: i64, table: i64) -> String {
    let percent = |more: i64, of: i64| more as f64 / of as f64 * 100.0;
    let all = percent(hosted - native, native);
    let adapter = percent(hosted - native - table, native + table);
    format!("{all:+6.1} % to native; the adapter {adapter:+6.1} %")
}

fn endpoints() -> Result<[Endpoint; 3], BoxError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(World::new())?.endpoints())
}

/// The names in an answer, in their order; ids and times differ.
fn shape(answer: &str) -> Result<Vec<String>, BoxError> {
    let answer: Value = serde_json::from_str(answer)?;
    Ok(answer.as_object().into_iter().flat_map(|it| it.keys().cloned()).collect())
}

/// How many instructions a server executes in all if it is asked so often, and its last answer.
fn count(host: &str, endpoint: &Endpoint, requests: u32) -> Result<(i64, String), BoxError> {
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

fn ask(server: &mut Child, endpoint: &Endpoint, requests: u32) -> Result<String, BoxError> {
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
fn collected(said: &str) -> Option<i64> {
    let (_, count) = said.lines().find_map(|line| line.split_once("Collected : "))?;
    count.trim().parse().ok()
}
