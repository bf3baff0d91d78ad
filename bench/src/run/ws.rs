//! `ws`: WebSocket beside bare loops: echo, one message to everybody, memory of idle connections.

use std::io;

use clap::ValueEnum;
use serde::Serialize;

use super::plan::{Head, Plan};
use super::table::{Measure, Table};
use super::{Workload, broadcast, memory};
use crate::client::broadcast::Form;
use crate::client::idle::{Exchange, Idle};
use crate::client::taped::{self, Outcome};
use crate::client::websocket;
use crate::subject::Role;
use crate::wire::Wire;

/// Options of `ws`.
#[derive(clap::Args, Debug)]
#[command(mut_arg("rounds", |rounds| rounds.default_value("7")))]
pub struct Options {
    /// The measurements to make.
    #[arg(long, value_enum, num_args = 1.., default_values = ["echo", "broadcast", "memory"])]
    case: Vec<Case>,
    /// Connections × messages under way on each.
    #[arg(long, num_args = 1.., default_values = ["1000x1"])]
    workload: Vec<Workload>,
    /// Bytes of a message, without its frame.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=websocket::LONGEST as i64))]
    size: u32,
    /// Members of the broadcast. Each takes a descriptor in both processes.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    members: u32,
    /// Broadcasts in each round.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    broadcasts: u32,
    /// Connections whose memory is measured, once.
    #[arg(long, default_value_t = 18_000, value_parser = clap::value_parser!(u32).range(1..))]
    memory_connections: u32,
    #[command(flatten)]
    plan: Plan,
}

/// The measurements to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    Echo,
    Broadcast,
    Memory,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    head: Head,
    echo: Vec<Table>,
    broadcast: Vec<broadcast::Row>,
    memory: Vec<memory::Row>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let Plan { rounds, setup, .. } = &options.plan;
    let head = options.plan.begin(None)?;
    let mut report = Report { head, echo: Vec::new(), broadcast: Vec::new(), memory: Vec::new() };
    for &case in &options.case {
        match case {
            Case::Echo => {
                for &workload in &options.workload {
                    echo(options, workload)?.keep(&mut report.echo, setup);
                }
            }
            Case::Broadcast => {
                let subjects = setup.comparison(Role::WebSocketBroadcast)?;
                let much = (options.members, options.broadcasts);
                report.broadcast = broadcast::measure(&subjects, setup, *rounds, much, |subject, port| {
                    if subject.role == Role::WebSocketBroadcast { websocket::broadcast(port) } else { Ok(Form::raw()) }
                })?;
                if setup.prints_tables() {
                    broadcast::print(options.members, "one text of 64 bytes", &report.broadcast);
                    println!("asked: at most 1.15");
                }
            }
            Case::Memory => {
                let connections = options.memory_connections;
                let subjects = setup.subjects(Role::WebSocket)?;
                for subject in subjects.into_iter().filter(|subject| subject.role == Role::WebSocket) {
                    let size = options.size as usize;
                    let exchanges = |port| Ok(vec![websocket::handshake(port)?, websocket::echo(size)]);
                    report.memory.extend(memory::measure(subject, setup.server_cpu, connections, exchanges)?);
                }
                if setup.prints_tables() {
                    memory::print(connections, "a handshake and an echo", &report.memory);
                    println!("asked: at most 256");
                }
            }
        }
    }
    setup.end(&report)
}

fn echo(options: &Options, workload: Workload) -> io::Result<Table> {
    let (Plan { rounds, setup, .. }, times) = (&options.plan, options.plan.times()?);
    let subjects = setup.comparison(Role::WebSocket)?;
    let size = options.size as usize;
    let outcomes = setup.side_by_side(&subjects, *rounds, |subject, server| {
        let (opening, Exchange { requests, replies }) = match subject.role {
            Role::WebSocket => (vec![websocket::handshake(server.port)?], websocket::echo(size)),
            _ => (Vec::new(), Exchange::echo(Wire::Raw, size)),
        };
        let mut opened = Idle::new(server.port, opening);
        opened.open_until(workload.connections)?;
        let mut client = taped::Client::over(opened.take(), (&requests, &replies), workload.depth)?;
        Outcome::of(server.pid(), times, |time| client.run_for(time))
    })?;
    Ok(Table {
        title: format!("Echo of {size} bytes, {workload}"),
        operations: "messages",
        asked: Some("at most 1.35"),
        measure: Measure::CpuTime,
        rows: Measure::CpuTime.rows(&subjects, &outcomes),
    })
}
