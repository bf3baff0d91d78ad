//! Servers that `gannet-bench` measures beside Gannet's: `peer-servers NAME PORT`.
//!
//! Each serves on one thread, on the processors that its parent may use. It says `ready PORT` on its standard output once it
//! listens, and exits with 3 where its port is taken. What stands on Gannet is here too, so that hyper is the same build on both sides.

#![cfg(target_os = "linux")]

mod gannet_hyper;
mod tokio_hyper;
mod tokio_lines;

use std::io::{self, Write};
use std::process::ExitCode;

use gannet::DriverChoice;

/// The allocator that Gannet's subjects have.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The exit status where a port is taken.
const PORT_TAKEN: u8 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [name, port] = arguments[..] else {
        eprintln!("usage: peer-servers NAME PORT");
        return ExitCode::from(2);
    };
    let Ok(port) = port.parse() else {
        eprintln!("peer-servers: {port} is no port");
        return ExitCode::from(2);
    };
    let served = match name {
        "tokio-lines" => tokio_lines::framed(port),
        "tokio-buffer" => tokio_lines::buffered(port),
        "hyper-tokio" => tokio_hyper::serve(port),
        "hyper-poll" => gannet_hyper::serve(port, DriverChoice::Poll),
        "hyper-uring" => gannet_hyper::serve(port, DriverChoice::Uring),
        other => Err(io::Error::new(io::ErrorKind::NotFound, format!("no server {other}"))),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => ExitCode::from(PORT_TAKEN),
        Err(error) => {
            eprintln!("peer-servers: {name}: {error}");
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
