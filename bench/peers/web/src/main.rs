//! Servers of HTTP and WebSocket by other frameworks, which `gannet-bench` measures Gannet's beside: `peer-web NAME PORT`.
//!
//! Each serves on loopback on one thread, on the processors that its parent may use. It says `ready PORT` on its standard
//! output once it listens.

#![cfg(target_os = "linux")]

mod by_actix;
mod by_axum;
mod by_fastwebsockets;

use std::io::{self, Write};
use std::process::ExitCode;

/// The allocator that Gannet's subjects have.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(name), Some(port), 2) = (arguments.first(), arguments.get(1), arguments.len()) else {
        eprintln!("usage: peer-web NAME PORT");
        return ExitCode::from(2);
    };
    let Ok(port) = port.parse() else {
        eprintln!("peer-web: {port} is no port");
        return ExitCode::from(2);
    };
    let served = match name.as_str() {
        "axum" => by_axum::serve(port),
        "actix-web" => by_actix::serve(port),
        "fastwebsockets" => by_fastwebsockets::serve(port),
        other => Err(io::Error::new(io::ErrorKind::NotFound, format!("no server {other}"))),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer-web: {name}: {error}");
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
