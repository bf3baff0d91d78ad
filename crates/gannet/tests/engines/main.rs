//! Whole engines in one program, over real sockets, on every driver that this machine has.

mod additions;
#[cfg(target_os = "linux")]
mod addresses;
#[cfg(target_os = "linux")]
mod changes;
mod dialogues;
mod engine;
#[cfg(target_os = "linux")]
mod keepalive;
mod offload;
mod responsive;
mod start;

use gannet::{DriverChoice, Engine};

/// Both drivers, or the one there is: where io_uring cannot be used, that is said.
fn drivers() -> Vec<DriverChoice> {
    gannet_testing::usable(DriverChoice::Poll, DriverChoice::Uring, |driver| {
        Engine::new().driver(driver).reactors(1).start().map(drop)
    })
}
