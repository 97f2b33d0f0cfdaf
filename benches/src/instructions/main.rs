//! Counts what the adapters cost: how many instructions a server executes for one request, with
//! the endpoints of [`nexo_bench::hosts`] written natively and through Nexo's table.
//!
//! Each server runs under valgrind's callgrind, which counts what it executes outside of the
//! kernel, and answers one connection. The difference between many requests and few leaves out
//! how it starts and ends. Unlike time, the count hardly depends on what else the machine does.
//!
//! ```text
//! instructions                     # counts everything, and prints a table
//! instructions serve HOST ENDPOINT # the measured server, until its input ends
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

mod client;
mod count;
mod serve;

use std::process::ExitCode;

use nexo_core::BoxError;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done: Result<(), BoxError> = match arguments[..] {
        [] => count::everything(),
        ["serve", host, endpoint] => serve::serve(host, endpoint),
        _ => Err("usage: instructions [serve HOST ENDPOINT]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}
