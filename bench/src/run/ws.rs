//! `ws`: WebSocket beside bare loops: echo, one message to everybody, memory of idle connections.

use std::io;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::table::{self, Measure, Table};
use super::{Common, Workload, broadcast, memory};
use crate::client::broadcast::Form;
use crate::client::idle::{Exchange, Idle};
use crate::client::taped::{self, Outcome};
use crate::client::websocket;
use crate::machine;
use crate::socket;
use crate::subject::Role;
use crate::wire::Wire;

/// Options of `ws`.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// What is measured.
    #[arg(long, value_enum, num_args = 1.., default_values = ["echo", "broadcast", "memory"])]
    case: Vec<Case>,
    /// How often each subject is measured; its memory once.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Measured seconds of each run of echo.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Seconds before counting starts.
    #[arg(long, default_value_t = 0.3)]
    warm_up: f64,
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
    /// Connections whose memory is measured.
    #[arg(long, default_value_t = 18_000, value_parser = clap::value_parser!(u32).range(1..))]
    memory_connections: u32,
    #[command(flatten)]
    common: Common,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    Echo,
    Broadcast,
    Memory,
}

#[derive(Serialize)]
struct Report {
    machine: String,
    rounds: usize,
    seconds: f64,
    echo: Vec<Table>,
    broadcast: Vec<broadcast::Row>,
    memory: Vec<memory::Row>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let cpu = options.common.server_cpu;
    socket::pin(options.common.client_cpu)?;
    let mut report = Report {
        machine: machine::describe(),
        rounds: options.rounds,
        seconds: options.seconds,
        echo: Vec::new(),
        broadcast: Vec::new(),
        memory: Vec::new(),
    };
    let is_text = !options.common.json;
    if is_text {
        println!("{}", report.machine);
    }
    for &case in &options.case {
        match case {
            Case::Echo => {
                for &workload in &options.workload {
                    let table = echo(options, workload)?;
                    if is_text {
                        table.print();
                    }
                    report.echo.push(table);
                }
            }
            Case::Broadcast => {
                let subjects = options.common.subjects(Role::WebSocketBroadcast)?;
                let much = (options.members, options.broadcasts);
                report.broadcast = broadcast::measure(&subjects, cpu, options.rounds, much, |subject, port| {
                    if subject.role == Role::WebSocketBroadcast { websocket::broadcast(port) } else { Ok(Form::raw()) }
                })?;
                if is_text {
                    broadcast::print(options.members, "one text of 64 bytes", &report.broadcast);
                    println!("asked: at most 1.15");
                }
            }
            Case::Memory => {
                let subjects = options.common.subjects(Role::WebSocket)?;
                for subject in subjects.into_iter().filter(|subject| subject.role == Role::WebSocket) {
                    let size = options.size as usize;
                    let exchanges = |port| Ok(vec![websocket::handshake(port)?, websocket::echo(size)]);
                    report.memory.push(memory::measure(subject, cpu, options.memory_connections, exchanges)?);
                }
                if is_text {
                    memory::print(options.memory_connections, "a handshake and an echo", &report.memory);
                    println!("asked: at most 256");
                }
            }
        }
    }
    if !is_text {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(())
}

fn echo(options: &Options, workload: Workload) -> io::Result<Table> {
    let time = |seconds: f64| Duration::try_from_secs_f64(seconds).map_err(io::Error::other);
    let times = [time(options.warm_up)?, time(options.seconds)?];
    let subjects = options.common.subjects(Role::WebSocket)?;
    let size = options.size as usize;
    let outcomes = table::rounds(&subjects, options.rounds, options.common.server_cpu, |subject, server| {
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
