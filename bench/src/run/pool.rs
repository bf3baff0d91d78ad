//! `pool`: calls through a pool beside a service written by hand: CPU time for each call of Redis.

use std::io;

use serde::Serialize;

use super::known;
use super::plan::{Head, Plan};
use super::rounds::in_turn;
use super::table::{Measure, Table};
use crate::child::Server;
use crate::client::taped::{Done, Outcome};
use crate::peers;
use crate::pool::{CALLERS, PEER};
use crate::subject::Role;

/// The server that is called; its own cost is not counted.
const STORE: &str = "gannet-redis-poll";

/// Options of `pool`.
#[derive(clap::Args, Debug)]
#[command(mut_arg("seconds", |seconds| seconds.default_value("2")))]
#[command(mut_arg("warm_up", |seconds| seconds.default_value("0.5")))]
pub struct Options {
    #[command(flatten)]
    plan: Plan,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    head: Head,
    tables: Vec<Table>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let (plan, times) = (&options.plan, options.plan.times()?);
    let mut report = Report { head: plan.begin(None)?, tables: Vec::new() };
    let (subjects, store) = (plan.setup.subjects(Role::Calls)?, known(STORE)?);
    if subjects.iter().any(|subject| subject.name == PEER) {
        peers::build(PEER)?;
    }
    let outcomes = in_turn(&subjects, plan.rounds, |subject| {
        // Here the callers are measured, so they have the CPU that servers have elsewhere.
        let store = Server::start(store, plan.setup.client_cpu)?;
        let mut callers = Server::start(subject, plan.setup.server_cpu)?;
        callers.tell(&store.port.to_string())?;
        Outcome::of(callers.pid(), times, |time| {
            // The callers work in a process of their own: this is the time in which they are measured.
            std::thread::sleep(time);
            let operations = callers.ask()?.parse().map_err(io::Error::other)?;
            Ok(Done { operations, reads: 0 })
        })
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", subject.name)))
    })?;
    let table = Table {
        title: format!("GET by {CALLERS} callers on one connection"),
        operations: "calls",
        asked: Some("at most 1.10 by hand, 0.8 of the peer"),
        measure: Measure::CpuTime,
        rows: Measure::CpuTime.rows(&subjects, &outcomes),
    };
    table.keep(&mut report.tables, &plan.setup);
    plan.setup.end(&report)
}
