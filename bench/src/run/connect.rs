//! `connect`: connections that are opened and stay: how many a second, and the server's CPU time for each.

use std::io;
use std::time::Instant;

use serde::Serialize;

use super::plan::Setup;
use super::table::{Measure, Table};
use crate::client::idle::{Exchange, Idle};
use crate::client::taped::{Done, Outcome};
use crate::measure::Usage;
use crate::subject::Role;
use crate::wire::Wire;

/// Bytes of the exchange that shows that a server has accepted.
const MESSAGE_BYTES: usize = 64;

/// Connections that are opened before counting starts.
const WARM_UP: usize = 500;

/// Options of `connect`.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// The number of times that each subject is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Connections that are opened and counted. Each takes a descriptor in both processes.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    #[command(flatten)]
    setup: Setup,
}

#[derive(Serialize)]
struct Report {
    machine: String,
    rounds: usize,
    tables: Vec<Table>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let &Options { rounds, connections, ref setup } = options;
    let mut report = Report { machine: setup.begin(None)?, rounds, tables: Vec::new() };
    let mut subjects = setup.comparison(Role::Echo)?;
    subjects.retain(|subject| subject.wire == Wire::Raw);
    let outcomes = setup.side_by_side(&subjects, rounds, |_, server| {
        let usage = || Ok::<_, io::Error>((Usage::of(server.pid())?, Usage::of(std::process::id())?));
        let mut idle = Idle::new(server.port, vec![Exchange::echo(Wire::Raw, MESSAGE_BYTES)]);
        idle.open_until(WARM_UP)?;
        let (before, own) = usage()?;
        let started = Instant::now();
        idle.open_until(WARM_UP + connections as usize)?;
        let elapsed = started.elapsed();
        let (after, own_after) = usage()?;
        let done = Done { operations: connections.into(), reads: connections.into() };
        Ok(Outcome { done, elapsed, server: after - before, client: own_after - own })
    })?;
    let table = Table {
        title: format!("{connections} connections opened, each with an echo of 64 bytes"),
        operations: "connections",
        asked: None,
        measure: Measure::CpuTime,
        rows: Measure::CpuTime.rows(&subjects, &outcomes),
    };
    table.keep(&mut report.tables, setup);
    setup.end(&report)
}
