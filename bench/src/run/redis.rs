//! `redis`: the store beside Redis itself: operations per CPU second, and memory for a million keys.

use std::io;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::table::{self, Measure, Table};
use super::{Common, Ratio, column, ratios};
use crate::child::Server;
use crate::client::commands::{Keys, Verb};
use crate::client::publish::{self, Messages};
use crate::client::taped::{self, Outcome};
use crate::machine;
use crate::measure::resident_bytes;
use crate::redis;
use crate::socket;
use crate::subject::{Role, Subject};
use crate::tape::Tape;

/// How long a server is left alone before its memory is read: what it does after the last key is over then.
const SETTLE: Duration = Duration::from_secs(1);

/// Options of `redis`.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// What is measured.
    #[arg(long, value_enum, num_args = 1.., default_values = ["get", "set", "publish", "memory"])]
    case: Vec<Case>,
    /// How often each subject is measured; its memory once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measured seconds of each run.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Seconds before counting starts.
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// Connections of GET and SET.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Commands under way on each of them.
    #[arg(long, num_args = 1.., default_values = ["1", "16", "64"], value_parser = clap::value_parser!(u32).range(1..))]
    depth: Vec<u32>,
    /// Keys of GET and SET, drawn uniformly.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    keys: u32,
    /// Bytes of a value and of a published message.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    size: u32,
    /// Subscribers of the channel.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    subscribers: u32,
    /// Messages published and not yet delivered to all.
    #[arg(long, num_args = 1.., default_values = ["1", "4"], value_parser = clap::value_parser!(u32).range(1..=256))]
    outstanding: Vec<u32>,
    /// Keys whose memory is measured.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    memory_keys: u32,
    #[command(flatten)]
    common: Common,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    Get,
    Set,
    Publish,
    Memory,
}

#[derive(Serialize)]
struct Memory {
    subject: &'static str,
    resident_before: u64,
    resident_after: u64,
    bytes_per_key: f64,
    /// Resident memory against Redis's.
    ratios: Vec<Ratio>,
}

#[derive(Serialize)]
struct Report {
    machine: String,
    redis: String,
    rounds: usize,
    seconds: f64,
    tables: Vec<Table>,
    memory: Vec<Memory>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let redis = redis::version()?;
    let time = |seconds: f64| Duration::try_from_secs_f64(seconds).map_err(io::Error::other);
    let times = [time(options.warm_up)?, time(options.seconds)?];
    socket::pin(options.common.client_cpu)?;
    let subjects = options.common.subjects(Role::Redis)?;
    let mut report = Report {
        machine: machine::describe(),
        redis,
        rounds: options.rounds,
        seconds: options.seconds,
        tables: Vec::new(),
        memory: Vec::new(),
    };
    let is_text = !options.common.json;
    if is_text {
        println!("{}; {}", report.machine, report.redis);
    }
    for &case in &options.case {
        let mut table = |table: Table| {
            if is_text {
                table.print();
            }
            report.tables.push(table);
        };
        match case {
            Case::Get => get_and_set(options, &subjects, times, ("GET", Verb::Get), &mut table)?,
            Case::Set => get_and_set(options, &subjects, times, ("SET", Verb::Set), &mut table)?,
            Case::Publish => published(options, &subjects, times, &mut table)?,
            Case::Memory => {
                report.memory = memory(options, &subjects)?;
                if is_text {
                    print_memory(options, &report.memory);
                }
            }
        }
    }
    if !is_text {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(())
}

fn get_and_set(
    options: &Options,
    subjects: &[&'static Subject],
    times: [Duration; 2],
    (name, verb): (&str, Verb),
    done: &mut dyn FnMut(Table),
) -> io::Result<()> {
    let keys = Keys::new(options.keys as usize, options.size as usize);
    let (commands, replies): (Tape, Tape) = keys.tapes(verb);
    for &depth in &options.depth {
        let outcomes = table::rounds(subjects, options.rounds, options.common.server_cpu, |_, server| {
            keys.fill(server.port)?;
            let tapes = (&commands, &replies);
            let connections = options.connections as usize;
            let mut client = taped::Client::connect(server.port, tapes, connections, depth as usize)?;
            Outcome::of(server.pid(), times, |time| client.run_for(time))
        })?;
        let (connections, size) = (options.connections, options.size);
        done(Table {
            title: format!(
                "{name} of {} keys, {size} bytes, {connections} connections × {depth} under way",
                keys.count
            ),
            operations: "commands",
            asked: match depth {
                1 => Some("at least 1.5"),
                16 => Some("at least 1.7"),
                64 => Some("at least 2.0"),
                _ => None,
            },
            measure: Measure::PerCpuSecond,
            rows: Measure::PerCpuSecond.rows(subjects, &outcomes),
        });
    }
    Ok(())
}

fn published(
    options: &Options,
    subjects: &[&'static Subject],
    times: [Duration; 2],
    done: &mut dyn FnMut(Table),
) -> io::Result<()> {
    let messages = Messages::new(options.size as usize);
    let subscribers = options.subscribers;
    for &outstanding in &options.outstanding {
        let outcomes = table::rounds(subjects, options.rounds, options.common.server_cpu, |_, server| {
            let (subscribers, outstanding) = (subscribers as usize, u64::from(outstanding));
            let mut client = publish::Client::connect(server.port, &messages, subscribers, outstanding)?;
            Outcome::of(server.pid(), times, |time| client.run_for(time))
        })?;
        done(Table {
            title: format!("PUBLISH of {} bytes to {subscribers} subscribers, {outstanding} under way", options.size),
            operations: "deliveries",
            asked: Some("at least 1.5"),
            measure: Measure::PerCpuSecond,
            rows: Measure::PerCpuSecond.rows(subjects, &outcomes),
        });
    }
    Ok(())
}

fn memory(options: &Options, subjects: &[&'static Subject]) -> io::Result<Vec<Memory>> {
    let keys = Keys::new(options.memory_keys as usize, options.size as usize);
    let mut readings = Vec::new();
    for subject in subjects {
        let server = Server::start(subject, options.common.server_cpu)?;
        let before = resident_bytes(server.pid())?;
        keys.fill(server.port)?;
        // Nothing tells from outside that it has nothing left to do.
        std::thread::sleep(SETTLE);
        readings.push((before, resident_bytes(server.pid())?));
    }
    let row = |index: usize| {
        let (before, after) = readings[index];
        Memory {
            subject: subjects[index].name,
            resident_before: before,
            resident_after: after,
            bytes_per_key: (after as f64 - before as f64) / keys.count as f64,
            ratios: ratios(subjects, index, |index| vec![readings[index].1 as f64]),
        }
    };
    Ok((0..subjects.len()).map(row).collect())
}

fn print_memory(options: &Options, rows: &[Memory]) {
    println!(
        "\nresident memory for {} keys of 16 bytes, values of {}; asked: at most Redis's",
        options.memory_keys, options.size
    );
    println!(
        "{:<22} {:>12} {:>12} {:>12}  resident memory against Redis",
        "subject", "before KiB", "after KiB", "bytes a key"
    );
    for row in rows {
        println!(
            "{:<22} {:>12} {:>12} {:>12.1}  {}",
            row.subject,
            row.resident_before / 1024,
            row.resident_after / 1024,
            row.bytes_per_key,
            column(&row.ratios)
        );
    }
}
