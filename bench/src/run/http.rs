//! `http`: the HTTP server beside nginx: requests per CPU second; many routes beside one; memory of idle connections.

use std::io;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::table::{self, Measure, Table};
use super::{Common, Workload, memory};
use crate::client::http;
use crate::client::idle::Exchange;
use crate::client::taped::{self, Outcome};
use crate::http::{ROUTES, nginx_version};
use crate::machine;
use crate::socket;
use crate::subject::{Role, Subject};

/// Options of `http`.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// What is measured.
    #[arg(long, value_enum, num_args = 1.., default_values = ["get", "routes", "memory"])]
    case: Vec<Case>,
    /// How often each subject is measured; its memory once.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Measured seconds of each run.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Seconds before counting starts.
    #[arg(long, default_value_t = 0.3)]
    warm_up: f64,
    /// Connections × requests under way on each, of `GET /`.
    #[arg(long, num_args = 1.., default_values = ["50x1", "1000x1", "50x16", "1000x16"])]
    workload: Vec<Workload>,
    /// The same where many routes are compared with one.
    #[arg(long, num_args = 1.., default_values = ["50x1", "50x16"])]
    routes_workload: Vec<Workload>,
    /// Connections whose memory is measured. Each takes a descriptor in both processes.
    #[arg(long, default_value_t = 18_000, value_parser = clap::value_parser!(u32).range(1..))]
    memory_connections: u32,
    #[command(flatten)]
    common: Common,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    Get,
    Routes,
    Memory,
}

#[derive(Serialize)]
struct Report {
    machine: String,
    nginx: String,
    rounds: usize,
    seconds: f64,
    tables: Vec<Table>,
    memory: Vec<memory::Row>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let nginx = nginx_version()?;
    socket::pin(options.common.client_cpu)?;
    let mut report = Report {
        machine: machine::describe(),
        nginx,
        rounds: options.rounds,
        seconds: options.seconds,
        tables: Vec::new(),
        memory: Vec::new(),
    };
    let is_text = !options.common.json;
    if is_text {
        println!("{}; {}", report.machine, report.nginx);
    }
    for &case in &options.case {
        let mut table = |table: Table| {
            if is_text {
                table.print();
            }
            report.tables.push(table);
        };
        match case {
            Case::Get => {
                let subjects = options.common.subjects(Role::Http)?;
                for &workload in &options.workload {
                    table(Table {
                        title: format!("GET / of 13 bytes, {workload}"),
                        asked: Some(if workload.depth >= 16 { "at least 2.5" } else { "at least 1.25" }),
                        ..measured(options, &subjects, workload, Measure::PerCpuSecond, |_, port| http::home(port))?
                    });
                }
            }
            Case::Routes => {
                let subjects = options.common.subjects(Role::Routes)?;
                for &workload in &options.routes_workload {
                    table(Table {
                        title: format!("GET with two parameters, {ROUTES} routes and one, {workload}"),
                        asked: Some("at most 1.05"),
                        ..measured(options, &subjects, workload, Measure::CpuTime, |subject, port| {
                            http::parameters(port, if subject.role == Role::OneRoute { 1 } else { ROUTES })
                        })?
                    });
                }
            }
            Case::Memory => {
                for subject in options.common.subjects(Role::Http)? {
                    let get = |port| Ok(vec![http::home(port)?]);
                    let connections = options.memory_connections;
                    report.memory.push(memory::measure(subject, options.common.server_cpu, connections, get)?);
                }
                if is_text {
                    memory::print(options.memory_connections, "one request", &report.memory);
                }
            }
        }
    }
    if !is_text {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(())
}

/// One table, without its title and what is asked for.
fn measured(
    options: &Options,
    subjects: &[&'static Subject],
    workload: Workload,
    measure: Measure,
    exchange: impl Fn(&Subject, u16) -> io::Result<Exchange>,
) -> io::Result<Table> {
    let time = |seconds: f64| Duration::try_from_secs_f64(seconds).map_err(io::Error::other);
    let times = [time(options.warm_up)?, time(options.seconds)?];
    let outcomes = table::rounds(subjects, options.rounds, options.common.server_cpu, |subject, server| {
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
