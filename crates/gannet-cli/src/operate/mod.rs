//! The commands for a server that runs: each asks its admin socket, and prints the answer.

mod orders;
mod print;

pub(crate) use self::orders::{DrainOptions, ReloadOptions, UpgradeOptions, drain, reload, upgrade};
