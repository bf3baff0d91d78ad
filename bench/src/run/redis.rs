//! `redis`: the store beside Redis itself: operations per CPU second, and memory for a million keys.

mod benchmark;

use std::io;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::plan::{Head, Plan};
use super::table::{Measure, Table};
use super::{Ratio, column, known, ratios};
use crate::child::Server;
use crate::client::commands::{Keys, Verb};
use crate::client::publish::{self, Messages};
use crate::client::taped::{self, Outcome};
use crate::measure::resident_bytes;
use crate::redis;
use crate::subject::{Role, Subject};
use crate::tape::Tape;

/// The time that a server is left alone before its memory is read, so that its work after the last key is over.
const SETTLE: Duration = Duration::from_secs(1);

/// The subject that is Redis itself.
const REDIS: &str = "redis-server";

/// The bare loops that a command without a pipeline is measured beside.
const FLOORS: [&str; 2] = ["floor-epoll", "floor-uring"];

/// Options of `redis`.
#[derive(clap::Args, Debug)]
#[command(mut_arg("seconds", |seconds| seconds.default_value("2")))]
#[command(mut_arg("warm_up", |seconds| seconds.default_value("0.5")))]
pub struct Options {
    /// The measurements to make.
    #[arg(long, value_enum, num_args = 1.., default_values = ["get", "set", "benchmark", "publish", "memory"])]
    case: Vec<Case>,
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
    #[arg(long, num_args = 1.., default_values = ["64"], value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    size: Vec<u32>,
    /// Commands of each run of redis-benchmark.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// Subscribers of the channel.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    subscribers: u32,
    /// Messages published and not yet delivered to all.
    #[arg(long, num_args = 1.., default_values = ["1", "4"], value_parser = clap::value_parser!(u32).range(1..=256))]
    outstanding: Vec<u32>,
    /// Keys whose memory is measured, once.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    memory_keys: u32,
    #[command(flatten)]
    plan: Plan,
}

/// The measurements to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    Get,
    Set,
    /// GET and SET without a pipeline by redis-benchmark, the client that comes with Redis.
    Benchmark,
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
    #[serde(flatten)]
    head: Head,
    redis: String,
    tables: Vec<Table>,
    memory: Vec<Memory>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    // Without it the others are measured.
    let redis = redis::version().unwrap_or_else(|error| error.to_string());
    let (plan, times) = (&options.plan, options.plan.times()?);
    let mut report = Report { head: plan.begin(Some(&redis))?, redis, tables: Vec::new(), memory: Vec::new() };
    let subjects = plan.setup.comparison(Role::Redis)?;
    for (&size, &case) in options.size.iter().flat_map(|size| options.case.iter().map(move |case| (size, case))) {
        let mut table = |table: Table| table.keep(&mut report.tables, &plan.setup);
        match case {
            Case::Get => get_and_set(options, size, &subjects, times, ("GET", Verb::Get), &mut table)?,
            Case::Set => get_and_set(options, size, &subjects, times, ("SET", Verb::Set), &mut table)?,
            Case::Benchmark => benchmark::measure(options, size, &subjects, &mut table)?,
            Case::Publish => published(options, size, &subjects, times, &mut table)?,
            Case::Memory => {
                let rows = memory(options, size, &plan.setup.subjects(Role::Redis)?)?;
                if plan.setup.prints_tables() {
                    print_memory(options, size, &rows);
                }
                report.memory.extend(rows);
            }
        }
    }
    plan.setup.end(&report)
}

/// Bare loops whose cost stands beside the stores', against that of Redis. They send each command back as its own reply. Without
/// Redis among the subjects there are none.
fn floors(subjects: &[&'static Subject]) -> io::Result<Vec<&'static Subject>> {
    let Some(redis) = subjects.iter().find(|subject| subject.name == REDIS) else { return Ok(Vec::new()) };
    FLOORS.iter().map(|floor| Ok(known(floor)?.compared_with(redis.name))).collect()
}

fn get_and_set(
    options: &Options,
    size: u32,
    subjects: &[&'static Subject],
    times: [Duration; 2],
    (name, verb): (&str, Verb),
    done: &mut dyn FnMut(Table),
) -> io::Result<()> {
    let keys = Keys::new(options.keys as usize, size as usize);
    let (commands, replies): (Tape, Tape) = keys.tapes(verb);
    for &depth in &options.depth {
        let subjects = match depth {
            1 => [subjects, &floors(subjects)?].concat(),
            _ => subjects.to_vec(),
        };
        let outcomes = options.plan.setup.side_by_side(&subjects, options.plan.rounds, |subject, server| {
            let is_store = subject.role == Role::Redis;
            if is_store {
                keys.fill(server.port)?;
            }
            let tapes = (&commands, if is_store { &replies } else { &commands });
            let connections = options.connections as usize;
            let mut client = taped::Client::connect(server.port, tapes, connections, depth as usize)?;
            Outcome::of(server.pid(), times, |time| client.run_for(time))
        })?;
        let connections = options.connections;
        done(Table {
            title: format!(
                "{name} of {} keys, {size} bytes, {connections} connections × {depth} under way",
                keys.count
            ),
            operations: "commands",
            asked: match depth {
                _ if size != 64 => Some("at least 1.1"),
                1 => Some("at least 1.5"),
                16 => Some("at least 1.7"),
                64 => Some("at least 2.0"),
                _ => None,
            },
            measure: Measure::PerCpuSecond,
            rows: Measure::PerCpuSecond.rows(&subjects, &outcomes),
        });
    }
    Ok(())
}

fn published(
    options: &Options,
    size: u32,
    subjects: &[&'static Subject],
    times: [Duration; 2],
    done: &mut dyn FnMut(Table),
) -> io::Result<()> {
    let messages = Messages::new(size as usize);
    let subscribers = options.subscribers;
    for &outstanding in &options.outstanding {
        let outcomes = options.plan.setup.side_by_side(subjects, options.plan.rounds, |_, server| {
            let (subscribers, outstanding) = (subscribers as usize, u64::from(outstanding));
            let mut client = publish::Client::connect(server.port, &messages, subscribers, outstanding)?;
            Outcome::of(server.pid(), times, |time| client.run_for(time))
        })?;
        done(Table {
            title: format!("PUBLISH of {size} bytes to {subscribers} subscribers, {outstanding} under way"),
            operations: "deliveries",
            asked: Some("at least 1.5"),
            measure: Measure::PerCpuSecond,
            rows: Measure::PerCpuSecond.rows(subjects, &outcomes),
        });
    }
    Ok(())
}

fn memory(options: &Options, size: u32, subjects: &[&'static Subject]) -> io::Result<Vec<Memory>> {
    let keys = Keys::new(options.memory_keys as usize, size as usize);
    let mut readings = Vec::new();
    for subject in subjects {
        let server = Server::start(subject, options.plan.setup.server_cpu)?;
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

fn print_memory(options: &Options, size: u32, rows: &[Memory]) {
    println!(
        "\nresident memory for {} keys of 16 bytes, values of {}; asked: at most Redis's",
        options.memory_keys, size
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
