//! Servers of HTTP and WebSocket by other frameworks, which `gannet-bench` measures Gannet's beside: `peer-web NAME PORT`.

#![cfg(target_os = "linux")]

mod by_actix;
mod by_axum;
mod by_fastwebsockets;

use std::process::ExitCode;

fn main() -> ExitCode {
    peer_start::serve(
        "peer-web",
        &[("axum", by_axum::serve), ("actix-web", by_actix::serve), ("fastwebsockets", by_fastwebsockets::serve)],
    )
}
