//! The commands for a server that runs: each asks its admin socket, and prints the answer.

mod connections;
mod orders;
mod print;
mod trace;

pub(crate) use self::connections::{ConnectionsOptions, KickOptions, connections, kick};
pub(crate) use self::orders::{DrainOptions, ReloadOptions, UpgradeOptions, drain, reload, upgrade};
pub(crate) use self::trace::{TraceOptions, trace};
