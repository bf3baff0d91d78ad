//! `models`: the ways to build a concurrent server that this field argues about, each measured beside the others.
//!
//! A case is a file. Its rows run in processes of their own, in turn, as the subjects of the other commands do.

mod clock;
mod connections;
mod counter;
mod formats;
mod owner;
mod registry;
mod table;
pub mod task;
mod tls;
mod work;
mod workers;

use std::io;

use clap::ValueEnum;
use serde::Serialize;

use crate::run::plan::{Head, Plan};
use crate::subject::Subject;

use connections::Active;
use table::Table;

/// The servers of the cases, which are no subjects of the other commands.
pub static SUBJECTS: &[&[Subject]] = &[connections::SUBJECTS, work::SUBJECTS];

/// Options of `models`.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// The cases to measure; all of them if none is named.
    #[arg(value_enum, value_name = "CASE")]
    cases: Vec<Case>,
    /// Connections of `connections`. Each takes a descriptor in both processes.
    #[arg(long, num_args = 1.., default_values = ["10", "100", "1000", "10000"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    connections: Vec<u32>,
    /// Connections that have a message under way, of each number of them, such as `10` or `10%`; the rest is idle.
    #[arg(long, num_args = 1.., default_values = ["10", "10%"])]
    active: Vec<Active>,
    /// Threads that use the counter, or the registry.
    #[arg(long, num_args = 1.., default_values = ["1", "2", "4"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: Vec<u32>,
    /// Users of the registry; half of them are connected at a time.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..))]
    users: u32,
    /// Connections that come or go in the registry in a second.
    #[arg(long, default_value_t = 10_000)]
    changes: u32,
    #[command(flatten)]
    plan: Plan,
}

/// Names a case: a question, and the models that answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// A thread per connection, select, poll, epoll and io_uring under many idle connections.
    Connections,
    /// A counter behind a lock, an atomic one, and one that a reactor owns.
    Counter,
    /// Work of 50 ms in the reactor, offloaded, and queued to the background.
    Work,
    /// JSON, MessagePack and Protocol Buffers; plain, by gzip and by zstd.
    Formats,
    /// TLS 1.2 and 1.3, full and resumed, and none.
    Tls,
    /// A registry of connections behind locks, sharded, and owned by reactors.
    Registry,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    head: Head,
    tables: Vec<Table>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let plan = &options.plan;
    if plan.setup.is_against_another_build() {
        let message = "models compares models, and no builds of this program: leave --against out";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut report = Report { head: plan.begin(None)?, tables: Vec::new() };
    let cases = if options.cases.is_empty() { Case::value_variants() } else { &options.cases };
    for case in cases {
        let tables = match case {
            Case::Connections => connections::measure(options),
            Case::Counter => counter::measure(options),
            Case::Work => work::measure(plan),
            Case::Formats => formats::measure(plan),
            Case::Tls => tls::measure(plan),
            Case::Registry => registry::measure(options),
        };
        report.tables.extend(tables?);
    }
    plan.setup.end(&report)
}
