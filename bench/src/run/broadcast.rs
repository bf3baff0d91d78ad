//! `broadcast`: CPU time for each delivery of a payload that goes to everybody.

use std::io;

use serde::Serialize;

use super::plan::Setup;
use super::{Ratio, column, measured, print_peers, ratios};
use crate::client::broadcast::{self, Form, Outcome};
use crate::measure::median;
use crate::subject::{Role, Subject};

/// Options of `broadcast`.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// The number of times that each subject is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Members. Each takes a descriptor in both processes.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Broadcasts in each round.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    broadcasts: u32,
    #[command(flatten)]
    setup: Setup,
}

/// Figures of one subject; medians over the rounds.
#[derive(Serialize)]
pub struct Row {
    subject: &'static str,
    deliveries_per_second: f64,
    cpu_ns_per_delivery: f64,
    broadcast_ms: f64,
    cpu_ratios: Vec<Ratio>,
}

#[derive(Serialize)]
struct Report {
    machine: String,
    connections: u32,
    rounds: usize,
    rows: Vec<Row>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let &Options { rounds, connections, broadcasts, ref setup } = options;
    let machine = setup.begin(None)?;
    let subjects = setup.comparison(Role::Broadcast)?;
    let rows = measure(&subjects, setup, rounds, (connections, broadcasts), |_, _| Ok(Form::raw()))?;
    if setup.prints_tables() {
        print(connections, "one payload of 64 bytes", &rows);
    }
    setup.end(&Report { machine, connections, rounds, rows })
}

/// Runs all subjects in turn, so many broadcasts to so many connections each, in the form that a subject has.
pub fn measure(
    subjects: &[&'static Subject],
    setup: &Setup,
    rounds: usize,
    (connections, broadcasts): (u32, u32),
    form: impl Fn(&Subject, u16) -> io::Result<Form>,
) -> io::Result<Vec<Row>> {
    let outcomes = setup.side_by_side(subjects, rounds, |subject, server| {
        let form = form(subject, server.port)?;
        broadcast::run(server.port, server.pid(), form, connections as usize, broadcasts)
    })?;
    Ok(rows(subjects, &outcomes))
}

/// Prints a table of what went to everybody.
pub fn print(connections: u32, what: &str, rows: &[Row]) {
    println!("\n{what} to {connections} connections");
    println!(
        "{:<22} {:>14} {:>8} {:>14}  CPU per delivery against its floor",
        "subject", "deliveries/s", "CPU ns", "broadcast ms"
    );
    for row in rows {
        println!(
            "{:<22} {:>14.0} {:>8.0} {:>14.2}  {}",
            row.subject,
            row.deliveries_per_second,
            row.cpu_ns_per_delivery,
            row.broadcast_ms,
            column(&row.cpu_ratios)
        );
    }
    print_peers("CPU time a delivery against", rows.iter().map(|row| (row.subject, &*row.cpu_ratios)));
}

fn cpu_ns_per_delivery(outcome: &Outcome) -> f64 {
    outcome.server.cpu_ns as f64 / outcome.deliveries as f64
}

fn rows(subjects: &[&'static Subject], outcomes: &[Vec<Outcome>]) -> Vec<Row> {
    let costs = |index: usize| -> Vec<f64> { outcomes[index].iter().map(cpu_ns_per_delivery).collect() };
    let row = |index: usize| {
        let median = |figure: &dyn Fn(&Outcome) -> f64| median(&outcomes[index], figure);
        Row {
            subject: subjects[index].name,
            deliveries_per_second: median(&|one| one.deliveries as f64 / one.elapsed.as_secs_f64()),
            cpu_ns_per_delivery: median(&cpu_ns_per_delivery),
            broadcast_ms: median(&|one| self::median(&one.each, |each| each.as_secs_f64() * 1e3)),
            cpu_ratios: ratios(subjects, index, costs),
        }
    };
    measured(outcomes).map(row).collect()
}
