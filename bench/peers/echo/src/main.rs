//! Echo servers on other runtimes, which `gannet-bench` measures the engine beside: `peer-echo NAME PORT`.

#![cfg(target_os = "linux")]

mod broadcast_by_tokio;
mod by_compio;
mod by_monoio;
mod by_ntex;
mod by_tokio;

use std::process::ExitCode;

fn main() -> ExitCode {
    peer_start::serve(
        "peer-echo",
        &[
            ("tokio", by_tokio::serve),
            ("monoio", by_monoio::serve),
            ("compio", by_compio::serve),
            ("ntex", by_ntex::serve),
            ("tokio-broadcast", broadcast_by_tokio::serve),
        ],
    )
}
