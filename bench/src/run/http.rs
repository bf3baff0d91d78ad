//! `http`: the HTTP server beside nginx: requests per CPU second; many routes beside one; memory of idle connections.

use std::io;

use clap::ValueEnum;
use serde::Serialize;

use super::plan::{Head, Plan};
use super::table::{Measure, Table};
use super::{Workload, memory};
use crate::client::http;
use crate::client::idle::Exchange;
use crate::client::taped::{self, Outcome};
use crate::http::{ROUTES, nginx_version};
use crate::subject::{Role, Subject};

/// Options of `http`.
#[derive(clap::Args, Debug)]
#[command(mut_arg("rounds", |rounds| rounds.default_value("7")))]
pub struct Options {
    /// The measurements to make.
    #[arg(long, value_enum, num_args = 1.., default_values = ["get", "routes", "memory"])]
    case: Vec<Case>,
    /// Connections × requests under way on each, of `GET /`.
    #[arg(long, num_args = 1.., default_values = ["50x1", "1000x1", "50x16", "1000x16"])]
    workload: Vec<Workload>,
    /// Connections and requests in flight on each, as 50x16, where many routes are compared with one.
    #[arg(long, num_args = 1.., default_values = ["50x1", "50x16"])]
    routes_workload: Vec<Workload>,
    /// Connections whose memory is measured, once. Each takes a descriptor in both processes.
    #[arg(long, default_value_t = 18_000, value_parser = clap::value_parser!(u32).range(1..))]
    memory_connections: u32,
    #[command(flatten)]
    plan: Plan,
}

/// The measurements to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    Get,
    Routes,
    Memory,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    head: Head,
    nginx: String,
    tables: Vec<Table>,
    memory: Vec<memory::Row>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    // Without it the others are measured.
    let nginx = nginx_version().unwrap_or_else(|error| error.to_string());
    let plan = &options.plan;
    let mut report = Report { head: plan.begin(Some(&nginx))?, nginx, tables: Vec::new(), memory: Vec::new() };
    for &case in &options.case {
        let mut table = |table: Table| table.keep(&mut report.tables, &plan.setup);
        match case {
            Case::Get => {
                let subjects = plan.setup.comparison(Role::Http)?;
                for &workload in &options.workload {
                    table(Table {
                        title: format!("GET / of 13 bytes, {workload}"),
                        asked: Some(if workload.depth >= 16 { "at least 2.5" } else { "at least 1.25" }),
                        ..measured(plan, &subjects, workload, Measure::PerCpuSecond, |_, port| http::home(port))?
                    });
                }
            }
            Case::Routes => {
                let subjects = plan.setup.comparison(Role::Routes)?;
                for &workload in &options.routes_workload {
                    table(Table {
                        title: format!("GET with two parameters, {ROUTES} routes and one, {workload}"),
                        asked: Some("at most 1.05"),
                        ..measured(plan, &subjects, workload, Measure::CpuTime, |subject, port| {
                            http::parameters(port, if subject.role == Role::OneRoute { 1 } else { ROUTES })
                        })?
                    });
                }
            }
            Case::Memory => {
                for subject in plan.setup.subjects(Role::Http)? {
                    let get = |port| Ok(vec![http::home(port)?]);
                    let connections = options.memory_connections;
                    report.memory.extend(memory::measure(subject, plan.setup.server_cpu, connections, get)?);
                }
                if plan.setup.prints_tables() {
                    memory::print(options.memory_connections, "one request", &report.memory);
                }
            }
        }
    }
    plan.setup.end(&report)
}

/// One table, without its title and what is asked for.
pub(super) fn measured(
    plan: &Plan,
    subjects: &[&'static Subject],
    workload: Workload,
    measure: Measure,
    exchange: impl Fn(&Subject, u16) -> io::Result<Exchange>,
) -> io::Result<Table> {
    let times = plan.times()?;
    let outcomes = plan.setup.side_by_side(subjects, plan.rounds, |subject, server| {
        let Exchange { requests, replies } = exchange(subject, server.port)?;
        let tapes = (&requests, &replies);
        let client = taped::Client::connect(server.port, tapes, workload.connections, workload.depth)?;
        let mut client = client.in_batches(workload.depth);
        Outcome::of(server.pid(), times, |time| client.run_for(time))
    })?;
    Ok(Table {
        title: String::new(),
        operations: "requests",
        asked: None,
        measure,
        rows: measure.rows(subjects, &outcomes),
    })
}
