//! Echo servers on other runtimes, which `gannet-bench` measures the engine beside: `peer-echo NAME PORT`.
//!
//! Each serves on loopback on one thread, on the processors that its parent may use. It says `ready PORT` on its standard
//! output once it listens.

#![cfg(target_os = "linux")]

mod by_compio;
mod by_monoio;
mod by_ntex;
mod by_tokio;

use std::io::{self, Write};
use std::process::ExitCode;

/// The allocator that Gannet's subjects have.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(name), Some(port), 2) = (arguments.first(), arguments.get(1), arguments.len()) else {
        eprintln!("usage: peer-echo NAME PORT");
        return ExitCode::from(2);
    };
    let Ok(port) = port.parse() else {
        eprintln!("peer-echo: {port} is no port");
        return ExitCode::from(2);
    };
    let served = match name.as_str() {
        "tokio" => by_tokio::serve(port),
        "monoio" => by_monoio::serve(port),
        "compio" => by_compio::serve(port),
        "ntex" => by_ntex::serve(port),
        other => Err(io::Error::new(io::ErrorKind::NotFound, format!("no server {other}"))),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer-echo: {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Tells the parent that the server listens.
fn announce(port: u16) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready {port}")?;
    out.flush()
}
