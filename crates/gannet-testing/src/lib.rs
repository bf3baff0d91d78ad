//! What the tests of several crates share. A dev-dependency: nothing that is shipped uses it.

mod allocator;
#[cfg(feature = "certificates")]
pub mod certificates;
mod ends;
mod log;
mod patience;
mod ports;

use std::fmt::{Debug, Display};

pub use allocator::{Counting, CountingByThread};
pub use ends::{is_end, is_refused};
pub use log::Log;
pub use patience::{PATIENCE, until};
pub use ports::free_ports;

/// Gives the drivers that this machine can use: both, or the one by `epoll`.
///
/// Prints why io_uring cannot be used where it cannot.
#[cfg(feature = "engine")]
pub fn drivers() -> Vec<gannet::DriverChoice> {
    use gannet::{DriverChoice, Engine};

    usable(DriverChoice::Poll, DriverChoice::Uring, |driver| Engine::new().driver(driver).reactors(1).start().map(drop))
}

/// Gives these drivers, and `another` where `start` can start an engine on it.
///
/// Prints why it cannot. The tests of `gannet` use it with their own types; all others use `drivers`.
pub fn usable<D: Copy + Debug, E: Display>(always: D, another: D, start: impl FnOnce(D) -> Result<(), E>) -> Vec<D> {
    let mut drivers = vec![always];
    match start(another) {
        Ok(()) => drivers.push(another),
        Err(why) => eprintln!("{another:?} is not tried: {why}"),
    }
    drivers
}
