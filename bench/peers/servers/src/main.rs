//! Servers that `gannet-bench` measures beside Gannet's: `peer-servers NAME PORT`.
//!
//! The servers on Gannet are here too, so that hyper is the same build on both sides.

#![cfg(target_os = "linux")]

mod gannet_hyper;
mod tokio_hyper;
mod tokio_lines;

use std::process::ExitCode;

use gannet::DriverChoice;

fn main() -> ExitCode {
    peer_start::serve(
        "peer-servers",
        &[
            ("tokio-lines", tokio_lines::framed),
            ("tokio-buffer", tokio_lines::buffered),
            ("hyper-tokio", tokio_hyper::serve),
            ("hyper-poll", |port| gannet_hyper::serve(port, DriverChoice::Poll)),
            ("hyper-uring", |port| gannet_hyper::serve(port, DriverChoice::Uring)),
        ],
    )
}
